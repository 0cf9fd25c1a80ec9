"""Anybody's reports, one side of a scoring: with ids or in order."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rrgcore.cleaning import half_pair
from rrgcore.errors import DataError, did_you_mean
from rrgcore.scoring.predict_rows import last_rows
from rrgcore.scoring.report_rows import (
    IDS,
    SPLITS,
    TEXTS,
    Reports,
    Rows,
    Side,
    is_lines,
    json_rows,
    only,
    parsed,
    read_text,
    rows_in,
    spelt,
)
from rrgcore.tables import is_json

SHOWN = 5
"""Ids that an error shows."""


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
    usual names unless they are given. A table of one column without a header, as R2Gen's `res.csv`,
    is a report a line; mappings of id to row, of column to list, and of column to ids are rows.
    """
    path = Path(path).expanduser()
    named = [name for name in (column, id_column) if name is not None]
    rows = rows_in(path, split, named)
    if not isinstance(rows, Reports):
        rows = last_rows(path, rows)
    return _reports(path, rows, side, column=column, id_column=id_column)


def load_splits(path: str | Path) -> dict[str, list[str]]:
    """Read the reports of every split of a file in R2Gen's layout; nothing where it is no such
    file.
    """
    path = Path(path).expanduser()
    if not is_json(path):
        return {}
    text = read_text(path)
    data = {} if is_lines(text) else parsed(path, text)
    if not isinstance(data, dict) or not any(isinstance(data.get(s), list) for s in SPLITS):
        return {}
    return {
        split: list(_reports(path, json_rows(path, data, split), "reference").texts)
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
    rows: Rows | Reports,
    side: Side,
    *,
    column: str | None = None,
    id_column: str | None = None,
) -> Reports:
    """Take one side of rows that were read."""
    if isinstance(rows, Reports):
        for number, report in enumerate(rows.texts, start=1):
            if half := half_pair(report):
                raise DataError(f"{path}, report {number}: has {half}")
        return rows
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: is empty; expected a report a line")
    place, row = first
    text = _column(path, row, column, TEXTS[side], f"the {side}s", f"--{side}-column")
    there = spelt(row)
    known = [there[name] for name in IDS if name in there and there[name] != text]
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


def _column(
    path: Path,
    row: Mapping[str, Any],
    given: str | None,
    usual: Sequence[str],
    what: str,
    flag: str,
) -> str:
    columns = ", ".join(str(name) or "one without a name" for name in row) or "none"
    if given is not None:
        if given in row:
            return given
        raise DataError(
            f"{path}: has no column '{given}' for {what}.{did_you_mean(given, row)} "
            f"Columns there: {columns}"
        )
    there = spelt(row)
    for name in usual:
        if name in there:
            return there[name]
    raise DataError(f"{path}: no column looks like {what}; name it with {flag}. Columns: {columns}")


def _text(place: str, row: Mapping[str, Any], column: str) -> str:
    value = only(row.get(column))
    if value is None:
        raise DataError(f"{place}: has no '{column}'")
    if not isinstance(value, str):
        raise DataError(f"{place}: its '{column}' is {value!r}; expected a text")
    if half := half_pair(value):
        raise DataError(f"{place}: its '{column}' has {half}")
    return value


def _id(place: str, row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{place}: its '{column}' is {value!r}; expected an id")
    return str(value).strip()


def _check_single(path: Path, ids: Sequence[str]) -> None:
    seen: set[str] = set()
    twice = [id for id in ids if id in seen or seen.add(id)]  # type: ignore[func-returns-value]
    if twice:
        several = list(dict.fromkeys(twice))
        at = [str(number) for number, id in enumerate(ids, start=1) if id == several[0]]
        raise DataError(
            f"{path}: {len(several):,} of {len(seen):,} ids come more than once: {some(several)}. "
            f"'{several[0]}' is report {' and '.join(at[:2])}; expected one report a study: keep "
            "one, or name another column with --id-column"
        )


def _all(first: tuple[str, dict[str, Any]], rest: Rows) -> Rows:
    yield first
    yield from rest
