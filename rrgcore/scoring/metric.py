"""What scores are made of: pairs in, named numbers out; importing this imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Float


@final
@dataclass(frozen=True, slots=True)
class Pair:
    """A report that was written and the one that should have been."""

    id: str
    prediction: str
    reference: str


@final
@dataclass(frozen=True, slots=True)
class Terms:
    """What one score is made of: a row a pair, and how the sum of rows becomes the score.

    A corpus score is no mean of its pairs' scores, so resampling pairs needs this: any multiset of
    the pairs scores `value(counts @ rows)`. The score itself is `value(rows.sum(0))`.
    """

    rows: Float[np.ndarray, "pairs terms"]
    value: Callable[[Float[np.ndarray, "*draws terms"]], Float[np.ndarray, "*draws"]]


@final
@dataclass(frozen=True, slots=True)
class Scores:
    """Named numbers, and what makes them comparable with others."""

    values: Mapping[str, float]
    fingerprint: str
    """Protocol, cleaning, truncation, tokenizer, number of pairs, implementation."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """A number that was not computed: why, and the remedy."""
    terms: Mapping[str, Terms] = field(default_factory=dict)
    """Those of each value, for intervals and tests; a value without them has no interval."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON beside the numbers: each observation's, counts."""
    headline: Sequence[str] = ()
    """The values that a terminal shows; all of them where none are named."""

    @property
    def shown(self) -> Sequence[str]:
        """The values that a terminal shows."""
        return [key for key in self.headline if key in self.values] or list(self.values)


class Metric(ABC):
    """Pairs in, named numbers with a fingerprint out; corpus level, on the gathered whole.

    A number that cannot be computed is `missing` with the remedy, never 0 and never left away.
    """

    needs_training: ClassVar[bool] = False
    """Whether it cannot score before it was given the training reports (`fit`)."""

    def fit(self, training: Sequence[str]) -> None:  # noqa: B027  most learn nothing
        """Learn from the reports of the training split, as they are in the data."""

    @abstractmethod
    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        """Score a corpus; `quick` leaves out what is slow (while training)."""

    def score_all(self, systems: Mapping[str, Sequence[Pair]]) -> Mapping[str, Scores]:
        """Score several systems on the same references at once, where that is cheaper."""
        return {name: self.score(pairs) for name, pairs in systems.items()}


class ReadsFindings(ABC):
    """A metric that can tell which findings a report names."""

    exact: ClassVar[bool] = False
    """Whether it never errs, on the reports of its own data."""

    @abstractmethod
    def findings(self, pairs: Sequence[Pair]) -> list[tuple[frozenset[str], frozenset[str]]] | None:
        """Return the findings that each prediction names, present or left open, and those of its
        reference; None where it cannot tell of these.
        """


def mean_terms(values: Sequence[float] | Float[np.ndarray, " pairs"]) -> Terms:
    """Return the terms of a score that is the mean of its pairs'."""
    rows = np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)
    return Terms(rows, _mean)


def _mean(sums: Float[np.ndarray, "*draws 2"]) -> Float[np.ndarray, "*draws"]:
    mean: Float[np.ndarray, "*draws"] = np.asarray(sums[..., 0] / sums[..., 1])
    return mean
