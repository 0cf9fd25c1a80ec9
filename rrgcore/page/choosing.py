"""Which studies a page shows: all of them, or the worst, the best and some between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

Why = Literal["all", "worst", "best", "between"]


@final
@dataclass(frozen=True, slots=True)
class Chosen:
    """Some studies by their place in the data, in that order, and why each."""

    places: Sequence[int]
    why: Sequence[Why]
    how: str
    """A sentence on how they were chosen."""


def choose(values: Sequence[float | None], most: int, *, by: str | None) -> Chosen:
    """Choose at most so many studies by a value of each, `by` name; a third are the worst, a third
    the best, and the rest are spread evenly over those between.

    Studies without a value are chosen last. Without any the choice is spread over the data.
    """
    total = len(values)
    if total <= most:
        return Chosen(range(total), ["all"] * total, f"All {total:,} studies are shown.")
    known = [(value, place) for place, value in enumerate(values) if value is not None]
    if by is None or len(known) < most:
        # what has a value comes first, and the rest fills up
        unknown = [place for place, value in enumerate(values) if value is None]
        first = [place for _, place in known] if by is not None else []
        rest = unknown if first else list(range(total))
        picked = sorted([*first, *_spread(rest, most - len(first))])
        how = f"{most:,} of {total:,} studies are shown, spread evenly over the data."
        if first:
            how = f"{most:,} of {total:,} studies are shown: all that have a {by}, and others."
        return Chosen(picked, ["between"] * len(picked), how)
    order = [place for _, place in sorted(known)]
    third = most // 3
    worst, best = order[:third], order[len(order) - third :]
    between = _spread(order[third : len(order) - third], most - 2 * third)
    why: dict[int, Why] = dict.fromkeys(between, "between")
    why |= dict.fromkeys(worst, "worst")
    why |= dict.fromkeys(best, "best")
    places = sorted(why)
    how = (
        f"{most:,} of {total:,} studies are shown: the {third:,} of the lowest {by}, the {third:,} "
        f"of the highest, and {len(between):,} spread evenly over the others by rank."
    )
    return Chosen(places, [why[place] for place in places], how)


def _spread(places: Sequence[int], count: int) -> list[int]:
    """Take so many evenly, each from the middle of its share."""
    return [places[(2 * i + 1) * len(places) // (2 * count)] for i in range(count)]
