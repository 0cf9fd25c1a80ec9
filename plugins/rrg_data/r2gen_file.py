"""Reading R2Gen's JSON file, and everything that can be wrong with a row of it."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from rrgcore.cleaning import half_pair, is_empty
from rrgcore.errors import DataError
from rrgcore.json_text import parse_json

SPLITS = ("train", "val", "test")

_LAYOUT = """\
Expected R2Gen's layout:
  ROOT/annotation.json   {"train": [{"id": …, "report": …, "image_path": [FILE, …]}, …],
                          "val": […], "test": […]}
  ROOT/images/FILE
R2Gen's own IU X-Ray and MIMIC-CXR files: see https://github.com/zhjohnchan/R2Gen.
With no data at hand, `rrg data export phantom DIR` makes such a folder of phantoms, to try it with;
data.name=phantom needs none."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the file, whatever it is, and where it stands: lists count from 1."""

    split: str
    number: int
    value: Any
    unit: str = "row"
    """What is counted."""

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.split}, {self.unit} {self.number}"

    def replaced(self, value: Any) -> "Row":
        """Return another entry at the same place."""
        return replace(self, value=value)

    def __str__(self) -> str:
        study = self.value.get("id") if isinstance(self.value, dict) else None
        return f"study '{study}' ({self.place})" if isinstance(study, str) else self.place


def load_text(root: Path, annotation: str) -> str:
    """Read the file; raises DataError that says what was expected where."""
    path = root / annotation
    if not os.path.isdir(root):  # of os.path: a name may be too long for the system
        state = "is a file" if os.path.exists(root) else "does not exist"
        raise DataError(f"data.root: the folder {root} {state}.\n{_LAYOUT}")
    if not path.is_file():
        others = [
            str(file.relative_to(root))
            for file in sorted([*root.glob("*.json"), *root.glob("*/*.json")])
        ]
        found = f" JSON files there: {', '.join(others[:5])}." if others else ""
        raise DataError(f"data.annotation: {path} does not exist.{found}\n{_LAYOUT}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; save the file in that encoding"
        ) from error


def parse_rows(text: str, path: Path) -> list[Row]:
    """Read a mapping of split to rows, or one list of rows with a split each."""
    try:
        data = parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}, column {error.colno}: is not JSON ({error.msg})"
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if isinstance(data, list):
        return [
            Row(str(row.get("split", "")) if isinstance(row, dict) else "", number, row)
            for number, row in enumerate(data, start=1)
        ]
    if not isinstance(data, dict):
        raise DataError(f"{path}: holds {shown(data)}.\n{_LAYOUT}")
    for split, rows in data.items():
        if not isinstance(rows, list):
            raise DataError(f"{path}: '{split}' is {shown(rows)}; expected a list of rows")
    return [
        Row(split, number, row)
        for split, rows in data.items()
        for number, row in enumerate(rows, start=1)
    ]


def wrong_splits(rows: Iterable[Row]) -> Iterator[str]:
    """Say which splits are none of the three."""
    for split, count in Counter(row.split for row in rows if row.split not in SPLITS).items():
        who = "1 row has" if count == 1 else f"{count:,} rows have"
        what = f"the split '{split}'" if split else "no split"
        yield f"{who} {what}; expected train, val or test"


def wrong_row(row: Row, images: Path | None) -> Iterator[str]:
    """Say everything that is wrong with one row.

    Images are looked for in the folder, if there is one, and not opened.
    """
    value = row.value
    if not isinstance(value, dict):
        yield f"is {shown(value)}; expected a mapping with id, report and image_path"
        return
    if missing := [key for key in ("id", "report", "image_path") if key not in value]:
        yield f"has no {' and no '.join(missing)} (it has {', '.join(value) or 'nothing'})"
    if "id" in value and not (isinstance(value["id"], str) and value["id"]):
        yield f"its id is {shown(value['id'])}; expected a word"
    if value.get("split", row.split) != row.split:
        yield f"stands among {row.split} and says that its split is {shown(value['split'])}"
    if "report" in value:
        if not isinstance(value["report"], str):
            yield f"its report is {shown(value['report'])}; expected a text"
        elif is_empty(value["report"]):
            yield "its report is empty"
    for key in ("id", "report"):
        if isinstance(value.get(key), str) and (half := half_pair(value[key])):
            yield f"its {key} has {half}"
    if "image_path" in value:
        yield from _wrong_images(value["image_path"], images)
    if "views" in value:
        yield from _wrong_views(value["views"], value.get("image_path"))


def shown(value: Any) -> str:
    """Return JSON of a value, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _wrong_images(paths: Any, images: Path | None) -> Iterator[str]:
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        yield f"its image_path is {shown(paths)}; expected a list of files"
        return
    if not paths:
        yield "has no image"
    for path in paths:
        inside = os.path.normpath(path)
        if os.path.isabs(inside) or inside.split(os.sep)[0] == "..":
            yield f"image {path} is outside the folder of images"
        elif images is not None and not os.path.isfile(os.path.join(images, inside)):
            yield f"image {path} is missing{_similar(images / inside)}"


def _similar(wanted: Path) -> str:
    """Point to a file of the same name with another ending."""
    near = sorted(wanted.parent.glob(f"{wanted.stem}.*")) if wanted.parent.is_dir() else []
    return f" (there is {near[0].name} in its place)" if near else ""


def _wrong_views(views: Any, paths: Any) -> Iterator[str]:
    if not isinstance(views, list) or not all(isinstance(view, str | None) for view in views):
        yield f"its views are {shown(views)}; expected a list of words, one an image"
    elif isinstance(paths, list) and len(views) != len(paths):
        yield f"has {len(views)} views of {len(paths)} images"
