"""Anybody's reports: JSON, JSON Lines, CSV, TSV, or one report a line; with ids or in order."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal, final

from rrgcore.cleaning import half_pair
from rrgcore.errors import DataError, did_you_mean

Side = Literal["prediction", "reference"]

IDS = ("id", "study_id", "image_id", "dicom_id", "uid", "case_id", "key", "study", "name")
TEXTS: Mapping[Side, tuple[str, ...]] = {
    "prediction": (
        *("prediction", "predicted", "pred", "hypothesis", "hyp", "generated", "candidate"),
        *("generated_report", "predicted_report", "output", "response", "res", "report", "text"),
    ),
    "reference": (
        *("reference", "ref", "ground_truth", "groundtruth", "gt", "target", "label"),
        *("reference_report", "true_report", "gts", "findings", "report", "text", "caption"),
    ),
}
"""Columns that are looked for, the first that is there is taken."""

SPLITS = ("train", "val", "test")
TOO_DEEP = "is nested too deeply to be reports"
TOO_LONG = "holds a number of more digits than can be read"
SHOWN = 5
"""Ids that an error shows."""


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


def load_reports(
    path: str | Path,
    side: Side,
    *,
    column: str | None = None,
    id_column: str | None = None,
    split: str = "test",
) -> Reports:
    """Read one side of a scoring from a file; raises DataError naming file, line and columns.

    `.jsonl`, `.json` (a list of rows, a mapping of id to text, or R2Gen's splits of rows, of which
    `split` is read), `.csv`, `.tsv`; anything else is one report a line. Columns are found by their
    usual names unless they are given.
    """
    path = Path(path).expanduser()
    return _reports(path, _rows(path, split), side, column=column, id_column=id_column)


def load_splits(path: str | Path) -> dict[str, list[str]]:
    """Read the reports of every split of a file in R2Gen's layout; nothing where it is no such
    file.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".json":
        return {}
    text = _read(path)
    data = {} if _is_lines(text) else _parsed(path, text)
    if not isinstance(data, dict) or not any(isinstance(data.get(s), list) for s in SPLITS):
        return {}
    return {
        split: list(_reports(path, _json(path, data, split), "reference").texts)
        for split in SPLITS
        if data.get(split)
    }


def some(ids: Sequence[str]) -> str:
    """Return the first few ids, and how many more there are."""
    more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
    return f"{', '.join(ids[:SHOWN])}{more}"


def shortened(report: str) -> str:
    """Return a report as an error shows it."""
    return report if len(report) <= 100 else f"{report[:97]}…"


def _reports(
    path: Path,
    rows: "Iterator[tuple[str, dict[str, Any]]] | Reports",
    side: Side,
    *,
    column: str | None = None,
    id_column: str | None = None,
) -> Reports:
    """Take one side of rows that were read."""
    if isinstance(rows, Reports):
        return rows
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: is empty; expected a report a line")
    place, row = first
    text = _column(path, row, column, TEXTS[side], f"the {side}s", f"--{side}-column")
    spelt = _spelt(row)
    known = [spelt[name] for name in IDS if name in spelt and spelt[name] != text]
    id_name = (
        _column(path, row, id_column, (), "the ids", "--id-column")
        if id_column
        else (known[0] if known else None)
    )
    texts, ids = [], []
    for place, row in _all(first, rows):
        texts.append(_text(place, row, text))
        if id_name is not None:
            ids.append(_id(place, row, id_name))
    if id_name is not None:
        _check_single(path, ids)
    return Reports(str(path), texts, ids if id_name is not None else None, text)


def _rows(path: Path, split: str) -> "Iterator[tuple[str, dict[str, Any]]] | Reports":
    kind = path.suffix.lower()
    text = _read(path)
    if kind == ".jsonl" or (kind == ".json" and _is_lines(text)):
        return _json_lines(path, text)
    if kind == ".json":
        return _json(path, _parsed(path, text), split)
    if kind in (".csv", ".tsv"):
        return _table(path, text, "\t" if kind == ".tsv" else ",")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()  # the end of the last line
    if not lines:
        raise DataError(f"{path}: is empty; expected a report a line")
    return Reports(str(path), [line.rstrip("\r") for line in lines])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder; expected a file of reports") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _is_lines(text: str) -> bool:
    """Whether a .json file holds a mapping a line."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and lines[0].lstrip()[:1] == "{" and lines[0].rstrip().endswith("}")


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
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


def _json(path: Path, data: Any, split: str) -> "Iterator[tuple[str, dict[str, Any]]] | Reports":
    if isinstance(data, dict) and any(name in data for name in SPLITS):
        if not isinstance(rows := data.get(split, []), list) or not rows:
            raise DataError(f"{path}: has no rows of split '{split}'; it has {', '.join(data)}")
        data = rows
    if isinstance(data, dict):
        texts = {key: _only(value) for key, value in data.items()}
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


def _parsed(path: Path, text: str) -> Any:
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


def _table(path: Path, text: str, separator: str) -> Iterator[tuple[str, dict[str, Any]]]:
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


def _column(
    path: Path,
    row: Mapping[str, Any],
    given: str | None,
    usual: Sequence[str],
    what: str,
    flag: str,
) -> str:
    there = ", ".join(map(str, row)) or "none"
    if given is not None:
        if given in row:
            return given
        raise DataError(
            f"{path}: has no column '{given}' for {what}.{did_you_mean(given, row)} "
            f"Columns there: {there}"
        )
    spelt = _spelt(row)
    for name in usual:
        if name in spelt:
            return spelt[name]
    raise DataError(f"{path}: no column looks like {what}; name it with {flag}. Columns: {there}")


def _spelt(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns by their names as they are looked for."""
    return {str(name).strip().lower().replace(" ", "_"): str(name) for name in row}


def _text(place: str, row: Mapping[str, Any], column: str) -> str:
    value = _only(row.get(column))
    if value is None:
        raise DataError(f"{place}: has no '{column}'")
    if not isinstance(value, str):
        raise DataError(f"{place}: its '{column}' is {value!r}; expected a text")
    if half := half_pair(value):
        raise DataError(f"{place}: its '{column}' has {half}")
    return value


def _only(value: Any) -> Any:
    """One reference is often kept as a list of one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _id(place: str, row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{place}: its '{column}' is {value!r}; expected an id")
    return str(value).strip()


def _check_single(path: Path, ids: Sequence[str]) -> None:
    seen: set[str] = set()
    twice = [id for id in ids if id in seen or seen.add(id)]  # type: ignore[func-returns-value]
    if twice:
        raise DataError(f"{path}: {len(twice):,} ids come more than once: {some(twice)}")


def _all(
    first: tuple[str, dict[str, Any]], rest: Iterator[tuple[str, dict[str, Any]]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield first
    yield from rest
