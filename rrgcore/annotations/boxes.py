"""Named rectangles on images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, final

from rrgcore.annotations.protocol import Affine
from rrgcore.errors import DataError, shortened
from rrgcore.mirror import mirrored_name


@final
@dataclass(frozen=True, slots=True)
class Box:
    """A named rectangle, as fractions of the image's width and height; x grows to the image's
    right.
    """

    name: str
    x1: float
    y1: float
    x2: float
    y2: float


@final
@dataclass(frozen=True, slots=True)
class Boxes:
    """Landmark or finding boxes of each image of a study."""

    slug: ClassVar[str] = "boxes"

    images: tuple[tuple[Box, ...], ...]

    @classmethod
    def from_json(cls, data: Any) -> "Boxes":
        """Read a list of images, each a list of `{"name", "x1", "y1", "x2", "y2"}`."""
        return cls(_read(data))

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        return _written(self.images)

    def mirrored(self, flipped: Sequence[bool]) -> "Boxes":
        """Exchange left and right in names, and turn the boxes of flipped images over.

        What keeps its name wherever it lies ("right atrium") keeps it.
        """
        return Boxes(_mirrored(self.images, flipped))

    def moved(self, matrix: Affine) -> "Boxes":
        """Return the upright boxes around the moved ones, cut at the image's edges; one that left
        the image is gone.
        """
        return Boxes(_all_moved(self.images, matrix))


@final
@dataclass(frozen=True, slots=True)
class FindingBoxes:
    """Where each observation shows, on each image of a study: what attention can be held against.

    Several boxes of one name are one finding in several places. No model reads them.
    """

    slug: ClassVar[str] = "finding_boxes"

    images: tuple[tuple[Box, ...], ...]
    """Named as CheXpert's observations are."""

    @classmethod
    def from_json(cls, data: Any) -> "FindingBoxes":
        """Read a list of images, each a list of `{"name", "x1", "y1", "x2", "y2"}`."""
        return cls(_read(data))

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        return _written(self.images)

    def mirrored(self, flipped: Sequence[bool]) -> "FindingBoxes":
        """Turn the boxes of flipped images over: no observation names a side."""
        return FindingBoxes(_mirrored(self.images, flipped))

    def moved(self, matrix: Affine) -> "FindingBoxes":
        """Return the upright boxes around the moved ones, cut at the image's edges."""
        return FindingBoxes(_all_moved(self.images, matrix))


Images = tuple[tuple[Box, ...], ...]


def _read(data: Any) -> Images:
    try:
        return tuple(tuple(_box(box) for box in image) for image in data)
    except (TypeError, OverflowError) as error:
        raise DataError(
            f"not boxes ({shortened(str(error))}); expected name, x1, y1, x2, y2 for each, "
            "fractions of the image"
        ) from error


def _written(images: Images) -> Any:
    return [[asdict(box) for box in image] for image in images]


def _mirrored(images: Images, flipped: Sequence[bool]) -> Images:
    return tuple(
        tuple(
            replace(
                box,
                name=mirrored_name(box.name),
                x1=1 - box.x2 if turned else box.x1,
                x2=1 - box.x1 if turned else box.x2,
            )
            for box in image
        )
        for image, turned in zip(images, flipped, strict=True)
    )


def _all_moved(images: Images, matrix: Affine) -> Images:
    return tuple(
        tuple(
            moved
            for box in image
            if (moved := _moved(box, matrix)).x1 < moved.x2 and moved.y1 < moved.y2
        )
        for image in images
    )


def _box(data: Any) -> Box:
    """Read one box; raises TypeError for what is none."""
    if not isinstance(data, Mapping) or data.keys() != {field.name for field in fields(Box)}:
        raise TypeError(f"{data!r}")
    edges = {key: value for key, value in data.items() if key != "name"}
    if not isinstance(data["name"], str) or not all(map(math.isfinite, edges.values())):
        raise TypeError(f"{data!r}")
    return Box(name=data["name"], **{key: float(edge) for key, edge in edges.items()})


def _moved(box: Box, matrix: Affine) -> Box:
    corners = [(x, y) for x in (box.x1, box.x2) for y in (box.y1, box.y2)]
    xs, ys = ([min(max(a * x + b * y + c, 0.0), 1.0) for x, y in corners] for a, b, c in matrix)
    return Box(box.name, min(xs), min(ys), max(xs), max(ys))
