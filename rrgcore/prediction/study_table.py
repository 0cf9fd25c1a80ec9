"""A table of studies to be reported, with the columns that the data set `table` reads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import isfile  # of a cell that is no name of a file: no error
from pathlib import Path
from typing import Any, Final

from rrgcore.chest import View, view_of
from rrgcore.errors import DataError, did_you_mean
from rrgcore.json_text import parse_json
from rrgcore.prediction.inputs import Request, TableOptions, id_of
from rrgcore.tables import Record, Table, find_columns, is_json, read_table, view_of_column

SAID: Final = "--column {}=NAME"
_SEPARATORS: Final = re.compile(r"[;|]")


def requests_in(path: Path, options: TableOptions) -> list[Request]:
    """List a table's studies in its order; raises DataError where it cannot be read, or has no
    column of images.

    Rows with the same id are the images of one study. Without a column of ids a study is called
    after its first image. Images are below the table's own folder, or the folder `images` beside
    it. A row that names none, or that has not as many cells as the header, is a request with a
    `problem`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    table = _json_table(path, data, options.split) if is_json(path) else read_table(path, data)
    columns = find_columns(
        table, options.columns, path, needed=("image",), option="--column", say=SAID
    )
    found: dict[str, Request] = {}
    for record in table.records:
        request = _request(path, record, columns, options.separator)
        known = found.get(request.id)
        found[request.id] = request if known is None else _joined(known, request)
    broken = [Request(id_of(f"{path}, {text}"), (), (), text) for text in table.problems]
    if not found and not broken:
        raise DataError(f"{path}: has no rows")
    return [*found.values(), *broken]


def _json_table(path: Path, data: bytes, split: str) -> Table:
    """Read a list of rows, or R2Gen's lists of rows, of which one split is taken."""
    try:
        found = parse_json(data.decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from error
    if isinstance(found, dict):
        lists = [name for name, rows in found.items() if isinstance(rows, list) and rows]
        if split not in lists:
            near = did_you_mean(split, lists)
            raise DataError(
                f"{path}: has no studies of split '{split}'.{near} Splits there: "
                f"{', '.join(lists) or 'none'}; name one with --split"
            )
        found = found[split]
    if not isinstance(found, list):
        raise DataError(
            f"{path}: is neither a list of studies nor R2Gen's mapping of splits to such lists"
        )
    rows = [(n, row) for n, row in enumerate(found, start=1) if isinstance(row, dict)]
    none = [f"row {n}: is no object" for n, row in enumerate(found, 1) if not isinstance(row, dict)]
    columns = dict.fromkeys(str(key) for _, row in rows for key in row)
    return Table(list(columns), [Record(n, row) for n, row in rows], none)


def _request(
    path: Path, record: Record, columns: Mapping[str, Sequence[str]], separator: str | None
) -> Request:
    images: list[str] = []
    views: list[str | None] = []
    for column in columns["image"]:
        cells = _cells(record, column, path, separator)
        images += cells
        views += [view_of_column(column)] * len(cells)
    said = [cell for column in columns["view"] for cell in _parts(record, column, separator)]
    if len(said) == len(images):
        views = list(said)
    id = next(iter(_texts(record.values.get(columns["id"][0]))), "") if columns["id"] else ""
    place = f"{path}, {'row' if is_json(path) else 'line'} {record.line}"
    return Request(
        id_of(id or (images[0] if images else place)),
        tuple(_place(path, image) for image in images),
        tuple[View, ...](map(view_of, views)),
        None if images else f"{place}: names no image",
    )


def _joined(known: Request, more: Request) -> Request:
    """Return one study of two rows; an image that both name is one."""
    there = dict(zip(known.images, known.views, strict=True))
    there |= {i: v for i, v in zip(more.images, more.views, strict=True) if i not in there}
    problem = None if there else known.problem
    return replace(known, images=tuple(there), views=tuple(there.values()), problem=problem)


def _cells(record: Record, column: str, path: Path, separator: str | None) -> list[str]:
    """Return the images that a cell names; one is not parted where a file is called so."""
    texts = _texts(record.values.get(column))
    if separator is None and len(texts) == 1 and isfile(_place(path, texts[0])):
        return texts
    return _parts(record, column, separator)


def _parts(record: Record, column: str, separator: str | None) -> list[str]:
    texts = _texts(record.values.get(column))
    parts = (text.split(separator) if separator else _SEPARATORS.split(text) for text in texts)
    return [part.strip() for each in parts for part in each if part.strip()]


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(each).strip() for each in values if each is not None and str(each).strip()]


def _place(table: Path, name: str) -> Path:
    """Return where an image is: beside the table, or in the folder `images` there."""
    beside = table.parent / name
    below = table.parent / "images" / name
    return below if not isfile(beside) and isfile(below) else beside
