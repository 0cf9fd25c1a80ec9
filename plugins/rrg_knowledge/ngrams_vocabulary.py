"""The n-grams worth counting: ORGan's first stage, from the words of reports alone."""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Int64

from rrg_knowledge.ngrams_words import tidy

_FREQUENT, _AMONG, _ENOUGH = 150, 2069, 200
_ENDLESS: Final = 10**7
"""What occurs as often as that ORGan takes for no n-gram."""


def usual_frequency(reports: int) -> int:
    """Return how often an n-gram has to occur among so many reports, where nobody says.

    150 in the 2,069 training reports of IU X-Ray, which gives ORGan's published file (148 to 152
    do; its script's 50 does not); in proportion among fewer; and never more than 200, which the
    script has for MIMIC-CXR.
    """
    return min(_ENOUGH, round(reports * _FREQUENT / _AMONG))


def mine_vocabulary(
    reports: Iterable[str],
    *,
    min_count: int = 3,
    min_pmi: float = 1.0,
    longest: int = 4,
    frequency: int,
) -> dict[str, int]:
    """Return each n-gram of cleaned reports with its number of occurrences, most frequent first.

    A sentence is cut wherever two words do not attract each other, ln(N c(ab) / (c(a) c(b))) being
    below `min_pmi` with N the pairs of neighbours, or stand together `min_count` times or less.
    Pieces of up to `longest` words that were cut out more than `min_count` times are candidates;
    the last piece of a sentence is not counted, since ORGan never closes it. A candidate is kept
    if it occurs more than `frequency` times anywhere in a sentence. Then stop words are taken from
    its ends (`tidy`), and what is left must have been kept itself.

    ORGan (Hou et al., ACL 2023), `pmi_ngram.py`, its quirks included.
    """
    stream = _Stream.of(reports)
    counts = _count_pieces(stream, min_count=min_count, min_pmi=min_pmi, longest=longest)
    kept = {words: n for words, n in counts.items() if frequency < n < _ENDLESS}
    # equals in the reverse order of their words; a list stands or falls with the order of equals
    ranked = sorted(kept, key=lambda words: (kept[words], words), reverse=True)
    tidied = dict.fromkeys(tidy(" ".join(words)) for words in ranked)
    found = {
        phrase: kept[words]
        for phrase in tidied
        if phrase is not None and (words := tuple(phrase.split())) in kept
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


@final
@dataclass(frozen=True, slots=True)
class _Stream:
    """All words one after the other, by number; a 0 ends each sentence."""

    ids: Int64[np.ndarray, " words"]
    names: tuple[str, ...]

    @classmethod
    def of(cls, reports: Iterable[str]) -> "_Stream":
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        ids = array("q")
        end = numbers["."]  # which no word holds
        for report in reports:
            for sentence in report.split("."):
                if words := sentence.split():
                    ids.extend(map(numbers.__getitem__, words))
                    ids.append(end)
        return cls(np.frombuffer(ids, dtype=np.int64), tuple(numbers))


@final
@dataclass(frozen=True, slots=True)
class _Grams:
    """The n-grams of one length; none goes beyond its sentence."""

    size: int
    at: Int64[np.ndarray, " places"]
    """Where one stands, by its first word, in order."""
    which: Int64[np.ndarray, " places"]
    """For each place, the number of its n-gram."""
    first: Int64[np.ndarray, " ngrams"]
    """For each n-gram, the first place where it stands."""
    counts: Int64[np.ndarray, " ngrams"]

    @classmethod
    def of_words(cls, ids: Int64[np.ndarray, " words"]) -> "_Grams":
        at = np.flatnonzero(ids)
        first = np.zeros(ids.max(initial=0) + 1, dtype=np.int64)
        first[ids[at[::-1]]] = at[::-1]  # the last one that is set stays
        return cls(1, at, ids[at], first, np.bincount(ids[at], minlength=len(first)))

    def longer(self, ids: Int64[np.ndarray, " words"]) -> "_Grams":
        """Return those of one word more."""
        inside = ids[self.at + self.size] != 0
        at = self.at[inside]
        pairs = self.which[inside] * (ids.max(initial=0) + 1) + ids[at + self.size]
        _, first, which, counts = np.unique(
            pairs, return_index=True, return_inverse=True, return_counts=True
        )
        return _Grams(self.size + 1, at, which, at[first], counts)


def _count_pieces(
    stream: _Stream, *, min_count: int, min_pmi: float, longest: int
) -> Mapping[tuple[str, ...], int]:
    """Return how often each candidate occurs, as a piece or not."""
    words = _Grams.of_words(stream.ids)
    pairs = words.longer(stream.ids)
    strong = _strong(words, pairs, stream.ids, min_count=min_count, min_pmi=min_pmi)
    starts, sizes = _cut(stream.ids, strong)
    found: dict[tuple[str, ...], int] = {}
    grams, ready = words, [pairs]
    del words, pairs  # they are large: each goes when it has been counted
    for size in range(1, longest + 1):
        if size > 1:
            grams = ready.pop() if ready else grams.longer(stream.ids)
        places = np.searchsorted(grams.at, starts[sizes == size])
        pieces = np.bincount(grams.which[places], minlength=len(grams.counts))
        for number in np.flatnonzero(pieces > min_count):
            place = grams.first[number]
            piece = tuple(stream.names[id] for id in stream.ids[place : place + size])
            found[piece] = int(grams.counts[number])
    return found


def _strong(
    words: _Grams,
    pairs: _Grams,
    ids: Int64[np.ndarray, " words"],
    *,
    min_count: int,
    min_pmi: float,
) -> Int64[np.ndarray, " strong"]:
    """Return the places whose word attracts the one behind it."""
    total = len(pairs.at)
    strong = np.zeros(len(pairs.counts), dtype=bool)
    for number in np.flatnonzero(pairs.counts > min_count):
        place = pairs.first[number]
        count, one, other = map(
            int, (pairs.counts[number], words.counts[ids[place]], words.counts[ids[place + 1]])
        )
        strong[number] = math.log(total * count / (one * other)) >= min_pmi
    places: Int64[np.ndarray, "strong"] = pairs.at[strong[pairs.which]]
    return places


def _cut(
    ids: Int64[np.ndarray, " words"], strong: Int64[np.ndarray, " strong"]
) -> tuple[Int64[np.ndarray, " pieces"], Int64[np.ndarray, " pieces"]]:
    """Return where each piece begins that ends before its sentence does, and its words."""
    closed = ids != 0
    closed[strong] = False
    closed[np.flatnonzero(ids == 0) - 1] = False  # the last word of a sentence: left open
    begins = ids != 0
    begins[1:] &= closed[:-1] | (ids[:-1] == 0)
    starts, ends = np.flatnonzero(begins), np.flatnonzero(closed)
    own = starts[np.searchsorted(starts, ends, side="right") - 1]
    return own, ends - own + 1
