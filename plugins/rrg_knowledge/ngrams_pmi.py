"""How strongly n-grams and observations go together: ORGan's second and third stage, and eq. 6."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby, islice
from typing import Final, Literal, final

import numpy as np

from rrg_knowledge.ngrams_lists import Lists

Scores = Mapping[str, Mapping[str, float]]
"""Observation to n-gram to what they have in common."""
Unit = Literal["occurrences", "reports"]
BLOCK: Final = 4096
"""Reports that are counted at once."""


@final
@dataclass(frozen=True, slots=True)
class Counts:
    """How often n-grams and observations are seen, apart and together."""

    reports: int
    ngrams: Mapping[str, int]
    together: Mapping[str, Mapping[str, int]]
    """Observation to n-gram to count, in the unit of `ngrams`."""
    carriers: Mapping[str, Sequence[str]]
    """Observation to the reports that carry it, in order."""


def observations(labels: Mapping[str, int]) -> Iterator[str]:
    """Yield the keys of a study's labels: uncertain (-1) is "True", as present (1) is."""
    for name, value in labels.items():
        yield f"{name}_{value != 0}"


def count_together(
    reports: Iterable[str],
    labels: Iterable[Mapping[str, int]],
    vocabulary: Mapping[str, int],
    unit: Unit,
) -> Counts:
    """Count the n-grams of a vocabulary in cleaned reports, by occurrences or by reports.

    A report without words counts as a report. One in which the words of an n-gram are more than one
    space apart does not hold it, which is ORGan's way.
    """
    ngrams = list(vocabulary)
    numbers = {tuple(ngram.split()): number for number, ngram in enumerate(ngrams)}
    sizes = sorted({len(words) for words in numbers})
    total, seen = 0, np.zeros(len(ngrams), dtype=np.int64)
    together: dict[str, np.ndarray] = {}
    carriers: dict[str, list[str]] = {}
    pairs = zip(reports, labels, strict=True)
    while block := list(islice(pairs, BLOCK)):
        total += len(block)
        found, lengths = array("q"), []
        carrying: dict[str, list[int]] = {}
        for row, (report, values) in enumerate(block):
            held = _find(report, ngrams, numbers, sizes)
            held = list(dict.fromkeys(held)) if unit == "reports" else held
            found.extend(held)
            lengths.append(len(held))
            for observation in observations(values):
                carrying.setdefault(observation, []).append(row)
                carriers.setdefault(observation, []).append(report)
        which, row_of = np.asarray(found), np.repeat(np.arange(len(block)), lengths)
        seen += np.bincount(which, minlength=len(ngrams))
        for observation, rows in carrying.items():
            carries = np.zeros(len(block), dtype=bool)
            carries[rows] = True
            counted = np.bincount(which[carries[row_of]], minlength=len(ngrams))
            together[observation] = together.get(observation, 0) + counted
    in_reports = _by_name(ngrams, seen)
    return Counts(
        total,
        vocabulary if unit == "occurrences" else in_reports,
        {observation: _by_name(ngrams, counted) for observation, counted in together.items()},
        carriers,
    )


def score_organ(counts: Counts) -> Scores:
    """Return log2(p(x|y) / (p(x) p(y))), negative ones too, of what was seen together.

    p(x|y) and p(x) are shares of the occurrences of all n-grams, in reports that carry y and in
    all; p(y) is a share of reports. The numerator is conditional, so that this is the PMI less
    log2 p(y): a rare observation keeps nearly the whole vocabulary.

    ORGan, `pmi_mention_ngram.py`. The order of divisions is its own too: with another, scores that
    are equal there would differ in their last bit, and lists in their order.
    """
    everything = sum(counts.ngrams.values())
    shares = {ngram: count / everything for ngram, count in counts.ngrams.items()}

    def score(observation: str, ngram: str, count: int) -> float:
        conditional = count / totals[observation]
        prior = len(counts.carriers[observation]) / counts.reports
        return math.log(conditional / (shares[ngram] * prior), 2)

    totals = {name: sum(found.values()) for name, found in counts.together.items()}
    return _scored(counts, score)


def score_literal(counts: Counts) -> Scores:
    """Return ln(p(x, y) / (p(x) p(y))), negative ones too, of what was seen together.

    All three are shares of reports. CmEAA, eq. 6 (Church and Hanks, 1990).
    """

    def score(observation: str, ngram: str, count: int) -> float:
        apart = counts.ngrams[ngram] * len(counts.carriers[observation])
        return math.log(count * counts.reports / apart)

    return _scored(counts, score)


def rank(scores: Scores, counts: Counts) -> Lists:
    """Order each observation's n-grams: best first, then more words, then more letters.

    Those that are still equal come as ORGan met them: by the first report carrying the observation
    in which the letters stand ("lung" stands in "lungs"), then by the vocabulary.
    """
    return {
        observation: tuple(_ordered(found, counts, counts.carriers[observation]))
        for observation, found in scores.items()
    }


def _ordered(scores: Mapping[str, float], counts: Counts, carriers: Sequence[str]) -> Iterator[str]:
    def strength(ngram: str) -> tuple[float, int, int]:
        return -scores[ngram], -len(ngram.split()), -len(ngram)

    known = [ngram for ngram in counts.ngrams if ngram in scores]
    text, ends = "", list[int]()
    for _, group in groupby(sorted(known, key=strength), key=strength):
        equals = list(group)
        if len(equals) > 1:
            if not text:  # one text, since a search of each report takes three times as long
                text = "\n".join(carriers)
                ends = list(accumulate(len(report) + 1 for report in carriers))
            equals.sort(key=lambda ngram: bisect_right(ends, text.find(ngram)))
        yield from equals


def _scored(counts: Counts, score: Callable[[str, str, int], float]) -> Scores:
    return {
        observation: {ngram: score(observation, ngram, count) for ngram, count in found.items()}
        for observation, found in counts.together.items()
    }


def _by_name(ngrams: Sequence[str], counted: np.ndarray) -> dict[str, int]:
    """Name what was counted at all, in the order of the vocabulary."""
    return {ngrams[number]: int(counted[number]) for number in counted.nonzero()[0]}


def _find(
    report: str,
    ngrams: Sequence[str],
    numbers: Mapping[tuple[str, ...], int],
    sizes: Sequence[int],
) -> list[int]:
    """List the n-grams of a report by number, each as often as it stands there."""
    words = report.split()
    runs = chain.from_iterable(zip(*(words[i:] for i in range(size))) for size in sizes)  # noqa: B905  the shortest ends it
    found = [number for number in map(numbers.get, runs) if number is not None]
    if report == " ".join(words):
        return found
    return [number for number in found if ngrams[number] in report]
