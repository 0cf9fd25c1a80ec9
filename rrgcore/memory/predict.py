"""How much memory training takes, found out without allocating or downloading any of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from rrgcore.assembled import check_assembled
from rrgcore.errors import DataError, UserError, shortened
from rrgcore.memory.imagined import CountingTokenizer
from rrgcore.memory.stage import Kind, Rehearsed, Standing, Step
from rrgcore.plan import Plan
from rrgcore.tokenizers import Tokenizers

CARDS: Mapping[str, int] = {"24 GB": 24, "48 GB": 48, "80 GB": 80}
"""Gigabytes of 10⁹ bytes; what a card has beyond them, one or more, the driver takes."""
MARGIN = 0.05
"""Lost between blocks of memory, and to the libraries' own."""


MOST = 1024
"""Studies in a batch, beyond which nobody asks."""


@final
@dataclass(frozen=True, slots=True)
class Memory:
    """What the stage that needs most takes, in bytes, and how large the batches of all may be."""

    stage: str
    precision: str
    optimizer: str
    batch_size: int
    views: int
    report_tokens: int
    standing: Standing
    step: Step
    writing: int
    """Most at once while reports are written."""
    a_study: int
    """What one more study in the batch adds."""
    fits: Mapping[str, int]
    """The largest batch by card with which every stage fits; 0 where not even one study does,
    `MOST` where more would.
    """

    @property
    def peak(self) -> int:
        """Most at once, in training or writing."""
        return max(self.standing.peak, self.step.peak, self.writing)

    @property
    def with_margin(self) -> int:
        """The same, and what is lost besides."""
        return round(self.peak * (1 + MARGIN))


def predict_memory(
    plan: Plan, tokenizers: Tokenizers, *, views: int = 1, device: Kind = "cuda"
) -> Memory:
    """Rehearse every stage that may need most, at the batch size of the recipe, and at the largest
    that may fit.

    `tokenizers` may be stood in for. Raises DataError where only a plugin knows how large what its
    components read is, or where one cannot do without values; RecipeError for what cannot be
    assembled.
    """
    try:
        return _predict(plan, tokenizers, views, device)
    except UserError:
        raise
    except Exception as error:  # whatever a component makes of numbers that are not there
        raise DataError(
            "the memory of this recipe cannot be told without running it: a component does not "
            f"work without values ({type(error).__name__}: {shortened(str(error))})"
        ) from error


def _predict(plan: Plan, tokenizers: Tokenizers, views: int, device: Kind) -> Memory:
    check_assembled(plan, tokenizers, views=views)
    for name in tokenizers.absent:
        tokenizers.loaded[name] = CountingTokenizer(size=len(tokenizers.loaded[name]))
    size = plan.data.batch_size
    found: list[tuple[str, Rehearsed, Step]] = []
    for name in _different_stages(plan):
        rehearsed = Rehearsed(plan, tokenizers, name, views=views, device=device)
        found.append((name, rehearsed, rehearsed.step(size)))
    # which stage needs most depends on the batch: one has more weights, another more activations
    growths = {stage: _grown(rehearsed, size, step) for stage, rehearsed, step in found}
    name, rehearsed, step = max(found, key=lambda one: max(one[1].standing.peak, one[2].peak))
    return Memory(
        stage=name,
        precision=rehearsed.stage.precision,
        optimizer=rehearsed.stage.optimizer.name,
        batch_size=size,
        views=views,
        report_tokens=plan.data.max_report_tokens,
        standing=rehearsed.standing,
        step=step,
        writing=rehearsed.writing(plan.evaluation.batch_size or size),
        a_study=growths[name].a_study,
        fits={
            card: min(growth.largest(_room(gigabytes)) for growth in growths.values())
            for card, gigabytes in CARDS.items()
        },
    )


def _grown(rehearsed: Rehearsed, size: int, step: Step) -> "Growth":
    """Try a stage at another batch size than the recipe's, and at the largest that may fit."""
    growth = Growth({size: step.peak}, rehearsed.standing.peak)
    other = 1 if size > 1 else 2
    growth.add(other, rehearsed.step(other).peak)
    if (largest := growth.largest(_room(max(CARDS.values())))) > size:
        growth.add(largest, rehearsed.step(largest).peak)
    return growth


@final
class Growth:
    """Bytes by batch size, between the sizes that were tried on straight lines.

    The true curve bends upwards only, being the largest of several lines: what is between two
    points is never more than it is taken for.
    """

    def __init__(self, peaks: dict[int, int], always: int) -> None:
        self._peaks = peaks
        self._always = always

    def add(self, size: int, peak: int) -> None:
        """Take a further size into account."""
        self._peaks[size] = peak

    @property
    def a_study(self) -> int:
        """What one more study adds to the largest batches that were tried."""
        (small, less), (large, more) = sorted(self._peaks.items())[-2:]
        return max(1, round((more - less) / (large - small)))

    def largest(self, room: int) -> int:
        """Return the largest batch that fits, at most `MOST`; 0 where none does."""
        if self._always > room:
            return 0
        tried = sorted(self._peaks.items())
        fitting = [size for size, peak in tried if peak <= room]
        if not fitting:
            return 0
        at = min(max(len(fitting), 1), len(tried) - 1)
        (small, less), (large, more) = tried[at - 1], tried[at]
        each = max(1.0, (more - less) / (large - small))
        return min(MOST, int(small + (room - less) / each))


def _room(gigabytes: int) -> int:
    return round(gigabytes * 1e9 / (1 + MARGIN))


def _different_stages(plan: Plan) -> list[str]:
    """List the stages, but for those that do in the same way no more than another one does."""
    way = {
        name: (stage.freeze, stage.precision, stage.accumulate > 1, stage.optimizer.name)
        for name, stage in plan.stages.items()
    }
    tasks = {name: plan.stage_weights(name).keys() for name in plan.stages}
    order = list(plan.stages)

    def covered(name: str) -> bool:
        return any(
            way[name] == way[other]
            and tasks[name] <= tasks[other]
            and (tasks[name] != tasks[other] or order.index(other) < order.index(name))
            for other in order
            if other != name
        )

    return [name for name in order if not covered(name)]
