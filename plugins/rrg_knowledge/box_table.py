"""Boxes that somebody else drew, from a table."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final, final

from rrg_knowledge.columns import Row, find_row, read_table, table_rows
from rrgcore.annotations import Box, Boxes
from rrgcore.errors import DataError, did_you_mean
from rrgcore.study import Study
from rrgcore.supply import Annotator

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("image_id", "dicom_id", "image", "image_path", "path", "file", "filename"),
    "study": ("study_id", "study", "id", "uid"),
    "name": ("bbox_name", "landmark", "name", "region", "label", "class_name"),
    "x1": ("x1", "x_min", "xmin", "left"),
    "y1": ("y1", "y_min", "ymin", "top"),
    "x2": ("x2", "x_max", "xmax", "right"),
    "y2": ("y2", "y_max", "ymax", "bottom"),
    "width": ("image_width", "width"),
    "height": ("image_height", "height"),
}
"""What columns are called, the likeliest first; compared without case."""
NEEDED: Final = ("name", "x1", "y1", "x2", "y2")
LARGEST_FRACTION: Final = 2.0
"""A box may reach beyond its image; a coordinate beyond this is one in pixels."""
_IMAGE_FILES: Final = frozenset((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".gz"))


@final
class BoxTable(Annotator):
    """A CSV of boxes, a row each: whose it is, its name, and x1, y1, x2, y2.

    Columns are found by their names; `columns` says which is which where they have others (image,
    study, name, x1, y1, x2, y2, width, height), null that there is none. Where there are a width
    and a height of the image, coordinates are in its pixels, else they are fractions of it.

    An image is found by its file, its ending and as many folders left away as the shorter of both
    names has, or by the id of its study, if that has no other; a table that names studies is about
    their one frontal image. An image without a row has no boxes. Boxes are cut at the image's
    edges, and what is empty then is left out. Names become lower case. `.csv.gz` is read too.

    Raises DataError for a file that is not so, naming the line.
    """

    writes: ClassVar[type] = Boxes
    kept: ClassVar[bool] = False

    def __init__(self, *, path: str, columns: Mapping[str, str | None] = {}) -> None:
        self.path = Path(path).expanduser()
        self.columns = columns

    def read_given(self) -> None:
        """Read the table; raises DataError."""
        _ = self._table

    @cached_property
    def _table(self) -> "_Table":
        data = read_table(self.path, "boxes")
        rows = table_rows(data, self.path)
        _, header = next(rows)
        places = _places([cell.strip() for cell in header], self.columns, self.path)
        by_image = "image" in places
        boxes = _load(rows, places, self.path)
        ends = [(end, key) for key in boxes if by_image for end in _ends(key)]
        often = Counter(end for end, _ in ends)
        of_end = {end: key for end, key in ends if often[end] == 1}
        return _Table(by_image, boxes, of_end, hashlib.sha256(data).hexdigest()[:12])

    def annotate(self, studies: Iterable[Study]) -> Iterator[Boxes]:
        """Yield the boxes of each study's images."""
        for study in studies:
            by_image = self._table.by_image
            yield Boxes(self._of_images(study) if by_image else self._of_study(study))

    def fingerprint(self) -> str:
        """Return the file's name and what tells its contents from others."""
        return f"box_table {self.path.name} (sha256 {self._table.digest})"

    def _of_images(self, study: Study) -> tuple[tuple[Box, ...], ...]:
        keys = [self._key(image.where) for image in study.images]
        if keys == [None]:
            keys = [self._key(study.id)]
        boxes = self._table.boxes
        return tuple(() if key is None else tuple(boxes[key]) for key in keys)

    def _key(self, name: str) -> str | None:
        """Return the table's name of an image: an end of this one, or one that ends in it."""
        plain = _image_key(name)
        own = next((end for end in _ends(plain) if end in self._table.boxes), None)
        return self._table.of_end.get(plain) if own is None else own

    def _of_study(self, study: Study) -> tuple[tuple[Box, ...], ...]:
        boxes = tuple(find_row(self._table.boxes, study) or ())
        frontal = [i for i, view in enumerate(study.views) if view == "frontal"]
        among = frontal or [i for i, view in enumerate(study.views) if view == "unknown"]
        if boxes and len(among) != 1:
            raise DataError(
                f"{self.path} has boxes of study '{study.id}', of whose {len(study.images)} images "
                f"{len(among)} may be meant; a table that names images can tell: columns.image=…"
            )
        return tuple(boxes if i in among else () for i in range(len(study.images)))


@final
@dataclass(frozen=True, slots=True)
class _Table:
    """What was read of the file."""

    by_image: bool
    boxes: Mapping[str, Sequence[Box]]
    of_end: Mapping[str, str]
    """An end of an image's name that no other image's has, and the whole name."""
    digest: str


