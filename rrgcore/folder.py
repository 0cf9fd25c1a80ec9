"""The run folder: what a run was, what it measured, and where it stands."""

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from math import isfinite
from pathlib import Path
from typing import IO, Any, Literal, final, get_args

from rrgcore.confined import check_links, inside
from rrgcore.disk import make_folder, refusal, sync_file, writing
from rrgcore.errors import DataError, RunError, UserError, WriteError
from rrgcore.files import (
    append_line,
    cut_lines,
    is_unfinished,
    lock_file,
    read_json,
    tidy,
    whole_lines,
    write_json,
    write_text,
)
from rrgcore.json_text import parse_json
from rrgcore.provenance import Provenance
from rrgcore.recipe import Recipe, dump_recipe, load_recipe

State = Literal["running", "finished", "stopped"]
RECIPE, RUN, METRICS, TIMING = "recipe.yaml", "run.json", "metrics.jsonl", "timing.jsonl"
SCORES, PREDICTIONS, LOCK = "scores.json", "predictions.jsonl", ".lock"
CHECKPOINTS, TOKENIZERS = "checkpoints", "tokenizers"
ARTEFACTS, TRAINING, GIVEN = "artefacts", "training.json", "given"
INDIFFERENT = ("workers", "cache")
"""Keys of `data` that a run may go on with otherwise."""
NONFINITE = "nonfinite"
"""Where batches are that stopped the run."""
UNFOLLOWED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""A lock may be a stranger's: a link is not followed, and a pipe not waited for."""
LOOKS = 10
"""Times that a folder is tried to be held: whoever looks whether it is in use holds it a moment."""
BETWEEN = 0.03
"""Seconds between two of them."""
PACKAGES = ("rrg", "torch", "torchvision", "transformers", "timm", "accelerate", "safetensors")


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
            "commit": _commit(),
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
            raise RunError(f"{path} {there}; expected a run folder, such as runs/<recipe>/<when>")
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
        """Keep other processes from writing here; raises RunError where one does already.

        The folder is made if need be, and where nothing is written into it, it is taken away again.
        """
        if not self.writes:
            yield
            return
        made = [each for each in (self.path, *self.path.parents) if not each.exists()]
        try:
            with self._locked() as file:
                try:
                    yield
                finally:
                    if self._is_lock(file):  # else it is another's, who made the folder anew
                        (self.path / LOCK).unlink(missing_ok=True)
        finally:
            for each in made:
                with suppress(OSError):
                    each.rmdir()  # where something is in it, it stays

    def _locked(self) -> IO[bytes]:
        """Return the locked file by which the folder, made if need be, is held."""
        path = self.path / LOCK
        try:
            for look in range(LOOKS):
                time.sleep(BETWEEN if look else 0)
                with suppress(FileNotFoundError):  # who held the folder has taken it away just now
                    make_folder(self.path)
                    file = _opened(path, os.O_RDWR | os.O_CREAT)
                    # or the lock alone, between our opening and our locking it
                    if lock_file(file) and self._is_lock(file):
                        return file
                    file.close()
        except OSError as error:
            if path.is_symlink():
                raise RunError(f"{path} is a link, and a run's lock is none: remove it") from error
            why = RunError(f"{self.path} cannot be written ({error})")
            raise refusal(error, path) or why from error
        raise RunError(f"{self.path} is in use: another rrg is running in it")

    def _is_lock(self, file: IO[bytes]) -> bool:
        """Whether an open file is the one that is there."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file.fileno()), (self.path / LOCK).lstat())
        return False

    @property
    def in_use(self) -> bool:
        """Whether a process is running in it, as far as may be seen: another user's lock that
        cannot be looked at is taken for one.
        """
        try:
            with _opened(self.path / LOCK, os.O_RDONLY) as file:
                return not lock_file(file, shared=True)
        except FileNotFoundError:
            return False
        except OSError:
            return True

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
        batch to be looked at.
        """
        kept = any((self.path / name).exists() for name in (CHECKPOINTS, NONFINITE))
        if self.writes and not kept:
            shutil.rmtree(self.path)

    def metrics(self) -> list[dict[str, Any]]:
        """Read metrics.jsonl; raises RunError naming the line that is damaged."""
        found: list[dict[str, Any]] = []
        for number, line in enumerate(whole_lines(self.path / METRICS), start=1):
            try:
                entry = parse_json(line)
            except ValueError as error:
                raise RunError(f"{self.path / METRICS}, line {number}: {error}") from error
            if not isinstance(entry, dict):
                raise RunError(f"{self.path / METRICS}, line {number}: is no JSON object")
            found.append(entry)
        return found

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


def _opened(path: Path, flags: int) -> IO[bytes]:
    """Open a lock, and leave what is in it as it is."""
    return open(os.open(path, flags | UNFOLLOWED, 0o666), "rb", buffering=0)


def _deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe without what is said of the machine: threads that read, images kept."""
    data = values.get("data")
    if not isinstance(data, Mapping):
        return dict(values)
    return {**values, "data": {key: data[key] for key in data if key not in INDIFFERENT}}


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


def package_versions() -> dict[str, str | None]:
    """Return the versions of the packages that a run's numbers depend on."""
    return {name: _version(name) for name in PACKAGES}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that rrg runs from, where it runs from one."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return found.stdout.strip() or None
