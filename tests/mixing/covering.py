"""Few combinations in which every pair of values meets."""

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations
from typing import TypeVar

Row = TypeVar("Row", bound=Sequence[str])
Pair = tuple[tuple[int, str], tuple[int, str]]
"""Two values, each with the place in its row where it stands."""


def pairs_of(row: Sequence[str]) -> Iterator[Pair]:
    """Iterate over the pairs that meet in a row."""
    return combinations(enumerate(row), 2)


def cover_pairs(rows: Collection[Row], *, met: Collection[Pair] = ()) -> list[Row]:
    """Choose rows so that every pair that meets in some row meets in a chosen one.

    Greedily, and the same ones every time: the row with most pairs that have not met, the first of
    equals. Pairs in `met` are left out. A pair that no row has is nobody's business, so that a
    constraint is a row less.
    """
    number: dict[Pair, int] = {}
    masks: dict[Row, int] = {}
    for row in rows:
        bits = (number.setdefault(pair, len(number)) for pair in pairs_of(row))
        masks[row] = sum(1 << bit for bit in bits)
    wanted = sum(1 << bit for pair, bit in number.items() if pair not in met)
    chosen: list[Row] = []
    while wanted:
        best = max(masks, key=lambda row: (masks[row] & wanted).bit_count())
        chosen.append(best)
        wanted &= ~masks[best]
    return chosen
