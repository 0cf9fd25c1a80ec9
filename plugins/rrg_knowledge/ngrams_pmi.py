"""How strongly n-grams and observations go together: ORGan's second and third stage, and eq. 6."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby
from typing import Literal, final

from rrg_knowledge.ngrams_lists import Lists

Scores = Mapping[str, Mapping[str, float]]
"""Observation to n-gram to what they have in common."""
Unit = Literal["occurrences", "reports"]


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
    names = {tuple(name.split()): name for name in vocabulary}
    sizes = sorted({len(words) for words in names})
    total, in_reports = 0, Counter[str]()
    together: dict[str, Counter[str]] = {}
    carriers: dict[str, list[str]] = {}
    for report, values in zip(reports, labels, strict=True):
        total += 1
        found = _find(report, names, sizes)
        if unit == "reports":
            found = list(dict.fromkeys(found))
            in_reports.update(found)
        for observation in observations(values):
            together.setdefault(observation, Counter()).update(found)
            carriers.setdefault(observation, []).append(report)
    seen = {ngram: in_reports[ngram] for ngram in vocabulary if ngram in in_reports}
    return Counts(total, vocabulary if unit == "occurrences" else seen, together, carriers)


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


def _find(report: str, names: Mapping[tuple[str, ...], str], sizes: Sequence[int]) -> list[str]:
    """List the n-grams of a report, each as often as it stands there."""
    words = report.split()
    runs = chain.from_iterable(zip(*(words[i:] for i in range(size))) for size in sizes)  # noqa: B905  the shortest ends it
    found = list(filter(None, map(names.get, runs)))
    return found if report == " ".join(words) else [ngram for ngram in found if ngram in report]
