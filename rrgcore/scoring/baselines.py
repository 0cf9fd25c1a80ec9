"""Trivial baselines: what any score must be read beside."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import final

import numpy as np

DRAWS = 20
"""One random draw moves by a fifth from the next; the mean of so many is steady."""
LARGE = 10_000
"""Reports drawn in all; of a larger split a single draw is steady."""
CANDIDATES = 20_000
"""Reports among which the best constant is looked for, and on which it is judged."""


@final
@dataclass(frozen=True, slots=True)
class Baseline:
    """What is written without looking at an image, a draw at a time."""

    draws: Sequence[Sequence[str]]
    """A report for every study, as often as there is chance in it."""
    about: str
    """What it is; for a constant, its text."""


def make_baselines(
    training: Sequence[str], validation: Sequence[str], count: int, rng: np.random.Generator
) -> dict[str, Baseline]:
    """Return each baseline's reports for so many studies, by name.

    A constant is chosen on training and validation reports, never on those that it is scored with.
    """
    assert training, "baselines are made of training reports"
    frequent, times = Counter(training).most_common(1)[0]
    constant = best_constant([*training, *validation], training, rng)
    draws = max(1, min(DRAWS, LARGE // max(1, count)))
    drawn = [[training[i] for i in rng.integers(0, len(training), count)] for _ in range(draws)]
    return {
        "most frequent report": Baseline(
            [[frequent] * count], f"of training, {times:,} of {len(training):,}: {frequent}"
        ),
        "best constant report": Baseline(
            [[constant] * count],
            f"the training report of the highest BLEU-4 on training and validation: {constant}",
        ),
        "random report": Baseline(drawn, f"of training, the mean of {draws} draws"),
    }


def best_constant(
    references: Sequence[str], candidates: Sequence[str], rng: np.random.Generator
) -> str:
    """Return the candidate that scores the highest corpus BLEU-4 as the answer to everything.

    All candidates are scored exactly, on lower-cased words: how often a constant's n-gram is
    matched over a corpus follows from how many references hold it once, twice, and so on. Of more
    than 20,000 references or candidates, so many are drawn.
    """
    references = _some(references, CANDIDATES, rng)
    candidates = list(dict.fromkeys(_some(candidates, CANDIDATES, rng)))
    lengths = np.array([len(reference.split()) for reference in references])
    holding: Counter[tuple[tuple[str, ...], int]] = Counter()
    for reference in references:
        for gram, count in _grams(reference).items():
            for times in range(1, count + 1):
                holding[gram, times] += 1

    def bleu(candidate: str) -> float:
        words = len(candidate.split())
        matched = [0] * 4
        for gram, count in _grams(candidate).items():
            matched[len(gram) - 1] += sum(holding[gram, n] for n in range(1, count + 1))
        if not all(matched):
            return 0.0
        guessed = [(words - n) * len(references) for n in range(4)]
        precision = sum(log(m / g) for m, g in zip(matched, guessed, strict=True)) / 4
        return exp(precision + min(0.0, 1 - float(lengths.sum()) / (words * len(references))))

    return max(candidates, key=bleu)


def _grams(report: str) -> Counter[tuple[str, ...]]:
    words = report.lower().split()
    return Counter(tuple(words[i : i + n]) for n in range(1, 5) for i in range(len(words) - n + 1))


def _some(reports: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    if len(reports) <= most:
        return list(reports)
    return [reports[i] for i in np.sort(rng.choice(len(reports), most, replace=False))]
