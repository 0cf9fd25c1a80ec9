"""The run folder: what a run was, what it measured, and where it stands."""

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any, Literal, final, get_args

from rrgcore.confined import check_links, inside
from rrgcore.disk import make_folder, sync_file, writing
from rrgcore.errors import DataError, RunError, UserError, WriteError
from rrgcore.files import (
    append_line,
    cut_lines,
    is_unfinished,
    read_json,
    read_objects,
    tidy,
    write_json,
    write_text,
)
from rrgcore.json_text import parse_json
from rrgcore.lock import LOCK, FolderLock
from rrgcore.provenance import Provenance
from rrgcore.recipe import RUN_RECIPE, Recipe, dump_recipe, load_recipe
from rrgcore.versions import commit_of_checkout, package_versions

State = Literal["running", "finished", "stopped"]
RECIPE, RUN, METRICS, TIMING = RUN_RECIPE, "run.json", "metrics.jsonl", "timing.jsonl"
SCORES, PREDICTIONS = "scores.json", "predictions.jsonl"
EXPORT = "export.json"
"""In what `rrg export` wrote of a run."""
CHECKPOINTS, TOKENIZERS = "checkpoints", "tokenizers"
ARTEFACTS, TRAINING, GIVEN = "artefacts", "training.json", "given"
INDIFFERENT = {"data": ("workers", "cache"), "evaluation": ("batch_size",)}
"""What a run may go on with otherwise, by section: it changes no result."""
NONFINITE = "nonfinite"
"""Where batches are that stopped the run."""


