"""Tables of any origin, CSV, TSV or JSONL: their rows, and which of their columns means what."""

import csv
import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final, final

from rrgcore.errors import DataError, did_you_mean
from rrgcore.json_text import parse_json

Columns = Mapping[str, str | list[str] | None]

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "study_id", "study", "uid", "exam_id", "case_id", "dicom_id", "image_id"),
    "report": ("report", "report_text", "text", "findings", "caption", "impression"),
    "image": ("image", "images", "image_path", "image_paths", "path", "paths", "file", "filename"),
    "split": ("split", "subset", "fold", "partition"),
    "view": ("view", "views", "view_position", "projection"),
    "subject": ("subject", "subject_id", "patient", "patient_id", "pid", "mrn"),
}
"""What columns are called, the likeliest first; case and all that is no letter do not count."""

NEEDED: Final = ("id", "report", "image")
SEVERAL: Final = ("report", "image", "view")
"""What several columns may make together."""

VIEWS_AS_COLUMNS: Final = ("frontal", "lateral", "pa", "ap")
"""Columns of images that are called after their view."""

_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson")


@final
@dataclass(frozen=True, slots=True)
class Record:
    """One row, by the names of its columns, and the line on which it begins or ends."""

    line: int
    values: Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class Table:
    """All rows, the columns that there are, and what is wrong with lines that are none."""

    columns: Sequence[str]
    records: Sequence[Record]
    problems: Sequence[str]


def read_table(path: Path, data: bytes) -> Table:
    """Read a table from a file's bytes; raises DataError for one that cannot be read at all."""
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; save the file in that encoding"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is no whole .gz file ({error})") from error
    if not text.strip():
        raise DataError(f"{path}: is empty")
    return (
        _read_lines(text) if table_suffix(path) in (".jsonl", ".ndjson") else _read_csv(path, text)
    )


def find_columns(
    table: Table,
    wanted: Columns,
    path: Path,
    *,
    needed: Collection[str] = NEEDED,
    option: str = "data.columns",
    say: str = "data.columns.{}=…",
) -> dict[str, list[str]]:
    """Return the columns of each meaning, as they are said, or else by their usual names.

    Raises DataError that lists the columns for one that is needed, or said, and not there; `option`
    is where columns are said, and `say` how one is.
    """
    has = f"It has the columns {', '.join(table.columns) or 'none'}"
    for meaning in wanted:
        if meaning not in NAMES:
            raise DataError(
                f"{option}: '{meaning}' is nothing a column can mean."
                f"{did_you_mean(meaning, NAMES)} Known: {', '.join(NAMES)}"
            )
    found: dict[str, list[str]] = {}
    for meaning, names in NAMES.items():
        if meaning not in wanted:
            plain = {plain_name(column): column for column in reversed(table.columns)}
            usual = [plain[plain_name(name)] for name in names if plain_name(name) in plain]
            found[meaning] = usual[:1]
            if meaning == "image" and not usual:
                found[meaning] = _several_images(table.columns)
        else:
            said = wanted[meaning]
            found[meaning] = said if isinstance(said, list) else [] if said is None else [said]
        for name in found[meaning]:
            if name not in table.columns:
                near = did_you_mean(name, table.columns)
                raise DataError(f"{path}: has no column '{name}' ({meaning}).{near} {has}")
        if meaning in needed and not found[meaning]:
            raise DataError(
                f"{path}: no column for the {meaning} was found. {has}; "
                f"say which it is: {say.format(meaning)}"
            )
        if len(found[meaning]) > 1 and meaning not in SEVERAL:
            which = say.format(meaning).partition("=")[0]
            raise DataError(f"{which} names {len(found[meaning])} columns; expected one")
    return found


def table_suffix(path: Path) -> str | None:
    """Return what a table's name ends in, but for .gz; None where it is no table's name."""
    name = path.with_suffix("") if path.suffix == ".gz" else path
    return name.suffix.lower() if name.suffix.lower() in _SUFFIXES else None


def _several_images(columns: Sequence[str]) -> list[str]:
    """Find several columns of images: image_1, image_2; or frontal, lateral."""
    usual = {plain_name(name) for name in NAMES["image"]}
    numbered = [name for name in columns if plain_name(name).rstrip("0123456789") in usual]
    return numbered or [name for name in columns if view_of_column(name)]


def view_of_column(name: str) -> str | None:
    """Return the view that a column of images is called after, if it is."""
    plain = plain_name(name)
    return plain if plain in VIEWS_AS_COLUMNS else None


def is_json(path: Path) -> bool:
    """Whether a file is called like one of JSON as a whole, which is no table: of rows, or of
    R2Gen's splits.
    """
    return path.suffix.lower() == ".json"


def plain_name(name: str) -> str:
    """Return a column's name as it is looked for: its letters and digits, without case."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _read_csv(path: Path, text: str) -> Table:
    header, _, _ = text.partition("\n")
    known = "\t" if table_suffix(path) == ".tsv" else None
    delimiter = known or max(",;\t", key=header.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[Record] = []
    problems: list[str] = []
    try:
        columns = [name.strip() for name in next(reader)]
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise DataError(f"{path}: has the column '{twice[0]}' twice")
        for row in reader:
            if not any(row):
                continue
            if len(row) == len(columns):
                records.append(Record(reader.line_num, dict(zip(columns, row, strict=True))))
            else:
                problems.append(
                    f"line {reader.line_num}: has {len(row)} values; the header has {len(columns)}"
                )
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: cannot be read ({error})") from error
    return Table(columns, records, problems)


def _read_lines(text: str) -> Table:
    columns: dict[str, None] = {}
    records: list[Record] = []
    problems: list[str] = []
    for number, line in _lines(text):
        try:
            values = parse_json(line)
        except json.JSONDecodeError as error:
            problems.append(f"line {number}: is not JSON (column {error.colno}: {error.msg})")
            continue
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if isinstance(values, dict):
            columns |= dict.fromkeys(values)
            records.append(Record(number, values))
        else:
            problems.append(f"line {number}: is no mapping of columns to values")
    return Table(list(columns), records, problems)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line
