"""Which phrases two reports share, to be coloured alike; importing this imports no torch."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, final

LEAST: Final = 2
"""Words of the shortest phrase."""

EMPTY_WORDS: Final = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "been", "by", "for", "from", "has", "have"),
        *("in", "into", "is", "it", "its", "no", "not", "of", "on", "or", "than", "that", "the"),
        *("their", "there", "these", "this", "those", "to", "was", "were", "which", "with"),
        "without",
    )
)
"""Words that say nothing alone: a run of nothing else is no phrase."""

_WORD = re.compile(r"\w+(?:[.'’]\w+)*")
_STOP = re.compile(r"[.!?;:](?=\s|$)")


@final
@dataclass(frozen=True, slots=True)
class Word:
    """A word of a report as it is compared, and where it stands: `text[start:end]`."""

    key: str
    start: int
    end: int
    sentence: int


@final
@dataclass(frozen=True, slots=True)
class Match:
    """A phrase of two reports.

    Spans are half-open and count words of `words_of`; `first_at` and `second_at` count characters.
    """

    id: int
    """Numbers the pair, in the order of the first report: what is to be coloured alike."""
    first: tuple[int, int]
    second: tuple[int, int]
    first_at: tuple[int, int]
    second_at: tuple[int, int]

    @property
    def length(self) -> int:
        """Count its words."""
        return self.first[1] - self.first[0]


def words_of(text: str) -> list[Word]:
    """List the words of a report: in lower case, punctuation left out, hyphens taken apart.

    "2.5" is one word, "right-sided" is two; so the reports' own tokenization does not matter.
    """
    stops = [stop.start() for stop in _STOP.finditer(text)]
    words, sentence = [], 0
    for found in _WORD.finditer(text):
        while sentence < len(stops) and stops[sentence] < found.start():
            sentence += 1
        words.append(Word(found[0].lower().replace("’", "'"), *found.span(), sentence))
    return words


def match_phrases(first: str, second: str, *, least: int = LEAST) -> list[Match]:
    """Return the longest runs of words that two reports have in common, each word in one at most.

    The longest run comes first, of equally long ones the one that lies at the most similar place;
    what is left of the words goes on. A run has `least` words or more, ends with its sentence in
    either report, and needs one word that is not empty ("of the" is no phrase).
    """
    if least < 1:
        raise ValueError(f"`least` is {least}; expected at least one word")
    a, b = words_of(first), words_of(second)
    queue = [_ranked(run, len(a), len(b)) for run in _runs(a, b)]
    heapify(queue)
    free_a, free_b = [True] * len(a), [True] * len(b)
    taken: list[tuple[int, int, int]] = []
    while queue:
        *_, i, j, length = heappop(queue)
        rest = _free_parts(i, j, length, free_a, free_b)
        if rest != [(i, j, length)]:
            for part in rest:
                if part[2] >= least:
                    heappush(queue, _ranked(part, len(a), len(b)))
        elif length >= least and any(w.key not in EMPTY_WORDS for w in a[i : i + length]):
            taken.append((i, j, length))
            free_a[i : i + length] = free_b[j : j + length] = [False] * length
    return [
        Match(
            id,
            (i, i + length),
            (j, j + length),
            (a[i].start, a[i + length - 1].end),
            (b[j].start, b[j + length - 1].end),
        )
        for id, (i, j, length) in enumerate(sorted(taken))
    ]


def pieces(
    text: str, spans: Sequence[tuple[tuple[int, int], int]]
) -> Iterator[tuple[str, int | None]]:
    """Cut a text at character spans: each piece with the id of its span, None between them."""
    at = 0
    for (start, end), id in sorted(spans):
        if start > at:
            yield text[at:start], None
        yield text[start:end], id
        at = end
    if at < len(text):
        yield text[at:], None


def both_sides(
    first: str, second: str, *, least: int = LEAST
) -> tuple[list[tuple[str, int | None]], list[tuple[str, int | None]]]:
    """Return both reports in pieces, those of a phrase that they share with the same id."""
    matches = match_phrases(first, second, least=least)
    return (
        list(pieces(first, [(match.first_at, match.id) for match in matches])),
        list(pieces(second, [(match.second_at, match.id) for match in matches])),
    )


def share_matched(text: str, spans: Sequence[tuple[int, int]]) -> float:
    """Return the share of a report's words that stand in these spans of words."""
    total = len(words_of(text))
    return sum(end - start for start, end in spans) / total if total else 0.0


def _runs(a: Sequence[Word], b: Sequence[Word]) -> Iterator[tuple[int, int, int]]:
    """Iterate over common runs that cannot be made longer: where in each, and how many words."""
    places: dict[str, list[int]] = defaultdict(list)
    for j, word in enumerate(b):
        places[word.key].append(j)

    def together(i: int, j: int) -> bool:
        """Whether a run may go on from the words before these."""
        return (
            i > 0
            and j > 0
            and a[i - 1].key == b[j - 1].key
            and a[i - 1].sentence == a[i].sentence
            and b[j - 1].sentence == b[j].sentence
        )

    for i, word in enumerate(a):
        for j in places[word.key]:
            if together(i, j):
                continue
            length = 1
            while (
                i + length < len(a)
                and j + length < len(b)
                and a[i + length].key == b[j + length].key
                and together(i + length, j + length)
            ):
                length += 1
            yield i, j, length


def _ranked(run: tuple[int, int, int], of_a: int, of_b: int) -> tuple[int, float, int, int, int]:
    """Put a run behind its rank: the longest first, then the most similar place, then reading."""
    i, j, length = run
    return (-length, abs(i / of_a - j / of_b), i, j, length)


def _free_parts(
    i: int, j: int, length: int, free_a: Sequence[bool], free_b: Sequence[bool]
) -> list[tuple[int, int, int]]:
    """Return what of a run no other run has taken, in either report."""
    parts, start = [], None
    for k in range(length + 1):
        free = k < length and free_a[i + k] and free_b[j + k]
        if free and start is None:
            start = k
        elif not free and start is not None:
            parts.append((i + start, j + start, k - start))
            start = None
    return parts
