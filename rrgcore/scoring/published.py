"""Figures that papers print, to be set beside one's own: as printed, and marked so."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast, final

from rrgcore.errors import UserError, did_you_mean
from rrgcore.registry import Registry


@final
@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One system of one table."""

    system: str
    values: Mapping[str, float]
    own: bool = False
    """Whether this is the paper's own system, rather than one it quotes."""


@final
@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table, or the part of it about one data set, as it is printed."""

    paper: str
    table: str
    dataset: str
    split: str
    protocol: str
    """How the numbers were made, as far as the paper says; none of ours unless it is known."""
    rows: Sequence[PublishedRow]
    remarks: Sequence[str] = field(default_factory=tuple)


class Published(ABC):
    """The tables of one paper."""

    @abstractmethod
    def tables(self) -> Sequence[PublishedTable]:
        """Return the tables in the paper's order."""


ARCHIVES: Mapping[str, re.Pattern[str]] = {
    "iu_xray": re.compile(r"CXR\d+(_.*)?$"),
    "mimic_cxr": re.compile(r"(s?5\d{7}|[0-9a-f]{8}(-[0-9a-f]{8}){4})$"),
}
"""What ids look like in the archives that papers print figures of."""


def published_tables(
    registry: Registry, dataset: str | None, ids: Sequence[str]
) -> list[PublishedTable]:
    """List every paper's tables about a data set, which is known by its ids unless it is said.

    `none` is no data set, and has none. Raises UserError for one that no paper prints figures of.
    """
    if dataset is None:
        known = (n for n, look in ARCHIVES.items() if all(map(look.match, ids)))
        dataset = next(known, "none")
    papers = [cast(Published, registry.get("published", n)()) for n in registry.names("published")]
    tables = [table for paper in papers for table in paper.tables()]
    if dataset == "none":
        return []
    there = sorted({table.dataset for table in tables})
    if dataset not in there:
        raise UserError(
            f"--dataset {dataset}: no paper here prints figures of it."
            f"{did_you_mean(dataset, there)} There are: {', '.join(there)}, none"
        )
    return [table for table in tables if table.dataset == dataset]
