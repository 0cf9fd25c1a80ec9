"""Boxes of anatomy from Chest ImaGenome's silver scene graphs."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final, final
from zipfile import ZipFile

import numpy as np
from jaxtyping import Float

from rrgcore.annotations import Box, Boxes
from rrgcore.errors import DataError, shortened
from rrgcore.json_text import parse_json
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Annotator, Workbench

SUFFIX: Final = "_SceneGraph.json"
PLACES: Final = ("scene_graph", "silver_dataset/scene_graph", "scene_graph/scene_graph")
"""Where the graphs are below a folder that somebody names; as a folder, or as a zip file."""
PADDED: Final = 224
"""Pixels of the square on which the graphs' own coordinates are: the image, its longer side made
so long, between two black bars.
"""
SURE: Final = 0.005
"""Standard error of the image's size, as a share of it, up to which no image is opened."""
CONFIRMED: Final = 8
"""Images that are opened at first, to see that the sizes that follow are theirs."""
BEYOND: Final = 1.05
"""So far beyond the image, as a multiple of its size, boxes reach and are still on it."""
APART: Final = 1.0
"""Pixels of the square by which the two sets of coordinates may disagree; both are rounded."""

FARTHEST: Final = 1e6
"""Pixels; no edge of a box is so far from its image's corner."""

Edges = Float[np.ndarray, "m 4"]


@final
class SceneGraphs(Annotator):
    """The named boxes of each image: `path` is the folder of `*_SceneGraph.json`, or the zip file
    in which PhysioNet hands them out, or the archive's own folder above them.

    An image's graph is found by the image's file, or else by its study's id: both are MIMIC-CXR's
    dicom_id. One without a graph (a lateral) has no boxes. Boxes reach beyond the image, and are
    cut at its edges; what is empty then is left out.

    The graphs do not say how large the image is: `original_width` is the box's. It follows from
    the two sets of coordinates that each box has, on the image and on a padded square of 224
    pixels, so that the dataset's images may be smaller copies. Where boxes are too few to tell, the
    image is opened.

    Raises DataError for a folder without graphs, and for one that is none.
    """

    writes: ClassVar[type] = Boxes
    kept: ClassVar[bool] = False

    def __init__(self, *, path: str) -> None:
        self.path = Path(path).expanduser()
        self._bench: Workbench | None = None
        self._confirmed = 0

    def read_given(self) -> None:
        """Look for the graphs; raises DataError."""
        _ = self._graphs

    @cached_property
    def _graphs(self) -> "_Folder | _Zip":
        return _open(self.path)

    def equip(self, bench: Workbench) -> None:
        """Take what opens images."""
        self._bench = bench

    def annotate(self, studies: Iterable[Study]) -> Iterator[Boxes]:
        """Yield the boxes of each study's images."""
        for study in studies:
            yield Boxes(tuple(self._boxes(study, image) for image in study.images))

    def fingerprint(self) -> str:
        """Return where the graphs are, and what tells them from others: how many, which."""
        return f"scene_graphs {self.path.name} ({self._graphs.about()})"

    def _boxes(self, study: Study, image: ImageRef) -> tuple[Box, ...]:
        names = [PurePosixPath(image.where).stem]
        if len(study.images) == 1:
            names.append(study.id)
        for name in names:
            if (text := self._graphs.read(name)) is not None:
                return self._parse(text, f"{self.path}: {name}{SUFFIX}", image)
        return ()

    def _parse(self, text: bytes, place: str, image: ImageRef) -> tuple[Box, ...]:
        try:
            objects = parse_json(text)["objects"]
            names = [str(each["bbox_name"]).strip().lower() for each in objects]
            padded, original = (_edges(objects, prefix) for prefix in ("", "original_"))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            why = f"{type(error).__name__}: {shortened(str(error))}"
            raise DataError(
                f"{place} is not a scene graph ({why}); expected objects with bbox_name, x1, y1, "
                "x2, y2 and original_x1, …, as Chest ImaGenome has them"
            ) from error
        if not names:
            return ()
        if padded is None and original is None:
            raise DataError(f"{place}: a box has neither x1, y1, x2, y2 nor original_x1, …")
        edges = self._fractions(padded, original, place, image).clip(0, 1)
        return tuple(
            Box(name, *map(float, box))
            for name, box in zip(names, edges, strict=True)
            if box[0] < box[2] and box[1] < box[3]
        )

    def _fractions(
        self, padded: Edges | None, original: Edges | None, place: str, image: ImageRef
    ) -> Edges:
        size = None
        if padded is not None and original is not None:
            size = image_size(padded, original)
        if size is not None and (self._bench is None or self._confirmed >= CONFIRMED):
            return original / np.tile(size, 2)
        if self._bench is None:
            raise DataError(
                f"{place} does not tell the size of its image, and nothing here opens images"
            )
        height, width = self._bench.open(image).shape
        opened = np.array([width, height])
        if original is not None and (original[:, 2:] <= BEYOND * opened).all():
            if size is not None and np.allclose(size, opened, rtol=0.02):
                self._confirmed += 1
            return original / np.tile(opened, 2)
        if size is not None:  # the image is a copy that was made smaller
            self._confirmed += 1
            return original / np.tile(size, 2)
        if padded is not None:
            return unpad(padded, width, height)
        assert original is not None, "one of the two is there"
        raise DataError(
            f"{place}: its boxes reach to {original[:, 2].max():g} × {original[:, 3].max():g}, and "
            f"the image is {width} × {height} pixels, a copy that was made smaller; the graph has "
            "no x1, y1, x2, y2 to go by"
        )


