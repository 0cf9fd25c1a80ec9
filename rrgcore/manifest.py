"""What a checkpoint says of the run that it belongs to, and whether both are as they were.

A model is of use only with the tokenizer, the recipe, the cleaning rules and the mined artefacts
that it was trained with. They stand in its run folder; beside the weights stand their hashes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, final, get_args

from rrgcore.checkpoint import MODEL, load_model
from rrgcore.cleaning import CLEANERS, digest_of
from rrgcore.digest import digest_of_facts, digest_of_file
from rrgcore.errors import RunError
from rrgcore.files import read_json, write_json
from rrgcore.folder import ARTEFACTS, CHECKPOINTS, RECIPE, RUN, RunFolder
from rrgcore.model import ReportModel
from rrgcore.settings import Split

MANIFEST: Final = "manifest.json"
FILES, SUM = "files", "sum"
NONE_KNOWN: Final[Mapping[str, str]] = MappingProxyType({})
ANSWERS: Final = frozenset(
    f"{role}{blind}.jsonl" for role in get_args(Split) for blind in ("", "-blind")
)
"""What annotators said of studies: written whenever they are asked first, also after a checkpoint
was saved, and guarded each by itself (`rrgcore.knowledge`).
"""

JUDGE: Final = "prediction"
"""The artefact that is made after the checkpoints: what the finished model's predictions are worth.
It is guarded by itself (`rrgcore.prediction.judge`).
"""

Facts = Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint depends on beside its weights; hashes are SHA-256."""

    recipe: str
    """Of the run's recipe, defaults filled in."""
    pixels: Facts
    """How pixels are normalised."""
    tokenizers: Mapping[str, Facts]
    """Its folder and the hash of each file in it, by the tokenizer's name in the recipe."""
    cleaning: Mapping[str, str]
    """Of what each cleaning rule in use makes of a text that holds every case."""
    artefacts: Mapping[str, str]
    """Of what was learned from the training studies, or given: file or folder to hash."""
    versions: Facts
    """Of rrg and its plugins; others are no reason to refuse."""

    @classmethod
    def of(cls, run: RunFolder, rules: Iterable[str]) -> "Manifest":
        """Look at a run folder as it is now; raises RunError where it is not whole."""
        record = run.record
        return cls(
            recipe=_hash_of(run.path / RECIPE),
            pixels=run.pixels,
            tokenizers={
                name: {
                    "folder": path.relative_to(run.path).as_posix(),
                    FILES: {
                        each.relative_to(path).as_posix(): _hash_of(each) for each in _in(path)
                    },
                }
                for name, path in run.tokenizer_folders().items()
            },
            cleaning={rule: digest_of(rule) for rule in sorted(set(rules)) if rule in CLEANERS},
            artefacts=dict(_artefacts(run.artefacts)),
            versions={
                "rrg": (record.get("packages") or {}).get("rrg"),
                "plugins": record.get("plugins"),
            },
        )

    def write(self, checkpoint: Path, *, known: Mapping[str, str] = NONE_KNOWN) -> None:
        """Write it into a checkpoint whose other files are there, with the hash of each of them:
        computed, where it is not `known`.
        """
        files = {n: known.get(n) or _hash_of(path) for n, path in _named(checkpoint).items()}
        write_manifest(checkpoint / MANIFEST, {**asdict(self), FILES: files})


def write_manifest(path: Path, facts: Facts) -> None:
    """Write facts, and the hash of all of them: one that is damaged shall not accuse the rest."""
    write_json(path, {**facts, SUM: digest_of_facts(facts)})


def hashes_in(checkpoint: Path) -> dict[str, str]:
    """Return the hash that a checkpoint's manifest gives for each of its files; raises RunError."""
    return dict(_read(checkpoint)[FILES])


def load_checkpoint(checkpoint: Path, model: ReportModel) -> None:
    """Fill a model; raises RunError for a checkpoint that is not as it was saved, or of another
    model.
    """
    check_files(checkpoint)
    load_model(checkpoint, model)


def check_files(checkpoint: Path) -> None:
    """Raise RunError unless a checkpoint's files are those that were saved, byte for byte."""
    expected = _read(checkpoint)[FILES]
    found = _named(checkpoint)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise RunError(f"{checkpoint / name} is not there, though it was saved. {_WAY_OUT}")
        if name not in expected:
            raise RunError(f"{checkpoint / name} was not saved with this checkpoint: remove it")
        if (now := _hash_of(found[name])) != expected[name]:
            raise RunError(_changed(str(checkpoint / name), expected[name], now))


def check_belongs(run: RunFolder, checkpoint: Path) -> None:
    """Raise RunError unless a run folder holds what its checkpoint was saved with: recipe,
    tokenizers, artefacts, as they were, and rules of cleaning that do what they did.
    """
    saved = _read(checkpoint)
    now = asdict(Manifest.of(run, saved["cleaning"]))
    before, after = _flat(run.path, saved), _flat(run.path, now)
    for what in dict.fromkeys((*before, *after)):
        if before.get(what) != after.get(what):
            raise RunError(_changed(what, before.get(what), after.get(what)))


