"""Labels that somebody else made, from a table."""

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar, Final, Literal, final

from rrgcore.annotations import Labels
from rrgcore.chest import OBSERVATIONS, ORDERS
from rrgcore.errors import DataError, did_you_mean
from rrgcore.study import Study
from rrgcore.supply import Annotator

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
_BLANK: Final = frozenset({"", "nan", "na", "none", "null"})


@final
class LabelTable(Annotator):
    """A CSV of labels: 1 positive, 0 negative, -1 uncertain, blank or NaN not mentioned.

    Columns are found by name, whatever their order: four orders are in use, and a value in the
    wrong column is a wrong label that nobody sees. All 14 observations must be there. Studies are
    found by `id`, the name of a column, or, where there is none, by the text that was labelled
    (`report`, equal but for white space). Names of columns are compared without case; `.csv.gz` is
    read too. A file without a header must name its `order`, and begins each line with the study's
    id. MIMIC-CXR's numbers stand for the study's folder too: 50414267 is s50414267.

    Raises DataError for a file that is not so, and when it is asked for what it does not hold.
    """

    writes: ClassVar[type] = Labels

    def __init__(
        self,
        *,
        path: str,
        id: str | None = None,
        report: str | None = None,
        order: Order | None = None,
    ) -> None:
        if id is not None and report is not None:
            raise ValueError("name the column of ids or that of texts, not both `id` and `report`")
        if order is not None and (id is not None or report is not None):
            raise ValueError(
                f"`order: {order}` is for a file without a header, whose columns have no names; "
                "leave it away, or leave `id` and `report` away"
            )
        self.path = Path(path).expanduser()
        data = _read(self.path)
        self._digest = hashlib.sha256(data).hexdigest()[:12]
        rows = _rows(data, self.path)
        first = next(rows)
        if order is None:
            columns, key, self.from_report = _header(first[1], self.path, id=id, report=report)
        else:
            columns, key = _headless(first[1], order, self.path), 0
            rows = chain([first], rows)
        self._labels = self._load(rows, columns, key)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        """Yield each study's row; raises DataError naming those without one, before any."""
        asked = list(studies)
        found = [self._find(study) for study in asked]
        if missing := [study for study, row in zip(asked, found, strict=True) if row is None]:
            raise DataError(self._absent(missing, len(asked)))
        for row in found:
            assert row is not None, "what is missing was refused above"
            yield Labels(row, dict.fromkeys(row, self.path.name))

    def fingerprint(self) -> str:
        """Return the file's name and what tells its contents from others."""
        return f"label_table {self.path.name} (sha256 {self._digest})"

    def _find(self, study: Study) -> Mapping[str, int] | None:
        if self.from_report:
            return self._labels.get(_plain(study.report or ""))
        row = self._labels.get(study.id)
        if row is None and re.fullmatch(r"s\d+", study.id):
            row = self._labels.get(study.id[1:])
        return row

    def _absent(self, missing: Sequence[Study], asked: int) -> str:
        if self.from_report:
            shown = [f"'{_short(study.report or '')}'" for study in missing[:3]]
            what = "the report" if len(missing) == 1 else f"{len(missing):,} of {asked:,} reports"
        else:
            shown = [f"'{study.id}'" for study in missing[:3]]
            what = "the study" if len(missing) == 1 else f"{len(missing):,} of {asked:,} studies"
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        example = _short(next(iter(self._labels), ""))
        return (
            f"{self.path} has no row for {what} {', '.join(shown)}{more}. It has "
            f"{len(self._labels):,}, the first for '{example}'. A report without labels is not one "
            "without findings: label it, or leave it out"
        )

    def _load(
        self, rows: Iterable[Row], columns: Mapping[str, int], key: int
    ) -> dict[str, dict[str, int]]:
        labels: dict[str, dict[str, int]] = {}
        for line, cells in rows:
            name = _plain(cells[key]) if self.from_report else cells[key].strip()
            if not name and not self.from_report:
                raise DataError(f"{self.path}, line {line}: the study has no id")
            values = {
                observation: value
                for observation, column in columns.items()
                if (value := _value(cells[column], observation, line, self.path)) is not None
            }
            if labels.setdefault(name, values) != values:
                raise DataError(
                    f"{self.path}, line {line}: '{_short(name)}' has other labels further up"
                )
        return labels


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except FileNotFoundError:
        raise DataError(f"there is no table of labels at {path}") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _rows(data: bytes, path: Path) -> Iterator[Row]:
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


def _header(
    cells: Sequence[str], path: Path, *, id: str | None, report: str | None
) -> tuple[dict[str, int], int, bool]:
    """Return where each observation is, where the key is, and whether the key is a text."""
    names = [cell.strip() for cell in cells]
    if len(names) > 1 and all(map(_is_value, names[1:])):  # the first is an id, of any form
        raise DataError(
            f"{path} has no header: its first line is of values ({_short(', '.join(names))}). Say "
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
            f"{path}: its first line names no observation ({_short(', '.join(names))}). Where the "
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
    if lacking := [name for name in OBSERVATIONS if name not in observations]:
        raise DataError(
            f"{path} has no column for {', '.join(lacking)}; a table names all 14 observations, "
            "with blank cells for what is not mentioned"
        )
    return observations, key, texts


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


def _headless(cells: Sequence[str], order: Order, path: Path) -> dict[str, int]:
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


def _value(cell: str, observation: str, line: int, path: Path) -> int | None:
    text = cell.strip()
    if text.casefold() in _BLANK:
        return None
    try:
        number = float(text)
    except ValueError:
        number = None
    if number not in (1, 0, -1):
        raise DataError(
            f"{path}, line {line}: '{text}' for {observation}; expected 1 positive, 0 negative, -1 "
            "uncertain, or blank for not mentioned"
        )
    assert number is not None, "None was refused above"
    return int(number)


def _is_value(cell: str) -> bool:
    return cell.casefold() in _BLANK or re.fullmatch(r"[-+]?\d+(\.\d*)?", cell) is not None


def _plain(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
