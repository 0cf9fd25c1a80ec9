"""A CSV of one number an observation: its columns by name, its rows by study."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

from rrgcore.chest import OBSERVATIONS, ORDERS
from rrgcore.errors import DataError, did_you_mean
from rrgcore.study import Study

V = TypeVar("V")

Order = Literal["chexpert-labeler", "chexpert-csv", "chexbert", "alphabetical"]

IDS: Final = ("study_id", "id", "study", "uid", "dicom_id", "image_id")
"""Columns that name a study, the first that is there."""
REPORTS: Final = ("report impression", "reports", "report", "text")
"""Columns that hold the text that was labelled, where none names a study: CheXbert's output and
chexpert-labeler's have no other.
"""
ASIDE: Final = frozenset(
    {"subject_id", "split", "path", "sex", "age", "frontal/lateral", "ap/pa", *IDS, *REPORTS}
)
"""Columns of the tables in use that are no observation."""

Row = tuple[int, list[str]]
"""The number of its last line, and its cells."""
_NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
BLANK: Final = frozenset({"", "nan", "na", "none", "null"})
"""What stands, in any case, where there is no value."""


def read_table(path: Path, what: str) -> bytes:
    """Return a file's bytes, unpacked; raises DataError."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except FileNotFoundError:
        raise DataError(f"there is no table of {what} at {path}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def table_rows(data: bytes, path: Path) -> Iterator[Row]:
    """Yield each row that is not empty, at least one; raises DataError unless all are as wide."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""), strict=True)
    width = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            width = width or len(cells)
            if len(cells) != width:
                raise DataError(
                    f"{path}, line {reader.line_num}: has {len(cells)} cells; the first line has "
                    f"{width}"
                )
            yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: is no CSV: {error}") from error
    if width is None:
        raise DataError(f"{path} is empty")


def find_columns(
    cells: Sequence[str], path: Path, *, id: str | None, report: str | None
) -> tuple[dict[str, int], int, bool]:
    """Return where each observation is, where the key is, and whether the key is a text."""
    names = [cell.strip() for cell in cells]
    if len(names) > 1 and all(map(_is_value, names[1:])):  # the first is an id, of any form
        raise DataError(
            f"{path} has no header: its first line is of values ({short(', '.join(names))}). Say "
            f"the order of its columns: `order`, one of {', '.join(ORDERS)}"
        )
    places: dict[str, int] = {}
    for i, name in enumerate(names):
        if places.setdefault(name.casefold(), i) != i and name:
            raise DataError(f"{path} has the column '{name}' twice")
    observations = {
        name: places[name.casefold()] for name in OBSERVATIONS if name.casefold() in places
    }
    if not observations:
        raise DataError(
            f"{path}: its first line names no observation ({short(', '.join(names))}). Where the "
            f"file has no header, say the order of its columns: `order`, one of {', '.join(ORDERS)}"
        )
    key, texts = _key(places, path, names, id=id, report=report)
    used = {key, *observations.values()}
    for i, name in enumerate(names):
        unnamed = not name or name.startswith("Unnamed:")  # pandas' own numbers of rows
        if i not in used and not unnamed and name.casefold() not in ASIDE:
            raise DataError(
                f"{path} has a column '{name}', which is none of the 14 observations."
                f"{did_you_mean(name, OBSERVATIONS)} Rename it or take it out"
            )
    return observations, key, texts


def check_complete(observations: Mapping[str, int], path: Path) -> None:
    """Raise DataError unless all 14 observations have a column."""
    if lacking := [name for name in OBSERVATIONS if name not in observations]:
        raise DataError(
            f"{path} has no column for {', '.join(lacking)}; a table names all 14 observations, "
            "with blank cells for what is not mentioned"
        )


def _key(
    places: Mapping[str, int],
    path: Path,
    names: Sequence[str],
    *,
    id: str | None,
    report: str | None,
) -> tuple[int, bool]:
    if (wanted := id or report) is not None:
        if wanted.casefold() not in places:
            raise DataError(
                f"{path} has no column '{wanted}'.{did_you_mean(wanted, names)} "
                f"Columns: {', '.join(names)}"
            )
        return places[wanted.casefold()], report is not None
    for candidates, texts in ((IDS, False), (REPORTS, True)):
        for name in candidates:
            if name in places:
                return places[name], texts
    raise DataError(
        f"{path} has no column that names the study ({', '.join(IDS)}) or holds its text "
        f"({', '.join(REPORTS)}); say which one does: `id` or `report`. "
        f"Columns: {', '.join(names)}"
    )


def ordered_columns(cells: Sequence[str], order: Order, path: Path) -> dict[str, int]:
    """Return where each observation is in a file without a header, after the study's id."""
    spelt = {name.casefold() for name in OBSERVATIONS}
    if any(cell.strip().casefold() in spelt for cell in cells):
        raise DataError(
            f"{path} has a header, which says the order itself; leave `order: {order}` away"
        )
    if len(cells) != 1 + len(OBSERVATIONS):
        raise DataError(
            f"{path} has {len(cells)} columns; without a header it must have 15, the study's id "
            f"and the 14 observations in the order {order}"
        )
    return {name: 1 + i for i, name in enumerate(ORDERS[order])}


def _is_value(cell: str) -> bool:
    return cell.casefold() in BLANK or _NUMBER.fullmatch(cell) is not None


def find_row(rows: Mapping[str, V], study: Study) -> V | None:
    """Return a study's row; MIMIC-CXR's s50414267 is 50414267 in its tables."""
    row = rows.get(study.id)
    return rows.get(study.id[1:]) if row is None and re.fullmatch(r"s\d+", study.id) else row


def plain(text: str) -> str:
    """Collapse white space."""
    return " ".join(text.split())


def short(text: str) -> str:
    """Cut a text to what an error can quote."""
    return text if len(text) <= 60 else text[:59] + "…"
