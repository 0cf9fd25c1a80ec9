"""Rows and seeds of an ablation, as they are said on a command line."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from rrgcore.errors import UserError

WHOLE = ("full", "-")
"""The recipe as it stands."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a recipe with some of its variants."""

    label: str
    """What the table calls it."""
    variants: tuple[str, ...]
    """Its own, which stand on top of those that all rows have."""

    @property
    def said(self) -> str:
        """Its variants as they are written."""
        return "+".join(self.variants) or WHOLE[0]

    @property
    def folder(self) -> str:
        """The folder of its runs: the label as a file system takes it."""
        return re.sub(r"[^\w.+-]+", "_", self.label).strip("_.")


def parse_rows(texts: Sequence[str], available: Collection[str] = ()) -> list[Row]:
    """Read rows: `a,b+c,label=d`, where `full` or `-` is the recipe as it stands.

    A variant of the recipe's that is called `full` is that variant. Raises UserError.
    """
    rows = [_row(text.strip(), available) for given in texts for text in given.split(",")]
    _check_labels(rows, "--variants", "other={row}")
    return rows


def named_rows(
    texts: Mapping[str, str], available: Collection[str] = (), *, said_by: str
) -> list[Row]:
    """Read the rows of a table: label to variants, `b+c`, or `full`. Raises UserError."""
    rows = [Row(label.strip(), parse_variants(text, available)) for label, text in texts.items()]
    _check_labels(rows, said_by, "`other: {row}`")
    return rows


def parse_variants(text: str, available: Collection[str] = ()) -> tuple[str, ...]:
    """Read variants that stack, `a+b`; none of them for the recipe as it stands."""
    names = [name.strip() for name in text.split("+")]
    if not all(names):
        raise UserError(f"'{text}' lacks a variant's name; expected such as a, a+b, or {WHOLE[0]}")
    whole = [name for name in WHOLE if name not in available]
    return tuple(name for name in names if name not in whole)


def parse_seeds(text: str | None, own: int) -> tuple[int, ...]:
    """Read seeds: a number is how many, from 0; a list, `0,1,2` or `7,`, is those.

    Unless any are said, it is the recipe's own. Raises UserError.
    """
    if text is None:
        return (own,)
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() for word in words):
        raise UserError(f"--seeds {text}: expected how many, such as 3, or which: 0,1,2")
    seeds = tuple(int(word) for word in words)
    if "," not in text:
        if seeds[0] == 0:
            raise UserError("--seeds 0 is no run; for the seed 0 alone: --seeds 0,")
        return tuple(range(seeds[0]))
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text} names a seed twice")
    return seeds


def _check_labels(rows: Sequence[Row], said_by: str, as_said: str) -> None:
    for number, row in enumerate(rows):
        if not row.folder:
            raise UserError(f"{said_by}: the row '{row.label}' has no letter to name a folder by")
        for other in rows[:number]:
            if other.folder.casefold() == row.folder.casefold():
                raise UserError(
                    f"{said_by}: the rows '{other.label}' and '{row.label}' would have one folder, "
                    f"{row.folder}. Give one another label: {as_said.format(row=row.said)}"
                )


def _row(text: str, available: Collection[str]) -> Row:
    label, equals, variants = text.rpartition("=")
    if not text or (equals and not label.strip()):
        raise UserError(
            f"--variants: '{text}' is no row; expected variants such as a, a+b, label=a+b, or "
            f"{WHOLE[0]} for the recipe as it stands"
        )
    found = parse_variants(variants, available)
    return Row(label.strip() if equals else "+".join(found) or WHOLE[0], found)