def image_size(padded: Edges, original: Edges) -> tuple[float, float] | None:
    """Return the width and height of the image on which the original boxes are.

    On the square x' = r·x + d, with the same r for both axes and d half the black bar. Fitted to
    all edges by least squares; bars are whole pixels, so that it is right within 1 %. None where
    the edges do not agree, or are too few to tell.
    """
    x, y = (_pairs(padded, original, axis) for axis in (0, 1))
    spread = sum(float(((o - o.mean()) ** 2).sum()) for _, o in (x, y))
    if spread == 0:
        return None
    ratio = sum(float(((p - p.mean()) * (o - o.mean())).sum()) for p, o in (x, y)) / spread
    bars = [float(p.mean() - ratio * o.mean()) for p, o in (x, y)]
    off = [np.abs(p - ratio * o - bar).max() for (p, o), bar in zip((x, y), bars, strict=True)]
    # an edge that was rounded is off by 0.29 pixels of the square, root mean square
    if ratio <= 0 or max(off) > APART or 0.29 / spread**0.5 > SURE * ratio:
        return None
    width, height = ((PADDED - 2 * bar) / ratio for bar in bars)
    # the longer side has no bar: what is fitted there is rounding
    side = PADDED / ratio
    return (side, height) if width >= height else (width, side)


def unpad(padded: Edges, width: int, height: int) -> Edges:
    """Return boxes on the padded square as fractions of an image of these proportions."""
    size = np.array([width, height]) / max(width, height)
    return (padded / PADDED - np.tile((1 - size) / 2, 2)) / np.tile(size, 2)


def _pairs(padded: Edges, original: Edges, axis: int) -> tuple[np.ndarray, np.ndarray]:
    return padded[:, axis::2].ravel(), original[:, axis::2].ravel()


def _edges(objects: Sequence[Mapping[str, Any]], prefix: str) -> Edges | None:
    """Return one set of coordinates; None where a box has none."""
    keys = [f"{prefix}{edge}" for edge in ("x1", "y1", "x2", "y2")]
    if any(each.get(key) is None for each in objects for key in keys):
        return None
    edges = np.array([[float(each[key]) for key in keys] for each in objects]).reshape(-1, 4)
    if not (np.abs(edges) <= FARTHEST).all():  # nor is NaN
        raise ValueError("a coordinate is no number of pixels")
    return edges


# ---- where they are -------------------------------------------------------------------------


@final
class _Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / f"{name}{SUFFIX}").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DataError(f"{self.folder / name}{SUFFIX} cannot be read ({error})") from error

    def about(self) -> str:
        return _about(path.name for path in self.folder.glob(f"*{SUFFIX}"))


@final
class _Zip:
    def __init__(self, path: Path) -> None:
        try:
            self._zip = ZipFile(path)
        except Exception as error:  # of what bytes can be, zipfile does not refuse all alike
            raise DataError(f"{path} is no zip file that can be read ({error!r})") from error
        self._members = {
            PurePosixPath(name).name: name
            for name in self._zip.namelist()
            if name.endswith(SUFFIX) and not name.startswith("__MACOSX")
        }
        if not self._members:
            raise DataError(f"{path} holds no *{SUFFIX}; expected Chest ImaGenome's scene graphs")

    def read(self, name: str) -> bytes | None:
        member = self._members.get(f"{name}{SUFFIX}")
        try:
            return None if member is None else self._zip.read(member)
        except Exception as error:  # as above
            raise DataError(f"{self._zip.filename}: {member} is damaged ({error!r})") from error

    def about(self) -> str:
        return _about(self._members)


def _open(path: Path) -> _Folder | _Zip:
    if path.is_file():
        return _Zip(path)
    for folder in (path, *(path / place for place in PLACES)):
        if folder.is_dir() and next(folder.glob(f"*{SUFFIX}"), None) is not None:
            return _Folder(folder)
        if (packed := folder.with_name(f"{folder.name}.zip")).is_file() and folder != path:
            return _Zip(packed)
    state = "holds no" if path.is_dir() else "does not exist: expected a folder of"
    raise DataError(
        f"{path} {state} *{SUFFIX}. Chest ImaGenome has them in silver_dataset/scene_graph.zip: "
        "name that file, or the folder into which it was unpacked"
    )


def _about(names: Iterable[str]) -> str:
    """Say which graphs there are: their names, since 240,000 files are not read for that."""
    listed = sorted(names)
    digest = hashlib.sha256("\n".join(listed).encode()).hexdigest()[:12]
    return f"{len(listed):,} graphs, sha256 of their names {digest}"
