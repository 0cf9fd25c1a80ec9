"""Two reports word by word: what both say, what is missing, what was invented."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, final

from rrgcore.insight.matching import EMPTY_WORDS, Match, match_phrases, words_of

Kind = Literal["same", "alone", "plain"]
DENIALS = frozenset(("no", "not", "without"))
"""Empty words that are never passed over."""


@final
@dataclass(frozen=True, slots=True)
class Stretch:
    """Words that follow each other and have the same part in a comparison."""

    kind: Kind
    """In both reports, in this one alone, or nothing to compare: punctuation, "there is"."""
    match: int | None
    """What both reports have in common, by number."""
    words: Sequence[str]


def compare(reference: str, generated: str) -> tuple[list[Stretch], list[Stretch]]:
    """Return both reports as runs of the words between white space.

    What is compared are words as `rrgcore.insight.matching` reads them, down to single ones; one
    between white space that holds several goes with its first.
    """
    matches = match_phrases(reference, generated, least=1)
    return (
        _runs(reference, [(match.first, match) for match in matches]),
        _runs(generated, [(match.second, match) for match in matches]),
    )


def alone(report: str) -> list[Stretch]:
    """Return a report that is compared with nothing, as one run."""
    words = report.split()
    return [Stretch("plain", None, words)] if words else []


def _runs(report: str, spans: Sequence[tuple[tuple[int, int], Match]]) -> list[Stretch]:
    runs = []
    for (kind, match), words in groupby(_kinds(report, spans), key=lambda each: each[0]):
        own = [word for _, word in words]
        says = kind != "alone" or any(_says(word.key) for word in words_of(" ".join(own)))
        runs.append(Stretch(kind if says else "plain", match, own))
    return runs


def _says(word: str) -> bool:
    """Whether it is worth a mark that a word stands in one report alone: "there is" is not."""
    return word not in EMPTY_WORDS or word in DENIALS


def _kinds(
    report: str, spans: Sequence[tuple[tuple[int, int], Match]]
) -> Iterator[tuple[tuple[Kind, int | None], str]]:
    """Yield each word between white space with its kind and match."""
    compared = words_of(report)
    starts = [word.start for word in compared]
    match_of = {n: match.id for (first, last), match in spans for n in range(first, last)}
    at = 0
    for word in report.split():
        start = report.index(word, at)
        at = start + len(word)
        number = bisect_left(starts, start)
        if number < len(starts) and starts[number] < at:
            match = match_of.get(number)
            yield ("alone" if match is None else "same", match), word
        else:
            before, after = match_of.get(number - 1), match_of.get(number)
            inside = before is not None and before == after
            yield (("same", before) if inside else ("plain", None)), word