def check_all_belong(run: RunFolder) -> None:
    """Hold every checkpoint of a run against its folder, before anything else in it is used."""
    for path in sorted(run.path.glob(f"{CHECKPOINTS}/*/*/{MANIFEST}")):
        if not path.parent.name.startswith("."):
            check_belongs(run, path.parent)


def hashes_of(checkpoint: Path) -> tuple[str, str]:
    """Return what tells the recipe and the weights of a checkpoint from others; raises RunError."""
    saved = _read(checkpoint)
    return saved["recipe"], saved[FILES].get(MODEL, "")


def rules_of(checkpoint: Path) -> list[str]:
    """List the cleaning rules that were in use where a checkpoint was saved; raises RunError."""
    return list(_read(checkpoint)["cleaning"])


def rules_in(values: Any) -> Iterator[str]:
    """Find the cleaning rules that a resolved recipe names."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key == "cleaning" and isinstance(value, str):
                yield value
            yield from rules_in(value)


_WAY_OUT: Final = "Bring it back as it was, or begin anew"


def _flat(path: Path, facts: Facts) -> dict[str, Any]:
    """Return every fact that must hold, under the name by which people know what it is of."""
    return {
        str(path / RECIPE): facts["recipe"],
        **{f"{path / RUN}: pixels.{name}": value for name, value in facts["pixels"].items()},
        **{
            f"{path / RUN}: tokenizers.{name}": each["folder"]
            for name, each in facts["tokenizers"].items()
        },
        **{
            str(path / each["folder"] / name): found
            for each in facts["tokenizers"].values()
            for name, found in each[FILES].items()
        },
        **{f"the cleaning rule '{name}'": found for name, found in facts["cleaning"].items()},
        **{str(path / ARTEFACTS / name): found for name, found in facts["artefacts"].items()},
    }


def _changed(what: str, before: Any, after: Any) -> str:
    if after is None:
        return f"{what} is gone since the checkpoint was saved. {_WAY_OUT}"
    if before is None:
        return f"{what} was not there when the checkpoint was saved: remove it, or begin anew"
    return (
        f"{what} is not what the checkpoint was saved with (expected {_short(before)}, found "
        f"{_short(after)}). {_WAY_OUT}"
    )


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else json.dumps(value)


def _read(checkpoint: Path) -> dict[str, Any]:
    if not checkpoint.is_dir():
        raise RunError(f"{checkpoint} is not there: the run has not saved this checkpoint")
    path = checkpoint / MANIFEST
    if not path.is_file():
        raise RunError(
            f"{path} is not there: nothing tells whether this checkpoint is whole, and which "
            f"tokenizer and artefacts it belongs to. {_WAY_OUT}"
        )
    found = read_json(path)
    said = found.pop(SUM, None)
    if said != digest_of_facts(found):
        raise RunError(f"{path} is damaged: it is not as it was written. {_WAY_OUT}")
    expected = {field.name for field in fields(Manifest)} | {FILES}
    if found.keys() != expected:
        odd = ", ".join(sorted(found.keys() ^ expected))
        raise RunError(f"{path} is damaged: what it says and should say differ in {odd}")
    for name in sorted(expected - {"recipe"}):
        if not isinstance(found[name], dict):
            raise RunError(f"{path} is damaged: {name} is no object")
    for name, each in found["tokenizers"].items():
        if not (isinstance(each, dict) and each.keys() == {"folder", FILES}) or not (
            isinstance(each["folder"], str) and isinstance(each[FILES], dict)
        ):
            raise RunError(f"{path} is damaged: tokenizers.{name} names no folder with files")
    if wrong := [name for name in found["cleaning"] if name not in CLEANERS]:
        raise RunError(f"{path} names a cleaning rule '{wrong[0]}', which this rrg does not have")
    return found


def _artefacts(folder: Path) -> Iterator[tuple[str, str]]:
    """Hash what annotators learned and were given, without what they said of studies."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == JUDGE:  # `.`: killed while it was written
            continue
        if path.is_file():
            yield path.name, _hash_of(path)
            continue
        digest, empty = sha256(), True
        for file in _in(path):
            name = file.relative_to(path)
            if name.as_posix() not in ANSWERS and not name.parts[0].startswith("."):
                digest.update(f"{name.as_posix()}\0{_hash_of(file)}\n".encode())
                empty = False
        if not empty:
            yield path.name, digest.hexdigest()


def _named(checkpoint: Path) -> dict[str, Path]:
    """Return a checkpoint's files but for the manifest, by name."""
    files = {path.relative_to(checkpoint).as_posix(): path for path in _in(checkpoint)}
    files.pop(MANIFEST, None)
    return files


def _in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hash_of(path: Path) -> str:
    try:
        return digest_of_file(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error}). {_WAY_OUT}") from error
