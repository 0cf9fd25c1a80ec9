"""Anybody's table of reports: CSV, TSV or JSONL, and a folder of images."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np
from jaxtyping import UInt8

from rrg_data.problems import Problems
from rrg_data.r2gen_file import Row
from rrg_data.rows import RowStudies, raw_reports
from rrg_data.sidecars import Sidecars
from rrg_data.splits import split_by_hash
from rrg_data.table_file import find_table
from rrgcore.data_check import check_data
from rrgcore.images import read_image
from rrgcore.provenance import Provenance
from rrgcore.study import ImageRef, Study
from rrgcore.supply import AnnotationFile, DataChecks, Dataset, HasAnnotationFiles, KeepsRawReports
from rrgcore.tables import Record, Table, find_columns, read_table, view_of_column

A = TypeVar("A")

SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What tables call the splits, in lower case."""


@final
class TableDataset(Dataset, DataChecks, HasAnnotationFiles, KeepsRawReports):
    """Studies of a table with named columns, a row each.

    `columns` says which column is what: `id`, `report` and `image`, and if known `split`, `view`
    and `subject` (the patient). Those that it does not name are looked for by their usual names;
    null says that there is none. Several columns may make the report (findings and impression,
    joined by a space), or hold an image each, empty where a study has fewer: image_1 and image_2,
    or frontal, lateral, pa and ap, which say the view. With `separator` one cell holds several
    images, and views. In JSONL a cell may be a list.

    Images are below `images`, a folder in `root`; unless it is said, that is `images` where it is
    there and else `root` itself. Where there is no column of splits, patients, or without a column
    of these, studies, are dealt out by a hash of their ids in the proportions of `shares` (train,
    val, test): the same every time, and no patient in two.

    Whatever is wrong with the rows is raised together as one DataError, whose `rest` is the data
    set of the other rows. Other annotations are read from sidecars (`rrg_data.sidecars`).
    """

    places = ("root",)

    def __init__(
        self,
        *,
        root: str,
        file: str | None = None,
        columns: Mapping[str, str | list[str] | None] = {},
        separator: str | None = None,
        images: str | None = None,
        shares: tuple[int, int, int] = (7, 1, 2),
        cleaning: str = "lossless",
        max_images: int | None = None,
    ) -> None:
        if min(shares) < 0 or sum(shares) == 0:
            raise ValueError(f"shares are {list(shares)}; expected parts, such as 7, 1 and 2")
        self.root = Path(root).expanduser()
        self.path = find_table(self.root, file)
        self.images = _image_folder(self.root, images)
        self.sidecars = Sidecars(self.root / "annotations", max_images=max_images)
        self.cleaning = cleaning
        self._separator = separator
        self._shares = shares
        data = self.path.read_bytes()
        self._digest = hashlib.sha256(data).hexdigest()[:16]
        table = read_table(self.path, data)
        self._columns = find_columns(table, columns or {}, self.path)
        self._rows = RowStudies(
            images=self.images, sidecars=self.sidecars, cleaning=cleaning, max_images=max_images
        )
        problems = Problems()
        for sentence in table.problems:
            problems.add(sentence)
        self._rows.fill(list(self._made(table)), problems)
        problems.check_none(str(self.path), rest=self)

    def studies(self, split: str) -> Sequence[Study]:
        """List a split's studies in the file's order."""
        return self._rows.of(split)

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read an image below the images folder."""
        return read_image(self.file_of(image))

    def file_of(self, image: ImageRef) -> Path:
        """Return where an image is."""
        return self.images / image.where

    def annotation(self, study: Study, kind: type[A]) -> A | None:
        """Read a sidecar."""
        return self.sidecars.annotation(study, kind)

    def knows_from_images(self, kind: type) -> bool:
        """Return what `rrg annotate` has written beside the sidecar."""
        return self.sidecars.from_images(kind)

    def learned_from(self, kind: type) -> Provenance | None:
        """Return what `rrg annotate` has written beside the sidecar."""
        return self.sidecars.learned_from(kind)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the files' hashes, what was made of it, and how much there is."""
        return {
            "dataset": "table",
            "file_sha256": self._digest,
            "sidecars_sha256": self.sidecars.digests(),
            "columns": self._columns,
            "separator": self._separator,
            "shares": None if self._columns["split"] else list(self._shares),
            "cleaning": self.cleaning,
            "max_images": self._rows.max_images,
            **self._rows.counts(),
        }

    def check_data(self, *, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Open every image and sidecar, and look for what two splits share."""
        return check_data(self, splits=None, progress=progress).errors

    def annotation_files(self) -> Iterator[AnnotationFile]:
        """Read every sidecar."""
        return self.sidecars.files()

    def annotation_folder(self) -> Path:
        """Return the folder of the sidecars."""
        return self.sidecars.folder

    def raw_report(self, study: Study) -> str | None:
        """Return a report as the file has it, which is read again when first asked."""
        return self._raw.get(study.id)

    @cached_property
    def _raw(self) -> Mapping[str, str]:
        return raw_reports(self._made(read_table(self.path, self.path.read_bytes())))

    # ---- rows -------------------------------------------------------------------------------

    def _made(self, table: Table) -> Iterator[Row]:
        """Make a row of R2Gen's form of each record."""
        for record in table.records:
            id, subject = self._cell(record, "id"), self._cell(record, "subject")
            paths, views = self._images_of(record)
            value: dict[str, Any] = {
                "id": id,
                "report": " ".join(self._list(record, "report", None)),
                "image_path": paths,
            }
            if views is not None:
                value["views"] = views
            if subject:
                value["subject_id"] = subject
            yield Row(self._split(record, subject or id), record.line, value, unit="line")

    def _split(self, record: Record, patient: str) -> str:
        if not self._columns["split"]:
            return split_by_hash(patient, self._shares)
        said = self._cell(record, "split")
        return SPLITS.get(said.lower(), said)

    def _images_of(self, record: Record) -> tuple[list[str], list[str | None] | None]:
        """Return where the images are, and what is said of their views, if anything."""
        paths = self._list(record, "image", self._separator, keep_empty=True)
        views = self._list(record, "view", self._separator, keep_empty=True)
        if not self._columns["view"] and self._separator is None:
            views = [view_of_column(column) or "" for column in self._columns["image"]]
        if len(views) == len(paths):
            views = [view for path, view in zip(paths, views, strict=True) if path]
        found = [self._below(path) for path in paths if path]
        return found, [view or None for view in views] if any(views) else None

    def _below(self, path: str) -> str:
        """Return a path as it is seen from the folder of images, if it is below it."""
        if os.path.isabs(path):
            folder = os.path.abspath(self.images)
            inside = os.path.relpath(path, folder)
            return path if inside.startswith("..") else inside
        return path

    def _cell(self, record: Record, meaning: str) -> str:
        """Return what the one column says, or ""."""
        return next(iter(self._list(record, meaning, None)), "")

    def _list(
        self, record: Record, meaning: str, separator: str | None, *, keep_empty: bool = False
    ) -> list[str]:
        """Return what all columns of a meaning say, cut at the separator."""
        found: list[str] = []
        for column in self._columns[meaning]:
            value = record.values.get(column)
            cells = value if isinstance(value, list) else [value]
            texts = ["" if cell is None else str(cell) for cell in cells]
            if separator is not None:
                texts = [part for text in texts for part in text.split(separator)]
            found += [text.strip() for text in texts]
        return found if keep_empty else [text for text in found if text]


def _image_folder(root: Path, images: str | None) -> Path:
    if images is not None:
        return root / images
    return root / "images" if (root / "images").is_dir() else root
