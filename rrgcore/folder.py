"""The run folder: what a run was, what it measured, and where it stands."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, final

from rrgcore.checkpoint import write_json
from rrgcore.errors import RunError
from rrgcore.recipe import Recipe, dump_recipe

State = Literal["running", "finished", "stopped"]
RECIPE, RUN, METRICS, TIMING = "recipe.yaml", "run.json", "metrics.jsonl", "timing.jsonl"
SCORES, PREDICTIONS = "scores.json", "predictions.jsonl"
PACKAGES = ("rrg", "torch", "torchvision", "transformers", "timm", "accelerate", "safetensors")


@final
class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls, path: Path, recipe: Recipe, values: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> "RunFolder":
        """Make a folder for a new run; `values` is the recipe with its defaults filled in."""
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path)
        (path / RECIPE).write_text(dump_recipe(values), encoding="utf-8")
        record = {
            "recipe": recipe.name,
            "variants": list(recipe.variants),
            "overrides": list(recipe.overrides),
            "started": datetime.now().isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES},
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
        if not (folder.path / RUN).is_file():
            raise RunError(
                f"{path} is not a run folder: it has no {RUN}. Runs are under runs/<recipe>/<when>"
            )
        return folder

    @property
    def record(self) -> dict[str, Any]:
        """What run.json says."""
        return dict(json.loads((self.path / RUN).read_text(encoding="utf-8")))

    @property
    def state(self) -> State:
        """Whether the run is running, finished or stopped."""
        state: State = self.record["state"]
        return state

    def update(self, **facts: Any) -> None:
        """Add to run.json."""
        write_json(self.path / RUN, {**self.record, **facts})

    def is_of(self, values: Mapping[str, Any]) -> bool:
        """Whether this run is of the very same resolved recipe."""
        return (self.path / RECIPE).read_text(encoding="utf-8") == dump_recipe(values)

    def saved_tokenizers(self) -> dict[str, str]:
        """Return the folder of each tokenizer that the run has saved, by the recipe's name for it."""
        return {k: str(self.path / v) for k, v in self.record.get("tokenizers", {}).items()}

    def checkpoint(self, stage: str, which: Literal["best", "last"]) -> Path:
        """Return where a stage's checkpoint is."""
        return self.path / "checkpoints" / stage / which

    @property
    def best(self) -> Path:
        """Where the checkpoint to use is."""
        return self.path / "checkpoints" / "best"

    def log(self, entry: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl, which is the same for the same seed."""
        self._append(METRICS, entry)

    def log_timing(self, entry: Mapping[str, Any]) -> None:
        """Add a line to timing.jsonl: what differs from machine to machine."""
        self._append(TIMING, entry)

    def metrics(self) -> list[dict[str, Any]]:
        """Read metrics.jsonl."""
        path = self.path / METRICS
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def cut_metrics(self, lines: int) -> None:
        """Drop what was logged after a checkpoint that the run goes back to."""
        kept = self.metrics()[:lines]
        beside = self.path / f".{METRICS}.writing"
        beside.write_text("".join(_line(entry) for entry in kept), encoding="utf-8")
        os.replace(beside, self.path / METRICS)

    def write_lines(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write a JSON-lines file whole."""
        beside = self.path / f".{name}.writing"
        beside.write_text("".join(_line(entry) for entry in entries), encoding="utf-8")
        os.replace(beside, self.path / name)

    def _append(self, name: str, entry: Mapping[str, Any]) -> None:
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(_line(entry))


def new_folder(root: Path, recipe: Recipe) -> Path:
    """Name a folder for a run that starts now: runs/<recipe>/<when>, the variants in the name."""
    name = "-".join((recipe.name, *recipe.variants))
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, count = root / name / stem, 1
    while path.exists():
        count += 1
        path = root / name / f"{stem}_{count}"
    return path


def unfinished(root: Path, recipe: Recipe, values: Mapping[str, Any]) -> Path | None:
    """Find the newest unfinished run of the very same resolved recipe."""
    name = "-".join((recipe.name, *recipe.variants))
    for path in sorted((root / name).glob("*/"), reverse=True):
        if (path / RUN).is_file():
            folder = RunFolder(path)
            if folder.state != "finished" and folder.is_of(values):
                return path
    return None


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


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
