"""By how much a row is above another one, and whether that can be told from chance.

Two things are drawn: studies, as another test split would have others, and seeds, as another
training would. Both rows get the same studies, and where they have seeds in common, the same seeds.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar, final

import numpy as np
from jaxtyping import Float

from rrgcore.ablation.average import LEAST
from rrgcore.scoring.metric import Terms
from rrgcore.scoring.significance import (
    DRAWS,
    LEVEL,
    Interval,
    difference,
    middle,
    pooled,
    resamples,
)

K = TypeVar("K", bound=Hashable)


@final
@dataclass(frozen=True, slots=True)
class Sampled:
    """A score of one run, and what it is on other draws of the same studies."""

    terms: Terms
    value: float
    draws: Float[np.ndarray, " draws"]


@final
@dataclass(frozen=True, slots=True)
class Change:
    """By how much one row's score is above another's."""

    value: float
    low: float
    high: float
    """An interval of 95 %, over studies and seeds."""
    p: float
    """Two-sided, by paired approximate randomization over studies, seeds as they are."""
    seeds: int
    """Seeds that the two rows have in common; 0 where none are paired."""

    @property
    def distinguishable(self) -> bool:
        """Whether the rows can be told apart: p below 0.05, and 0 outside the interval.

        The interval alone knows of seeds, and is too narrow with few; the test does not, and holds
        its level with any number of studies.
        """
        return self.p < 1 - LEVEL and not self.low <= 0 <= self.high


def sample(terms: Mapping[K, Terms], *, seed: int = 0, draws: int = DRAWS) -> dict[K, Sampled]:
    """Score every run on the same draws of studies, of which all have the same number."""
    pairs = {len(each.rows) for each in terms.values()}
    assert len(pairs) == 1, "runs are drawn together on the same studies"
    drawn: dict[K, list[Float[np.ndarray, " some"]]] = {key: [] for key in terms}
    for counts in resamples(pairs.pop(), draws, seed):
        # scores of the same rows (BLEU-1 to 4 of a run) share the sums
        sums: dict[int, Float[np.ndarray, "some terms"]] = {}
        for key, each in terms.items():
            if id(each.rows) not in sums:
                sums[id(each.rows)] = counts @ each.rows
            drawn[key].append(each.value(sums[id(each.rows)]))
    return {
        key: Sampled(
            each,
            float(each.value(each.rows.sum(0, dtype=np.float64))),
            np.concatenate(drawn[key]),
        )
        for key, each in terms.items()
    }


def change(
    ours: Mapping[int, Sampled], reference: Mapping[int, Sampled], *, seed: int = 0
) -> Change:
    """Compare a score of two rows, each a run a seed; on the seeds of both, if there are any."""
    common = sorted(ours.keys() & reference.keys())
    if common:
        ours, reference = ({s: row[s] for s in common} for row in (ours, reference))
    above = float(_mean(ours) - _mean(reference))
    low, high = middle(_drawn(ours, seed, 0) - _drawn(reference, seed, 0 if common else 1))
    test = difference(_pool(ours), _pool(reference), seed=seed, draws=1)
    return Change(above, low, high, test.p, len(common))


def average_interval(
    ours: Mapping[str, Mapping[int, Sampled]],
    reference: Mapping[str, Mapping[int, Sampled]],
    *,
    seed: int = 0,
) -> Interval | None:
    """Return AVG.Δ with its interval over studies and seeds, by metric and seed.

    None where the rows have other seeds, or a draw of the reference scores 0.
    """
    changes, value = [], 0.0
    for metric, own in ours.items():
        other = reference[metric]
        if own.keys() != other.keys():
            return None
        below = _drawn(other, seed, 0)
        if below.min() < LEAST:
            return None
        changes.append(_drawn(own, seed, 0) / below - 1)
        value += _mean(own) / _mean(other) - 1
    if not changes:
        return None
    return Interval(value / len(changes), *middle(np.mean(changes, axis=0)))


def _mean(runs: Mapping[int, Sampled]) -> float:
    return sum(run.value for run in runs.values()) / len(runs)


def _drawn(runs: Mapping[int, Sampled], seed: int, stream: int) -> Float[np.ndarray, " draws"]:
    """Return the mean over seeds that are drawn too, for each draw of studies."""
    scores = np.stack([run.draws for _, run in sorted(runs.items())])
    rng = np.random.default_rng([seed, stream, len(scores)])
    picked = rng.integers(0, len(scores), scores.shape)
    return np.asarray(np.take_along_axis(scores, picked, axis=0).mean(axis=0))


def _pool(runs: Mapping[int, Sampled]) -> Terms:
    return pooled([{"": run.terms} for _, run in sorted(runs.items())])[""]
