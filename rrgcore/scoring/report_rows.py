"""Rows of anybody's reports: JSON, JSON Lines, CSV, TSV, or one report a line."""

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal, final

from rrgcore.errors import DataError

Rows = Iterator[tuple[str, dict[str, Any]]]
"""Each row with its place in the file."""
Side = Literal["prediction", "reference"]

IDS = ("id", "study_id", "image_id", "dicom_id", "uid", "case_id", "key", "study", "name")
TEXTS: Mapping[Side, tuple[str, ...]] = {
    "prediction": (
        *("prediction", "predicted", "pred", "hypothesis", "hyp", "generated", "candidate"),
        *("generated_report", "generated_text", "gen_report", "predicted_report", "gen"),
        *("output", "response", "res", "report", "text", "report_impression", "impression", "0"),
    ),
    "reference": (
        *("reference", "ref", "ground_truth", "groundtruth", "gt", "target", "label"),
        *("reference_report", "true_report", "gts", "findings", "report", "text", "caption"),
        *("report_impression", "impression", "0"),
    ),
}
"""Columns that are looked for, the first that is there is taken; "0" is pandas' for one without a
name.
"""

COLUMNS = frozenset(name for names in TEXTS.values() for name in names)
SPLITS = ("train", "val", "test")
TOO_DEEP = "is nested too deeply to be reports"
TOO_LONG = "holds a number of more digits than can be read"


@final
@dataclass(frozen=True, slots=True)
class Reports:
    """The reports of a file, in its order."""

    where: str
    texts: Sequence[str]
    ids: Sequence[str] | None = None
    """None where the file has none: its reports are known by their order."""
    column: str | None = None
    """Which of the file's columns they are, where it has any."""

    def __len__(self) -> int:
        return len(self.texts)


def rows_in(path: Path, split: str, named: Collection[str] = ()) -> Rows | Reports:
    """Read a file's rows, each with its place, or its reports, where it has no columns; columns
    that are `named` are looked for beside the usual ones. Raises DataError.
    """
    kind = path.suffix.lower()
    text = read_text(path)
    if kind == ".jsonl" or (kind == ".json" and is_lines(text)):
        return _json_lines(path, text)
    if kind == ".json":
        return json_rows(path, parsed(path, text), split)
    if kind in (".csv", ".tsv"):
        return _table(path, text, "\t" if kind == ".tsv" else ",", named)
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()  # the end of the last line
    if not lines:
        raise DataError(f"{path}: is empty; expected a report a line")
    return Reports(str(path), [line.rstrip("\r") for line in lines])


def read_text(path: Path) -> str:
    """Read a file that must be text; raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder; expected a file of reports") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def is_lines(text: str) -> bool:
    """Whether a .json file holds a mapping a line."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and lines[0].lstrip()[:1] == "{" and lines[0].rstrip().endswith("}")


def _json_lines(path: Path, text: str) -> Rows:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{place}: is not JSON (column {error.colno}: {error.msg})") from error
        except RecursionError as error:
            raise DataError(f"{place}: {TOO_DEEP}") from error
        except ValueError as error:
            raise DataError(f"{place}: {TOO_LONG}") from error
        if not isinstance(row, dict):
            raise DataError(f'{place}: expected {{"id": "…", "prediction": "…"}} or the like')
        yield place, row