def _load(rows: Iterable[Row], places: Mapping[str, int], path: Path) -> dict[str, list[Box]]:
    in_pixels = "width" in places
    key = places["image"] if "image" in places else places["study"]
    boxes: dict[str, list[Box]] = defaultdict(list)
    own_sizes, beyond, largest = in_pixels, False, 0.0
    for line, cells in rows:
        place = f"{path}, line {line}"
        whose = cells[key].strip()
        name = " ".join(cells[places["name"]].lower().split())
        if not whose or not name:
            raise DataError(f"{place}: the box has no {'name' if whose else 'image or study'}")
        x1, y1, x2, y2 = (_number(cells, places, edge, place) for edge in ("x1", "y1", "x2", "y2"))
        if x2 < x1 or y2 < y1:
            raise DataError(
                f"{place}: x2 is left of x1, or y2 above y1 ({x1:g}, {y1:g}, {x2:g}, "
                f"{y2:g}); expected x1 ≤ x2 and y1 ≤ y2"
            )
        if in_pixels:
            width, height = (_number(cells, places, side, place) for side in ("width", "height"))
            if width <= 0 or height <= 0:
                raise DataError(f"{place}: an image of {width:g} × {height:g} pixels is none")
            own_sizes = own_sizes and (width, height) == (x2 - x1, y2 - y1)
            beyond = beyond or x2 > width or y2 > height
            largest = max(largest, x2, y2)
            x1, y1, x2, y2 = x1 / width, y1 / height, x2 / width, y2 / height
        elif max(map(abs, (x1, y1, x2, y2))) > LARGEST_FRACTION:
            raise DataError(
                f"{place}: {x1:g}, {y1:g}, {x2:g}, {y2:g} are no fractions of an image; where they "
                "are pixels, say which columns hold the image's size: columns.width=…, "
                "columns.height=…"
            )
        x1, y1, x2, y2 = (min(max(edge, 0.0), 1.0) for edge in (x1, y1, x2, y2))
        found = boxes[_image_key(whose) if "image" in places else whose]
        if x1 < x2 and y1 < y2:
            found.append(Box(name, x1, y1, x2, y2))
    if not boxes:
        raise DataError(f"{path} has a header and no boxes")
    if own_sizes and beyond:
        raise DataError(
            f"{path}: in every row width and height are those of the box, x2 - x1 and y2 - y1; "
            "expected the image's. Say which columns hold them: columns.width=…, columns.height=…"
        )
    if in_pixels and largest <= LARGEST_FRACTION:
        raise DataError(
            f"{path}: no coordinate is above {largest:g}, so that they are fractions, while width "
            "and height say pixels. If they are: columns.width=null columns.height=null"
        )
    return dict(boxes)


def _places(header: Sequence[str], wanted: Mapping[str, str | None], path: Path) -> dict[str, int]:
    """Return where each column is; raises DataError for one that is needed and not there."""
    for meaning in wanted:
        if meaning not in NAMES:
            raise DataError(
                f"`columns`: '{meaning}' is nothing a column can mean."
                f"{did_you_mean(meaning, NAMES)} Known: {', '.join(NAMES)}"
            )
    at = {name.casefold(): i for i, name in reversed(list(enumerate(header)))}
    places: dict[str, int] = {}
    for meaning, usual in NAMES.items():
        said = wanted.get(meaning, "")
        if said is None:
            continue
        if said and said.casefold() not in at:
            raise DataError(
                f"{path} has no column '{said}' ({meaning}).{did_you_mean(said, header)} "
                f"Columns: {', '.join(header)}"
            )
        named = [name for name in ([said.casefold()] if said else usual) if name in at]
        if named:
            places[meaning] = at[named[0]]
    lacking = [meaning for meaning in NEEDED if meaning not in places]
    if "image" not in places and "study" not in places:
        lacking.insert(0, "image (or study)")
    if ("width" in places) != ("height" in places):
        lacking.append("height" if "width" in places else "width")
    if lacking:
        raise DataError(
            f"{path} has no column for {', '.join(lacking)}; say which it is: columns.NAME=…. "
            f"Columns: {', '.join(header)}"
        )
    return places


def _number(cells: Sequence[str], places: Mapping[str, int], meaning: str, place: str) -> float:
    text = cells[places[meaning]].strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{place}: {meaning} is '{text}'; expected a number")
    return number


def _image_key(name: str) -> str:
    """Return a path without the endings of image files."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    while path.suffix.lower() in _IMAGE_FILES:
        path = path.with_suffix("")
    return str(path)


def _ends(path: str) -> Iterator[str]:
    """Yield a path, and what remains of it without its first folders."""
    parts = PurePosixPath(path).parts
    return ("/".join(parts[first:]) for first in range(len(parts)))
