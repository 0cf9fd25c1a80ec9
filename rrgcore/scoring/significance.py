"""What a difference between scores is worth: intervals and tests that resample studies.

A corpus score is no mean of its studies' scores, so each draw is scored anew from `Terms`: sums
over the drawn studies, then the score's own formula. Document frequencies of CIDEr stay those of
the whole corpus.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from rrgcore.scoring.metric import Terms

DRAWS = 1_000
SHUFFLES = 10_000
LEVEL = 0.95
_CELLS = 4_000_000
"""Numbers held at a time; a corpus of any size is resampled in this much memory."""


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % bootstrap interval over studies."""

    value: float
    low: float
    high: float


@final
@dataclass(frozen=True, slots=True)
class Difference:
    """By how much a system's score is above another's, on the same studies."""

    value: float
    low: float
    high: float
    """A paired bootstrap interval of 95 %."""
    p: float
    """Two-sided, by paired approximate randomization: how often as large a difference appears when
    each study's two reports are exchanged by the toss of a coin.
    """

    @property
    def distinguishable(self) -> bool:
        """Whether the two systems can be told apart by this score, at the level of 0.05."""
        return self.p < 1 - LEVEL

    def __str__(self) -> str:
        verdict = "distinguishable" if self.distinguishable else "not distinguishable"
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}], p = {_p(self.p)}: {verdict}"


def intervals(
    terms: Mapping[str, Terms], *, seed: int = 0, draws: int = DRAWS
) -> dict[str, Interval]:
    """Return the bootstrap interval of each score; none of fewer than two pairs."""
    few = {name: each for name, each in terms.items() if len(each.rows) > 1}
    found: dict[str, Interval] = {}
    # scores of the same rows (those of BLEU-1 to 4, of one averaging) share the drawing
    for names in _same_rows(few).values():
        rows = few[names[0]].rows
        sums = np.concatenate([counts @ rows for counts in _resamples(len(rows), draws, seed)])
        for name in names:
            low, high = _middle(few[name].value(sums))
            found[name] = Interval(float(few[name].value(rows.sum(0, dtype=np.float64))), low, high)
    return found


def difference(
    ours: Terms,
    theirs: Terms,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    shuffles: int = SHUFFLES,
) -> Difference:
    """Compare two systems on the same studies in the same order (Noreen, 1989; Koehn, 2004)."""
    assert ours.rows.shape == theirs.rows.shape, "paired tests need the same studies in one order"
    pairs = len(ours.rows)
    assert pairs > 1, "one study tells nothing of the next"
    value, total = (
        ours.value,
        ours.rows.sum(0, dtype=np.float64) + theirs.rows.sum(0, dtype=np.float64),
    )
    observed = float(
        value(ours.rows.sum(0, dtype=np.float64)) - value(theirs.rows.sum(0, dtype=np.float64))
    )
    resampled = [
        value(counts @ ours.rows) - value(counts @ theirs.rows)
        for counts in _resamples(pairs, draws, seed)
    ]
    low, high = _middle(np.concatenate(resampled))
    apart, base = theirs.rows - ours.rows, ours.rows.sum(0, dtype=np.float64)
    # what is exchanged and equal is no difference, whatever the last bit says
    least = abs(observed) - 1e-12
    as_large = 0
    for coins in _coins(pairs, shuffles, seed):
        exchanged = base + coins @ apart
        as_large += int((np.abs(value(exchanged) - value(total - exchanged)) >= least).sum())
    return Difference(observed, low, high, (as_large + 1) / (shuffles + 1))


def pooled(runs: Sequence[Terms]) -> Terms:
    """Return the terms of several seeds' runs as one system: each study's rows are averaged."""
    return Terms(np.mean([run.rows for run in runs], axis=0), runs[0].value)


def _same_rows(terms: Mapping[str, Terms]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for name, each in terms.items():
        groups.setdefault(id(each.rows), []).append(name)
    return groups


def _middle(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _resamples(pairs: int, draws: int, seed: int) -> Iterator[Float[np.ndarray, "some pairs"]]:
    """Yield how often each pair is drawn, some draws at a time."""
    rng = np.random.default_rng(seed)
    chances = np.full(pairs, 1 / pairs)
    for count in _portions(pairs, draws):
        yield rng.multinomial(pairs, chances, count).astype(np.float64)


def _coins(pairs: int, shuffles: int, seed: int) -> Iterator[Float[np.ndarray, "some pairs"]]:
    """Yield whether each pair is exchanged, some shuffles at a time."""
    rng = np.random.default_rng(seed)
    for count in _portions(pairs, shuffles):
        yield rng.integers(0, 2, (count, pairs)).astype(np.float64)


def _portions(pairs: int, draws: int) -> Iterator[int]:
    size = max(1, _CELLS // pairs)
    for begun in range(0, draws, size):
        yield min(size, draws - begun)


def _p(p: float) -> str:
    return f"{p:.4f}" if p < 0.01 else f"{p:.2f}"
