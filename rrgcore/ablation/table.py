"""The table of an ablation as numbers: its lines, its columns, and what stands below it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from rrgcore.ablation.changes import Change
from rrgcore.scoring.significance import Interval


@final
@dataclass(frozen=True, slots=True)
class Cell:
    """A score of a row: a mean over seeds, or that of one."""

    value: float
    deviation: float | None = None
    """Over seeds (of a sample: n − 1); None of one seed."""
    interval: Interval | None = None
    """Over studies; of one seed only."""
    values: tuple[float, ...] = ()
    """Of each seed."""


@final
@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table."""

    label: str
    variants: tuple[str, ...]
    asked: tuple[int, ...]
    seeds: tuple[int, ...]
    """Those that are finished."""
    figures: Mapping[str, Cell]
    average: float | None
    """AVG.Δ, of the means that the table shows: 0.15 is 15 %."""
    average_interval: Interval | None
    changes: Mapping[str, Change]
    """To the reference row; none of the row itself."""
    training_s: float | None
    """Mean over seeds."""
    whole_s: float | None
    trainable: int | None
    parameters: int | None


@final
@dataclass(frozen=True, slots=True)
class Table:
    """Everything that is said of an ablation."""

    recipe: str
    base: tuple[str, ...]
    reference: str
    metrics: tuple[str, ...]
    """By whole name: coco.CIDEr."""
    delta: str | None
    """Whose AVG.Δ, if any."""
    lines: tuple[Line, ...]
    verdicts: tuple[str, ...] = field(default=())
    """What can be told apart, in words."""
    notes: tuple[str, ...] = field(default=())

    def short(self, metric: str) -> str:
        """Return a score's name without its protocol, where no other column has that name."""
        bare = metric.partition(".")[2]
        alike = [m for m in self.metrics if m.partition(".")[2] == bare]
        return bare if len(alike) == 1 else metric
