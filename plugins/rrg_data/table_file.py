"""Which of a folder's files is the table of its studies."""

import os
from pathlib import Path
from typing import Final

from rrgcore.errors import DataError
from rrgcore.tables import table_suffix

LAYOUT: Final = """\
  ROOT/reports.csv    with a header; or .tsv, or .jsonl with a mapping a line; or any of them .gz
  ROOT/images/FILE    the images that its rows name; or below ROOT itself
Columns of other names are said by columns.id=…, columns.report=…, columns.image=…,
columns.split=…, columns.view=…, columns.subject=…"""


def find_table(root: Path, file: str | None) -> Path:
    """Return the table that is named, or the only one there is; raises DataError."""
    if not os.path.isdir(root):  # of os.path: a name may be too long for the system
        state = "is a file" if os.path.exists(root) else "does not exist"
        raise DataError(f"data.root: the folder {root} {state}. Expected:\n{LAYOUT}")
    found = sorted(path for path in root.iterdir() if table_suffix(path) and path.is_file())
    listed = ", ".join(path.name for path in found)
    if file is not None:
        if not (root / file).is_file():
            there = f" Tables there: {listed}." if found else ""
            raise DataError(f"data.file: {root / file} does not exist.{there} Expected:\n{LAYOUT}")
        return root / file
    if len(found) != 1:
        what = f"{root} has several tables: {listed}" if found else f"{root} has no table"
        raise DataError(f"{what}. Say which: data.file=…\nExpected:\n{LAYOUT}")
    return found[0]
