"""Experiment trackers, through Accelerate: what metrics.jsonl says becomes curves, each point once.

A tracker is no part of a run: it is told what the run folder holds already, and is not asked for
anything. So a run that goes on sends what a tracker does not have yet, whether the run was killed,
went on without the tracker for a while, or is tracked for the first time now.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, final
from uuid import uuid4

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker

from rrgcore.engine import Step
from rrgcore.errors import RunError, UserError, WriteError
from rrgcore.files import append_line, read_json, whole_lines
from rrgcore.folder import METRICS, SCORES, RunFolder
from rrgcore.json_text import parse_json
from rrgcore.watch import Watcher

T = TypeVar("T")
FOLDER: Final = "trackers"
"""In the run folder: TensorBoard's events, and what each tracker was sent."""
PROJECT: Final = "rrg"
"""W&B's project and MLflow's experiment, unless their own variables name another."""


@final
class Tracked(Watcher):
    """Passes on to a watcher what a run tells it, and to trackers what becomes a curve.

    Only the main process, which writes, has trackers. One that fails while the run runs is left
    out from there, and said to be: the run goes on.
    """

    def __init__(
        self, watcher: Watcher, folder: RunFolder, accelerator: Accelerator, names: Sequence[str]
    ) -> None:
        self.watcher = watcher
        self.folder = folder
        self.accelerator = accelerator
        self.names = tuple(names) if folder.writes else ()
        self._sent: dict[str, Sent] = {}
        self._curves = Curves(folder.path / METRICS)

    def begin(self, title: str, recipe: Mapping[str, Any]) -> None:
        """Open the trackers, with the recipe as configuration; raises UserError where one refuses.

        The run folder is there.
        """
        if not self.names:
            return
        place = self.folder.path / FOLDER
        place.mkdir(exist_ok=True)
        sent = {name: Sent(place / f"{name}.jsonl") for name in self.names}
        self.accelerator.log_with = [
            _make(name, place, title, sent[name].id) for name in self.names
        ]
        try:
            self.accelerator.init_trackers(PROJECT)
            for name, each in sent.items():
                if each.id is None:
                    self._tracker(name).store_init_configuration(dict(flat(recipe)))
                    each.begin(_id_of(name, self._tracker(name)))
        except Exception as error:
            for tracker in self.accelerator.trackers:
                with suppress(Exception):  # some were started, some were not
                    tracker.finish()
            raise UserError(
                f"--track {','.join(self.names)}: cannot be started: {_in_a_line(error)}\n"
                "Mend that, or run without it; the run itself needs no tracker"
            ) from error
        self._sent = sent

    def end(self) -> None:
        """Send what is left, the scores of the test split included, and close the trackers."""
        self._follow()
        if self._sent and (self.folder.path / SCORES).is_file():
            self._send("test", self._curves.step, final_curves(self.folder.path / SCORES))
        self.close()

    def close(self, *, failed: bool = False) -> None:
        """Close the trackers, where any is open."""
        for name in list(self._sent):
            self._guarded(name, partial(_close, name, self._tracker(name), failed))
        self._sent = {}
        self.accelerator.trackers = []

    # ---- what a run tells -------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Pass it on."""
        self.watcher.note(text)

    def stage(self, name: str, number: int, count: int, steps: int, done: int, epochs: int) -> None:
        """Pass it on; metrics.jsonl is then cut to what the run goes on from."""
        self.watcher.stage(name, number, count, steps, done, epochs)
        self._follow()

    def step(self, step: Step) -> None:
        """Pass it on, and send its line of metrics.jsonl."""
        self.watcher.step(step)
        self._follow()

    def image_gap(self, gap: float) -> None:
        """Pass it on."""
        self.watcher.image_gap(gap)

    def scored(self, title: str, scores: Mapping[str, float], *, best: bool) -> None:
        """Pass it on, and send the validation's line."""
        self.watcher.scored(title, scores, best=best)
        self._follow()

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        """Pass it on."""
        return self.watcher.track(items, title, total)

    def progress(self, title: str) -> Callable[[int, int], None] | None:
        """Pass it on."""
        return self.watcher.progress(title)

    # ---- sending ----------------------------------------------------------------------------

    def _follow(self) -> None:
        if self._sent:
            for split, step, values in self._curves.new():
                self._send(split, step, values)

    def _send(self, split: str, step: int, values: Mapping[str, float]) -> None:
        for name, sent in list(self._sent.items()):
            if sent.is_new(split, step):
                # noted first: killed in between, a point is lost rather than there twice
                self._guarded(name, partial(sent.add, split, step))
                self._guarded(name, partial(self._log, name, step, values))

    def _log(self, name: str, step: int, values: Mapping[str, float]) -> None:
        if name not in self._sent:
            return
        tracker = self._tracker(name)
        if name == "mlflow":
            values = {re.sub(r"[^\w\-. :/]", "", key): value for key, value in values.items()}
        elif name == "wandb":
            # it drops what is behind its own count: a validation after the step was closed
            step = max(step, tracker.tracker.step)
        tracker.log(dict(values), step=step)

    def _tracker(self, name: str) -> GeneralTracker:
        found: GeneralTracker = self.accelerator.get_tracker(name)
        return found

    def _guarded(self, name: str, do: Callable[[], None]) -> None:
        try:
            do()
        except WriteError:
            raise
        except Exception as error:
            self._sent.pop(name, None)
            self.watcher.note(
                f"{name} failed and is left out from here ({_in_a_line(error)}). Going on with the "
                f"run by --track {name} sends what is missing"
            )


