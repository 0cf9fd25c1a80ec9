"""BLEU from sums: of a corpus as the caption tool and as sacrebleu have it, and of each report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from rrgcore.scoring import Terms, mean_terms

from .ngrams import ORDERS

_TINY, _SMALL = 1e-15, 1e-9
"""What the caption tool adds to matches and to guesses, so that nothing divides by zero."""

Sums = Float[np.ndarray, "*draws terms"]
"""Matches of n = 1 to 4, guesses of n = 1 to 4, words of hypotheses, words of references."""


@final
@dataclass(frozen=True, slots=True)
class Bleu:
    """BLEU-n = BP · (∏_{k≤n} matches_k / guesses_k)^{1/n}, BP = min(1, exp(1 − r / c)).

    Smoothed as the caption tool has it, no match is a very small number, and not 0.
    """

    n: int
    smooth: bool = True

    def __call__(self, sums: Sums) -> Float[np.ndarray, "*draws"]:
        """Score sums over segments."""
        matches, guesses = sums[..., : self.n], sums[..., ORDERS : ORDERS + self.n]
        said, wanted = sums[..., -2], sums[..., -1]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.smooth:
                precisions = (matches + _TINY) / (guesses + _SMALL)
                ratio = (said + _TINY) / (wanted + _SMALL)
            else:
                precisions = np.where(guesses > 0, matches / guesses, 0.0)
                ratio = said / wanted
            penalty = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
            return np.asarray(penalty * precisions.prod(-1) ** (1 / self.n))


def corpus_bleu(rows: Sums, *, smooth: bool = True) -> Mapping[str, Terms]:
    """Return BLEU-1 to BLEU-4 of a corpus: sums first, then the formula (Papineni et al., 2002)."""
    return {f"BLEU-{n}": Terms(rows, Bleu(n, smooth)) for n in range(1, ORDERS + 1)}


def mean_bleu(rows: Sums) -> Mapping[str, Terms]:
    """Return the means of the reports' own BLEU-1 to BLEU-4; a report without a match has ~0."""
    return {f"BLEU-{n}": mean_terms(Bleu(n)(rows)) for n in range(1, ORDERS + 1)}