def json_rows(path: Path, data: Any, split: str) -> Rows | Reports:
    """Take the rows of what a JSON file holds; raises DataError."""
    if isinstance(data, dict) and any(name in data for name in SPLITS):
        if not isinstance(rows := data.get(split, []), list) or not rows:
            raise DataError(f"{path}: has no rows of split '{split}'; it has {', '.join(data)}")
        data = rows
    if isinstance(data, dict):
        if (turned := _turned(path, data)) is not None:
            return turned
        texts = {key: only(value) for key, value in data.items()}
        if all(isinstance(value, str) for value in texts.values()) and texts:
            return Reports(str(path), [str(text) for text in texts.values()], list(texts))
        raise DataError(f"{path}: expected a mapping of id to report, or a list of rows")
    if not isinstance(data, list):
        raise DataError(f"{path}: expected a list of rows, or a mapping of id to report")
    if data and all(isinstance(row, str) for row in data):
        return Reports(str(path), data)
    for number, row in enumerate(data, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: expected a mapping with an id and a report")
    return ((f"{path}, row {number}", row) for number, row in enumerate(data, start=1))


def _turned(path: Path, data: Mapping[str, Any]) -> Rows | None:
    """Make rows of a mapping of id to row, of column to a list, or of column to a mapping of ids,
    as pycocoevalcap's `gts` and `res`; None where it is none of these.
    """
    named = spelt(data).keys()
    by_column = bool(named & COLUMNS) and named <= COLUMNS | {*IDS}
    if by_column and all(isinstance(value, list) for value in data.values()):
        counts = {name: len(value) for name, value in data.items()}
        if len(set(counts.values())) > 1:
            raise DataError(
                f"{path}: expected columns of one length; found "
                f"{', '.join(f'{count:,} in {name}' for name, count in counts.items())}"
            )
        rows = (dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True))
        return ((f"{path}, row {number}", row) for number, row in enumerate(rows, start=1))
    if not data or not all(isinstance(value, dict) for value in data.values()):
        return None
    if by_column:
        keys = dict.fromkeys(key for value in data.values() for key in value)
        of = {
            key: {name: value[key] for name, value in data.items() if key in value} for key in keys
        }
        if named & {*IDS}:  # as pandas writes: what the rows are numbered by is no id
            return ((f"{path}, row '{key}'", row) for key, row in of.items())
    else:
        of = dict(data)
    return ((f"{path}, '{id}'", {"id": id, **row}) for id, row in of.items())


def parsed(path: Path, text: str) -> Any:
    """Parse JSON; raises DataError with the place."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}, column {error.colno}: is not JSON ({error.msg})"
        ) from error
    except RecursionError as error:
        raise DataError(f"{path}: {TOO_DEEP}") from error
    except ValueError as error:
        raise DataError(f"{path}: {TOO_LONG}") from error


def _table(path: Path, text: str, separator: str, named: Collection[str]) -> Rows | Reports:
    first = text.partition("\n")[0]
    known = {*IDS, *COLUMNS, *spelt(dict.fromkeys(named))}
    if not known & spelt(_cells(first, separator)).keys():
        for other in ";\t,":  # as spreadsheets write where a comma is in numbers
            if other != separator and known & spelt(_cells(first, other)).keys():
                separator = other
                break
        else:
            if not named and (lines := _headless(path, text, separator)) is not None:
                return lines
    return _rows_of(path, text, separator)


def _cells(line: str, separator: str) -> dict[str, None]:
    return dict.fromkeys(cell.strip().strip('"') for cell in line.split(separator))


def _headless(path: Path, text: str, separator: str) -> Reports | None:
    """Read a table of one column that has no header; None where it is another. What is above the
    column is taken for a header where it is one word, and for a report where it is several.
    """
    try:
        rows = list(csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error:
        return None  # told, with its line, by whoever reads it as a table with a header
    one = all(len(row) <= 1 for row in rows) and rows and " " in "".join(rows[0]).strip()
    return Reports(str(path), [row[0] if row else "" for row in rows]) if one else None


def _rows_of(path: Path, text: str, separator: str) -> Rows:
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if None in row:
                raise DataError(
                    f"{place}: has more cells than the header has columns; a report with a "
                    "separator in it must be quoted"
                )
            yield place, row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: is not CSV ({error})") from error


def spelt(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns by their names as they are looked for."""
    return {str(name).strip().lower().replace(" ", "_"): str(name) for name in row}


def only(value: Any) -> Any:
    """One reference is often kept as a list of one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
