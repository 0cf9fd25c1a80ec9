"""What a difference between scores is worth: intervals and tests that resample studies.

A corpus score is no mean of its studies' scores, so each draw is scored anew from `Terms`: sums
over the drawn studies, then the score's own formula. Document frequencies of CIDEr stay those of
the whole corpus.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lcm
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


def shown_figure(value: object) -> str:
    """Write a figure of scores.json as people read it: with its interval where it has one."""
    if isinstance(value, Mapping):
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


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
        sums = np.concatenate([counts @ rows for counts in resamples(len(rows), draws, seed)])
        for name in names:
            low, high = middle(few[name].value(sums))
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
    pairs = len(ours.rows)
    assert pairs == len(theirs.rows), "paired tests need the same studies in one order"
    assert pairs > 1, "one study tells nothing of the next"
    seeds = lcm(_seeds(ours), _seeds(theirs))
    ours, theirs = _repeated(ours, seeds), _repeated(theirs, seeds)
    value, base = ours.value, ours.rows.sum(0, dtype=np.float64)
    total = base + theirs.rows.sum(0, dtype=np.float64)
    observed = float(value(base) - value(total - base))
    resampled = [
        value(counts @ ours.rows) - value(counts @ theirs.rows)
        for counts in resamples(pairs, draws, seed)
    ]
    low, high = middle(np.concatenate(resampled))
    apart = theirs.rows - ours.rows
    # what is exchanged and equal is no difference, whatever the last bit says
    least = abs(observed) - 1e-12
    as_large = 0
    for coins in _coins(pairs, shuffles, seed):
        exchanged = base + coins @ apart
        as_large += int((np.abs(value(exchanged) - value(total - exchanged)) >= least).sum())
    return Difference(observed, low, high, (as_large + 1) / (shuffles + 1))


def pooled(runs: Sequence[Mapping[str, Terms]]) -> dict[str, Terms]:
    """Return the terms of several seeds' runs as one system, whose scores are the means of theirs.

    A study is drawn with its reports of all seeds. Scores that share their rows still do.
    """
    if len(runs) == 1:
        return dict(runs[0])
    beside: dict[tuple[int, ...], Float[np.ndarray, "pairs terms"]] = {}
    found = {}
    for name in runs[0]:
        if not all(name in run for run in runs):
            continue
        rows = [run[name].rows for run in runs]
        key = tuple(map(id, rows))
        if key not in beside:
            beside[key] = np.concatenate(rows, axis=1)
        found[name] = Terms(beside[key], _MeanOfSeeds(runs[0][name].value, len(runs)))
    return found


@final
@dataclass(frozen=True, slots=True)
class _MeanOfSeeds:
    """The mean of the scores of several runs whose rows stand side by side."""

    value: Callable[[Float[np.ndarray, "*draws terms"]], Float[np.ndarray, "*draws"]]
    seeds: int

    def __call__(self, sums: Float[np.ndarray, "*draws terms"]) -> Float[np.ndarray, "*draws"]:
        return np.asarray(np.mean([self.value(s) for s in np.split(sums, self.seeds, -1)], axis=0))


def _seeds(terms: Terms) -> int:
    return terms.value.seeds if isinstance(terms.value, _MeanOfSeeds) else 1


def _repeated(terms: Terms, seeds: int) -> Terms:
    """Return the same score as of so many seeds: what is exchanged must be alike."""
    own = _seeds(terms)
    if own == seeds:
        return terms
    value = terms.value.value if isinstance(terms.value, _MeanOfSeeds) else terms.value
    return Terms(np.tile(terms.rows, (1, seeds // own)), _MeanOfSeeds(value, seeds))


def _same_rows(terms: Mapping[str, Terms]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for name, each in terms.items():
        groups.setdefault(id(each.rows), []).append(name)
    return groups


def middle(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """Return where the middle 95 % of values begin and end."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resamples(pairs: int, draws: int, seed: int) -> Iterator[Float[np.ndarray, "some pairs"]]:
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
