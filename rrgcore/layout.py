"""R2Gen's layout (Chen et al., 2020), written study by study: its size does not matter."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final, get_args
from urllib.parse import quote

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from rrgcore.annotations import Annotation
from rrgcore.errors import DataError, UserError
from rrgcore.images.grey import SMALLEST_SIDE
from rrgcore.settings import Split
from rrgcore.study import Study

IMAGES, ANNOTATIONS, ROWS = "images", "annotations", "annotation.json"
SPLITS: tuple[Split, ...] = get_args(Split)


@final
@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    studies: Mapping[str, int]
    """How many of each split."""
    images: int
    annotations: Mapping[str, int]
    """The kinds that have a sidecar, by slug, and how many studies have a line in it."""


@final
class LayoutWriter:
    """Writes `annotation.json` and the sidecars; images are their caller's to write.

    Rows wait in a file a split until all are known, so that nothing but counts is held in memory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.studies: dict[str, int] = dict.fromkeys(SPLITS, 0)
        self.images = 0
        self._sidecars = Sidecars(folder / ANNOTATIONS)
        self._rows: dict[str, IO[str]] = {}
        self._open = ExitStack()

    def __enter__(self) -> "LayoutWriter":
        for split in SPLITS:
            file = self._waiting(split).open("w", encoding="utf-8")
            self._rows[split] = self._open.enter_context(file)
        self._open.enter_context(self._sidecars)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(
        self,
        split: Split,
        study: Study,
        paths: Sequence[str],
        annotations: Iterable[Annotation] = (),
    ) -> None:
        """Write a study's row, with where its images are below the folder of images, and its lines
        in the sidecars.
        """
        row: dict[str, Any] = {"id": study.id, "report": study.report, "image_path": list(paths)}
        row |= {"split": split, "views": list(study.views)}
        if study.subject is not None:
            row["subject_id"] = study.subject
        if study.examination is not None:
            row["study_id"] = study.examination
        comma = ",\n" if self.studies[split] else "\n"
        self._rows[split].write(comma + json.dumps(row, ensure_ascii=False))
        for annotation in annotations:
            self._sidecars.add(study, annotation)
        self.studies[split] += 1
        self.images += len(paths)

    def finish(self, *, keep_partial: bool) -> Written:
        """Put the rows together; `keep_partial` keeps annotations that some studies lack."""
        self._open.close()
        with (self.folder / ROWS).open("w", encoding="utf-8") as file:
            for number, split in enumerate(SPLITS):
                file.write(f'{"," if number else "{"}\n"{split}": [')
                with self._waiting(split).open(encoding="utf-8") as rows:
                    while text := rows.read(1 << 16):
                        file.write(text)
                file.write("\n]" if self.studies[split] else "]")
                self._waiting(split).unlink()
            file.write("}\n")
        counts = dict(self._sidecars.counts)
        if not keep_partial:
            self._sidecars.drop_partial(sum(self.studies.values()))
        return Written(dict(self.studies), self.images, counts)

    def _waiting(self, split: str) -> Path:
        return self.folder / f".{split}.rows"


@final
class Sidecars:
    """The annotation files, each made when its first line comes, a line a study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self._files: dict[str, IO[str]] = {}
        self._open = ExitStack()

    def __enter__(self) -> "Sidecars":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, study: Study, annotation: Annotation) -> None:
        """Write a line."""
        slug = annotation.slug
        if slug not in self._files:
            self.folder.mkdir(exist_ok=True)
            file = self._path(slug).open("w", encoding="utf-8")
            self._files[slug] = self._open.enter_context(file)
        line = {"id": study.id, "value": annotation.to_json()}
        self._files[slug].write(json.dumps(line, ensure_ascii=False) + "\n")
        self.counts[slug] += 1

    def drop_partial(self, total: int) -> None:
        """Take away the files that lack a study."""
        partial = [slug for slug, count in self.counts.items() if count < total]
        for slug in partial:
            self._path(slug).unlink()
        if partial and len(partial) == len(self.counts):
            self.folder.rmdir()

    def _path(self, slug: str) -> Path:
        return self.folder / f"{slug}.jsonl"


# ---- files and folders ----------------------------------------------------------------------


def folder_name(id: str) -> str:
    """Return what a study's folder is called: an id may be a path, or what no file system takes."""
    name = quote(id, safe=" ")
    return name.replace(".", "%2E", 1) if name.startswith(".") else name


def check_readable(pixels: UInt8[np.ndarray, "h w"], name: str) -> None:
    """Raise DataError for an image that is too small to be read back."""
    height, width = pixels.shape
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"image {name}: is {width} × {height} pixels; expected at least "
            f"{SMALLEST_SIDE} × {SMALLEST_SIDE}, or it cannot be read back"
        )


def shrink(pixels: UInt8[np.ndarray, "h w"], size: int) -> UInt8[np.ndarray, "_h _w"]:
    """Resize, antialiased, so that the short side is `size`; the aspect is kept and nothing is
    ever enlarged.
    """
    height, width = pixels.shape
    if size == 0 or min(height, width) <= size:
        return pixels
    scale = size / min(height, width)
    new = (max(size, round(width * scale)), max(size, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(new, Image.Resampling.BILINEAR))


def check_free(folder: Path) -> None:
    """Raise UserError unless a folder can be written there: it is new, or empty."""
    if not folder.is_dir():
        if folder.exists():
            raise UserError(f"{folder} is a file; name a folder that does not exist yet")
        return
    if there := sorted(path.name for path in folder.iterdir()):
        others = f" and {len(there) - 1:,} more" if len(there) > 1 else ""
        raise UserError(
            f"{folder} is not empty: it holds {there[0]}{others}. Name a folder that does not "
            "exist yet, or an empty one"
        )
    if folder.samefile(Path.cwd()):
        # it will be replaced, and whoever stands in it would see the old one
        raise UserError(f"{folder} is the folder that you are in; name one below it")
