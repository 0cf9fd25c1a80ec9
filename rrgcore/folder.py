"""The run folder: what a run was, what it measured, and where it stands."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any, Literal, final

from rrgcore.errors import RunError
from rrgcore.files import lock_file, read_json, write_json, write_text
from rrgcore.provenance import Provenance
from rrgcore.recipe import Recipe, dump_recipe

State = Literal["running", "finished", "stopped"]
RECIPE, RUN, METRICS, TIMING = "recipe.yaml", "run.json", "metrics.jsonl", "timing.jsonl"
SCORES, PREDICTIONS, LOCK = "scores.json", "predictions.jsonl", ".lock"
CHECKPOINTS = "checkpoints"
ARTEFACTS, TRAINING = "artefacts", "training.json"
PACKAGES = ("rrg", "torch", "torchvision", "transformers", "timm", "accelerate", "safetensors")


@final
class RunFolder:
    """One run on disk; with several processes, only the main one's `writes`."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes

    @classmethod
    def create(
        cls, path: Path, recipe: Recipe, values: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> "RunFolder":
        """Make a folder for a new run; `values` is the recipe with its defaults filled in."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / RECIPE, dump_recipe(values))
        except OSError as error:
            raise unwritable(path, error) from error
        folder = cls(path)
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
        write_json(path / RUN, record)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open an existing run; raises RunError when the folder is none."""
        folder = cls(Path(path))
        if not folder.path.is_dir():
            there = "is a file" if folder.path.exists() else "does not exist"
            raise RunError(f"{path} {there}; expected a run folder, such as runs/<recipe>/<when>")
        if not (folder.path / RUN).is_file():
            raise RunError(
                f"{path} is not a run folder: it has no {RUN}. Runs are under runs/<recipe>/<when>"
            )
        return folder

    @property
    def record(self) -> dict[str, Any]:
        """What run.json says; raises RunError where it is damaged."""
        try:
            found = read_json(self.path / RUN)
            if "state" not in found:
                raise RunError(f"{self.path / RUN} is damaged (it says no state)")
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
        """Keep other processes from writing here; raises RunError where one does already."""
        if not self.writes:
            yield
            return
        with (self.path / LOCK).open("w") as file:
            if not lock_file(file):
                raise RunError(f"{self.path} is in use: another rrg is running in it")
            try:
                yield
            finally:
                (self.path / LOCK).unlink(missing_ok=True)

    @property
    def in_use(self) -> bool:
        """Whether a process is running in it."""
        path = self.path / LOCK
        if not path.is_file():
            return False
        with path.open("w") as file:
            return not lock_file(file)

    def update(self, **facts: Any) -> None:
        """Add to run.json."""
        if self.writes:
            write_json(self.path / RUN, {**self.record, **facts})

    def is_of(self, values: Mapping[str, Any]) -> bool:
        """Whether this run is of the very same resolved recipe."""
        path = self.path / RECIPE
        if not path.is_file():
            return False
        return path.read_text(encoding="utf-8", errors="replace") == dump_recipe(values)

    def saved_tokenizers(self) -> dict[str, str]:
        """Return the folder of each tokenizer that the run has saved, by its name in the recipe."""
        return {k: str(self.path / v) for k, v in self.record.get("tokenizers", {}).items()}

    def checkpoint(self, stage: str, which: Literal["best", "last"]) -> Path:
        """Return where a stage's checkpoint is."""
        return self.path / CHECKPOINTS / stage / which

    @property
    def best(self) -> Path:
        """Where the checkpoint to use is."""
        return self.path / CHECKPOINTS / "best"

    @property
    def artefacts(self) -> Path:
        """Where what annotators learned is kept, and what they said."""
        return self.path / ARTEFACTS

    @property
    def training(self) -> Provenance | None:
        """The studies that it was trained on; None in a run made before that was recorded."""
        path = self.artefacts / TRAINING
        return Provenance.from_json(read_json(path)) if path.is_file() else None

    def write_training(self, learned: Provenance) -> None:
        """Record the studies that it is trained on."""
        self.artefacts.mkdir(exist_ok=True)
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

    def remove_unless_trained(self, *, parents: bool) -> None:
        """Take away what a run wrote that failed before its first checkpoint; `parents` too if
        empty.
        """
        if self.writes and not (self.path / CHECKPOINTS).exists():
            shutil.rmtree(self.path)
            for parent in list(self.path.parents)[:2]:
                if parents and not any(parent.iterdir()):
                    parent.rmdir()

    def metrics(self) -> list[dict[str, Any]]:
        """Read metrics.jsonl."""
        return [json.loads(line) for line in self._lines()]

    @property
    def metrics_lines(self) -> int:
        """Count the lines of metrics.jsonl."""
        return len(self._lines())

    def cut_metrics(self, lines: int) -> None:
        """Drop what was logged after a checkpoint that the run goes back to."""
        if self.writes:
            kept = self._lines()[:lines]
            write_text(self.path / METRICS, "".join(f"{line}\n" for line in kept))

    def write_lines(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write a JSON-lines file whole."""
        if self.writes:
            write_text(self.path / name, "".join(_line(entry) for entry in entries))

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file whole."""
        if self.writes:
            write_json(self.path / name, value)

    def _lines(self) -> list[str]:
        path = self.path / METRICS
        # not splitlines(), which also cuts at characters that JSON leaves in a string
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return text.split("\n")[:-1]

    def _append(self, name: str, entry: Mapping[str, Any]) -> None:
        if self.writes:
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(_line(entry))


def check_writable(path: Path) -> None:
    """Raise RunError if a run cannot be written there, before anything is computed for it."""
    existing = next(
        parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists()
    )
    if not existing.is_dir():
        raise RunError(f"{path} cannot be a run folder: {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise unwritable(path, f"{existing} is not writable")


def unwritable(path: Path, why: object) -> RunError:
    """Say that a run folder cannot be written."""
    return RunError(f"{path} cannot be written ({why}); name another folder with --out")


def new_folder(root: Path, recipe: Recipe) -> Path:
    """Name a folder for a run that starts now: runs/<recipe>/<when>, the variants in the name."""
    name = "-".join((recipe.name, *recipe.variants))
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, count = root / name / stem, 1
    while path.exists():
        count += 1
        path = root / name / f"{stem}_{count}"
    return path


def unfinished(
    root: Path, recipe: Recipe, values: Mapping[str, Any], note: Callable[[str], None]
) -> Path | None:
    """Find the newest unfinished run of the very same resolved recipe; `note` hears of damage."""
    name = "-".join((recipe.name, *recipe.variants))
    for path in sorted((root / name).glob("*/"), reverse=True):
        folder = RunFolder(path)
        if not (path / RUN).is_file():
            continue
        try:
            state = folder.state
        except RunError as error:
            note(f"{path} is passed over: {error}")
            continue
        if state != "finished" and folder.is_of(values) and not folder.in_use:
            return path
    return None


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