@final
class RunFolder:
    """One run on disk; with several processes, only the main one's `writes`."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes
        self._counted = (0, 0)
        """Bytes of metrics.jsonl that were looked at, and the lines in them."""

    @classmethod
    def create(
        cls, path: Path, recipe: Recipe, values: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> "RunFolder":
        """Make a folder for a new run; `values` is the recipe with its defaults filled in. Raises
        RunError where a run is already.
        """
        for name in (RUN, CHECKPOINTS):
            if (path / name).exists():
                raise RunError(f"{path} holds a run already: {name} is there")
        make_folder(path)
        write_text(path / RECIPE, dump_recipe(values))
        record = {
            "recipe": recipe.name,
            "variants": list(recipe.variants),
            "overrides": list(recipe.overrides),
            "started": datetime.now().isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "packages": package_versions(),
            "commit": commit_of_checkout(),
            **facts,
            "state": "running",
        }
        write_json(path / RUN, record)  # at the end: without it a folder is none of a run
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open an existing run; raises RunError when the folder is none, and for a link in it that
        leads out of it.
        """
        folder = cls(Path(path))
        if not folder.path.is_dir():
            there = "is a file" if folder.path.exists() else "does not exist"
            unpack = ". Unpack the archive first" if folder.path.suffix == ".zip" else ""
            raise RunError(
                f"{path} {there}; expected a run folder, such as runs/<recipe>/<when>{unpack}"
            )
        if not (folder.path / RUN).is_file():
            raise RunError(
                f"{path} is not a run folder: it has no {RUN}. Runs are under runs/<recipe>/<when>"
            )
        check_links(folder.path)
        return folder

    @property
    def record(self) -> dict[str, Any]:
        """What run.json says; raises RunError where it is damaged."""
        try:
            found = read_json(self.path / RUN)
            if found.get("state") not in get_args(State):
                said = f"the state {found['state']!r}" if "state" in found else "no state"
                raise RunError(f"{self.path / RUN} is damaged (it says {said})")
        except RunError as error:
            raise RunError(
                f"{error}. Start the run anew in another folder; this one's checkpoints are as "
                "they were: remove it when you need them no longer"
            ) from error
        return found

    @property
    def state(self) -> State:
        """Whether the run is running, finished or stopped."""
        state: State = self.record["state"]
        return state

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from writing here, where this one writes; raises RunError where one
        does already.
        """
        with FolderLock(self.path).held() if self.writes else nullcontext():
            yield

    @property
    def in_use(self) -> bool:
        """Whether a process is running in it, as far as may be seen."""
        return FolderLock(self.path).in_use

    def update(self, **facts: Any) -> None:
        """Add to run.json."""
        if self.writes:
            write_json(self.path / RUN, {**self.record, **facts})

    def tidy(self) -> None:
        """Clear away what a run that was killed has left of what it was writing."""
        if self.writes:
            tidy(self.path)

    def is_beginning_of(self, values: Mapping[str, Any]) -> bool:
        """Whether a run of this recipe was killed in here while it made the folder, and nothing
        else is in it; raises RunError for a link in it that leads out of it.
        """
        check_links(self.path)
        there = {path.name for path in self.path.iterdir()} - {LOCK}
        unfinished = {n for n in there if is_unfinished(n, RECIPE) or is_unfinished(n, RUN)}
        return there - unfinished <= {RECIPE} and (RECIPE not in there or self.is_of(values))

    def is_of(self, values: Mapping[str, Any]) -> bool:
        """Whether this run is of the very same resolved recipe, but for what changes no result."""
        path = self.path / RECIPE
        if not path.is_file():
            return False
        if path.read_text(encoding="utf-8", errors="replace") == dump_recipe(values):
            return True
        try:
            own = load_recipe(path, alone=True).values
        except UserError:
            return False
        return self.decide_alike(own, values)

    @staticmethod
    def decide_alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
        """Whether two resolved recipes differ at most in what changes no result."""
        return dump_recipe(_deciding(first)) == dump_recipe(_deciding(second))

    def saved_tokenizers(self) -> dict[str, str]:
        """Return the folder of each tokenizer that the run has saved, by its name in the recipe."""
        return {name: str(path) for name, path in self.tokenizer_folders().items()}

    def tokenizer_folders(self) -> dict[str, Path]:
        """Return the same as paths; raises RunError for one that is not a folder in the run's."""
        named = self.record.get("tokenizers", {})
        said_by = f"{self.path / RUN}: tokenizers"
        if not isinstance(named, dict):
            raise RunError(f"{said_by} is no object: the file is damaged")
        found = {k: inside(self.path, v, f"{said_by}.{k}") for k, v in named.items()}
        for path in found.values():
            if not path.is_dir() or path.parent.name != TOKENIZERS:
                raise RunError(f"{said_by} names {path}, and no tokenizer is saved there")
        return found

    @property
    def pixels(self) -> dict[str, list[float]]:
        """How pixels are normalised, mean and deviation of each channel; raises RunError where
        run.json does not say.
        """
        found = self.record.get("pixels")
        if not isinstance(found, dict) or found.keys() != {"mean", "std"}:
            raise RunError(f"{self.path / RUN} is damaged: pixels has no mean and std")
        for name, values in found.items():
            if (
                not isinstance(values, list)
                or len(values) != 3
                or not all(type(value) in (int, float) and isfinite(value) for value in values)
            ):
                raise RunError(f"{self.path / RUN} is damaged: pixels.{name} is no three numbers")
        return found

    def checkpoint(self, stage: str, which: Literal["best", "last"]) -> Path:
        """Return where a stage's checkpoint is."""
        return inside(self.path, f"{CHECKPOINTS}/{stage}/{which}", "the recipe's stages")

    @property
    def best(self) -> Path:
        """Where the checkpoint to use is."""
        return self.path / CHECKPOINTS / "best"

    @property
    def artefacts(self) -> Path:
        """Where what annotators learned is kept, and what they said."""
        return self.path / ARTEFACTS

    @property
    def given(self) -> Path:
        """Where the files are kept that components were given."""
        return self.artefacts / GIVEN

    @property
    def training(self) -> Provenance | None:
        """The studies that it was trained on; None in a run made before that was recorded."""
        path = self.artefacts / TRAINING
        try:
            return Provenance.from_json(read_json(path)) if path.is_file() else None
        except DataError as error:
            raise RunError(f"{path} is damaged: {error}") from error

    def write_training(self, learned: Provenance) -> None:
        """Record the studies that it is trained on."""
        make_folder(self.artefacts)
        write_json(self.artefacts / TRAINING, learned.to_json())

    def log(self, entry: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl, which is the same for the same seed; what is no finite
        number is null there.
        """
        self._append(METRICS, {key: _finite(value) for key, value in entry.items()})

    def log_timing(self, entry: Mapping[str, Any]) -> None:
        """Add a line to timing.jsonl: what differs from machine to machine."""
        self._append(TIMING, entry)

    @property
    def exported(self) -> bool:
        """Whether it is an export: the best checkpoint, and no report."""
        return (self.path / EXPORT).is_file()

    @property
    def trained(self) -> bool:
        """Whether there is a checkpoint to go on from, `settle` having been done or not."""
        checkpoints = self.path / CHECKPOINTS
        return any(any(checkpoints.glob(f"*/{name}")) for name in ("last", ".last.replaced"))

    def stopped(self) -> None:
        """Record that it is not running any more, where it had begun and the disk takes that."""
        with suppress(WriteError):
            if (self.path / RUN).is_file():
                self.update(state="stopped")

    def remove_unless_trained(self) -> None:
        """Take away what a run wrote that failed before its first checkpoint, unless it left a
        batch to be looked at, or annotators have learned or answered something.

        The folder itself may be a link, or a place where a disk is mounted, and another error is
        about to be told: what cannot be removed stays.
        """
        kept = any((self.path / name).exists() for name in (CHECKPOINTS, NONFINITE))
        if not self.writes or kept or self.known:
            return
        with suppress(OSError):
            for each in self.path.iterdir():
                if each.is_dir() and not each.is_symlink():
                    shutil.rmtree(each, ignore_errors=True)
                elif each.name != LOCK:
                    each.unlink()
            self.path.rmdir()

    @property
    def known(self) -> bool:
        """Whether annotators have learned or answered something in it."""
        return self.artefacts.is_dir() and any(
            each.is_dir() and each.name != GIVEN for each in self.artefacts.iterdir()
        )

    def metrics(self) -> list[dict[str, Any]]:
        """Read metrics.jsonl; raises RunError naming the line that is damaged."""
        return read_objects(self.path / METRICS)

    def timing(self) -> list[dict[str, Any]]:
        """Read timing.jsonl; raises RunError naming the line that is damaged."""
        return read_objects(self.path / TIMING)

    def has_predictions(self, split: str = "test") -> bool:
        """Whether it wrote of a split's studies."""
        return (self.path / of_split(PREDICTIONS, split)).is_file()

    def predictions(self, split: str = "test") -> list[dict[str, Any]]:
        """Read what it wrote of a split's studies, each with `id`, `reference` and `prediction`,
        which are texts; raises RunError naming the line that is damaged.
        """
        path = self.path / of_split(PREDICTIONS, split)
        found = []
        try:
            # not splitlines(), which also cuts at characters that JSON leaves in a report
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
                if line:
                    found.append(_predicted(parse_json(line), number))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} is damaged ({error}): write it again, rrg evaluate {self.path}"
            ) from error
        return found

    def sync_metrics(self) -> int:
        """Have metrics.jsonl written to the disk, and count its lines: a checkpoint that says so
        many finds them, even if power fails.
        """
        path = self.path / METRICS
        if not path.is_file():
            return 0
        with writing(path):
            sync_file(path)
        size, lines = self._counted
        with path.open("rb") as file:
            file.seek(size)
            new = file.read()
        self._counted = (size + len(new), lines + new.count(b"\n"))
        return self._counted[1]

    def cut_metrics(self, lines: int) -> None:
        """Drop what was logged after a checkpoint that the run goes back to."""
        if self.writes:
            cut_lines(self.path / METRICS, lines)
            self._counted = (0, 0)

    def write_lines(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write a JSON-lines file whole."""
        if self.writes:
            write_text(self.path / name, "".join(_line(entry) for entry in entries))

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file whole."""
        if self.writes:
            write_json(self.path / name, value)

    def _append(self, name: str, entry: Mapping[str, Any]) -> None:
        if self.writes:
            append_line(self.path / name, json.dumps(entry, ensure_ascii=False))


def check_writable(path: Path) -> None:
    """Raise RunError if a run cannot be written there, before anything is computed for it."""
    existing = next(
        parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists()
    )
    if not existing.is_dir():
        raise RunError(f"{path} cannot be a run folder: {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(
            f"{path} cannot be written ({existing} is not writable); name another folder with --out"
        )


def new_folders(root: Path, recipe: Recipe) -> Iterator[Path]:
    """Name folders for a run that starts now, none of which was there: runs/<recipe>/<when>, the
    variants in the name. Of runs that start at the same time the first takes the first name.
    """
    name = "-".join((recipe.name, *recipe.variants))
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in count(1):
        path = root / name / (stem if number == 1 else f"{stem}_{number}")
        if not path.exists():
            yield path


def _deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe without what is said of the machine: threads that read, images kept, reports
    written at a time.
    """
    found = dict(values)
    for section, keys in INDIFFERENT.items():
        if isinstance(said := values.get(section), Mapping):
            found[section] = {key: said[key] for key in said if key not in keys}
    return found


def of_split(name: str, split: str) -> str:
    """Return what SCORES or PREDICTIONS is called of a split: of another than test, with its name
    in it.
    """
    return name if split == "test" else name.replace(".", f"-{split}.")


def _predicted(entry: Any, number: int) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError(f"line {number} is no JSON object")
    for name in ("id", "reference", "prediction"):
        if not isinstance(entry.get(name), str):
            raise ValueError(f"`{name}` of line {number} is no text")
    return entry


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value
