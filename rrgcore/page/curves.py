"""Curves of training, from metrics.jsonl: every number by step, stages side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from rrgcore.page.lines import is_number

BUCKETS = 240
"""Points of a curve; a longer training has several steps to a point."""
PLACE = ("stage", "epoch", "step")
TOTAL = "loss"
OPTIMIZER = ("lr", "gradient_norm")

Kind = Literal["objective", "log", "optimizer", "validation"]


@final
@dataclass(frozen=True, slots=True)
class Stage:
    """Where a stage lies among all steps of a run."""

    name: str
    start: int
    """The steps before it."""
    steps: int


@final
@dataclass(frozen=True, slots=True)
class Point:
    """Some steps that follow each other in one stage."""

    at: int
    """The last of them, among all steps of the run."""
    stage: int
    step: int
    """The same within the stage."""
    mean: float
    low: float
    high: float
    best: bool = False
    """Of a validation: whether it was the best of its stage so far."""


@final
@dataclass(frozen=True, slots=True)
class Curve:
    """One number by step."""

    name: str
    kind: Kind
    points: Sequence[Point]


@final
@dataclass(frozen=True, slots=True)
class Training:
    """What metrics.jsonl says."""

    stages: Sequence[Stage]
    curves: Sequence[Curve]

    @property
    def steps(self) -> int:
        """Count all steps."""
        return sum(stage.steps for stage in self.stages)

    def of(self, kind: Kind) -> list[Curve]:
        """List the curves of a kind, in the order in which they are logged."""
        return [curve for curve in self.curves if curve.kind == kind]


def read_training(entries: Sequence[Mapping[str, Any]], *, select: str = "") -> Training:
    """Put a run's log together; `select` is the score that decides among validations.

    A number that is none (null), and a line that names no step, are passed over.
    """
    placed = [entry for entry in entries if _is_placed(entry)]
    stages = _stages(placed)
    numbers = {stage.name: number for number, stage in enumerate(stages)}
    width = max(1, -(-sum(stage.steps for stage in stages) // BUCKETS))
    held: dict[tuple[str, Kind], dict[tuple[int, int], list[tuple[int, float]]]] = {}
    validations = [entry for entry in placed if "split" in entry]
    for entry in placed:
        if "split" in entry:
            continue
        stage, step = numbers[entry["stage"]], entry["step"]
        for name, value in entry.items():
            if name not in PLACE and is_number(value):
                buckets = held.setdefault((name, _kind_of(name)), {})
                buckets.setdefault((stage, (step - 1) // width), []).append((step, float(value)))
    curves = [
        Curve(name, kind, [_point(stages, stage, steps) for (stage, _), steps in buckets.items()])
        for (name, kind), buckets in held.items()
    ]
    score = _validated(validations, select)
    if score:
        points = [
            _validation(entry, numbers[entry["stage"]], stages, score)
            for entry in validations
            if is_number(entry.get(score))
        ]
        curves.append(Curve(score, "validation", points))
    return Training(stages, curves)


def _stages(entries: Sequence[Mapping[str, Any]]) -> list[Stage]:
    lasts: dict[str, int] = {}
    for entry in entries:
        lasts[entry["stage"]] = max(lasts.get(entry["stage"], 0), entry["step"])
    stages: list[Stage] = []
    for name, steps in lasts.items():
        stages.append(Stage(name, sum(stage.steps for stage in stages), steps))
    return stages


def _point(stages: Sequence[Stage], stage: int, steps: Sequence[tuple[int, float]]) -> Point:
    values = [value for _, value in steps]
    last = steps[-1][0]
    mean = sum(values) / len(values)
    return Point(stages[stage].start + last, stage, last, mean, min(values), max(values))


def _validation(entry: Mapping[str, Any], stage: int, stages: Sequence[Stage], score: str) -> Point:
    value, step = float(entry[score]), entry["step"]
    best = entry.get("best") is True
    return Point(stages[stage].start + step, stage, step, value, value, value, best)


def _kind_of(name: str) -> Kind:
    if name in OPTIMIZER:
        return "optimizer"
    return "log" if "." in name else "objective"


def _validated(entries: Sequence[Mapping[str, Any]], select: str) -> str:
    """Return the score that decides, or the first that there is; nothing without validations."""
    names = [name for entry in entries for name, value in entry.items() if is_number(value)]
    scores = [name for name in dict.fromkeys(names) if name not in PLACE]
    wanted = (name for name in scores if select in (name, name.partition(".")[2]))
    return next(wanted, next(iter(scores), ""))


def _is_placed(entry: Mapping[str, Any]) -> bool:
    step = entry.get("step")
    return isinstance(entry.get("stage"), str) and type(step) is int and 0 < step < 2**53