# ---- curves ---------------------------------------------------------------------------------


@final
class Curves:
    """The lines of metrics.jsonl as points of curves over all stages: a stage's steps are counted
    on from those of the stages before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._stage: str | None = None
        self._before = 0
        self._in_stage = 0

    @property
    def step(self) -> int:
        """How many steps all stages have taken."""
        return self._before + self._in_stage

    def new(self) -> Iterator[tuple[str, int, dict[str, float]]]:
        """Yield split, step and values of each line that was written since this was asked last."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield self._point(parse_json(line))

    def _point(self, entry: Mapping[str, Any]) -> tuple[str, int, dict[str, float]]:
        if entry["stage"] != self._stage:
            self._before, self._in_stage, self._stage = self.step, 0, entry["stage"]
        self._in_stage = max(self._in_stage, entry["step"])
        split = entry.get("split", "train")
        values = {
            f"{split}/{key}": float(value)
            for key, value in entry.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and key != "step"
        }
        return split, self._before + entry["step"], values


def final_curves(path: Path) -> dict[str, float]:
    """Return the scores of scores.json, and those with exchanged images, under curves' names."""
    found = read_json(path)
    parts = {"test": found["protocols"], "test_exchanged": found.get("shuffled images") or {}}
    return {
        f"{part}/{protocol}.{name}": float(value)
        for part, protocols in parts.items()
        for protocol, scores in protocols.items()
        for name, value in scores.items()
    }


def flat(recipe: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a recipe's values by address, as trackers take them: lists become text."""
    for key, value in recipe.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{key}.")
        else:
            plain = isinstance(value, str | int | float)
            yield f"{above}{key}", value if plain else json.dumps(value)


# ---- what a tracker has ---------------------------------------------------------------------


@final
class Sent:
    """What a tracker was sent, kept in the run folder: its own name for the run, and how far each
    curve is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id: str | None = None
        self.steps: dict[str, int] = {}
        for line in whole_lines(path):
            try:
                entry = parse_json(line)
                self.id = entry.pop("id", self.id)
                self.steps.update({str(split): int(step) for split, step in entry.items()})
            except (ValueError, TypeError, AttributeError) as error:
                raise RunError(
                    f"{path} is damaged ({error}): remove it, and the tracker is sent all again"
                ) from error

    def begin(self, id: str) -> None:
        """Note what the tracker calls the run."""
        self.id = id
        append_line(self.path, json.dumps({"id": id}))

    def is_new(self, split: str, step: int) -> bool:
        """Whether a point was not sent yet."""
        return step > self.steps.get(split, -1)

    def add(self, split: str, step: int) -> None:
        """Note that a point is sent."""
        self.steps[split] = step
        append_line(self.path, json.dumps({split: step}))


# ---- the trackers' own ----------------------------------------------------------------------


def _make(name: str, place: Path, title: str, id: str | None) -> GeneralTracker:
    """Make a tracker that is not started; what its own variables say is left to them."""
    if name == "tensorboard":
        return TensorBoardTracker(name, place)
    if name == "mlflow":
        named = None if "MLFLOW_RUN_NAME" in os.environ else title
        return MLflowTracker(PROJECT, run_id=id, run_name=None if id else named)
    own: dict[str, Any] = {"name": title} if "WANDB_NAME" not in os.environ else {}
    if "WANDB_CONSOLE" not in os.environ:
        own["settings"] = {"console": "off"}  # what is printed stays here
    id = id or os.environ.get("WANDB_RUN_ID") or uuid4().hex[:8]
    return WandBTracker(os.environ.get("WANDB_PROJECT") or PROJECT, id=id, resume="allow", **own)


def _id_of(name: str, tracker: GeneralTracker) -> str:
    if name == "tensorboard":
        return name
    run = tracker.tracker
    return str(run.info.run_id if name == "mlflow" else run.id)


def _close(name: str, tracker: GeneralTracker, failed: bool) -> None:
    """Close a tracker's run; one that failed, or was stopped, is to be seen as such."""
    if failed and name == "wandb":
        tracker.tracker.finish(exit_code=1)
    elif failed and name == "mlflow":
        import mlflow

        mlflow.end_run("KILLED")
    else:
        tracker.finish()


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
