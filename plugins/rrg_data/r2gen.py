"""R2Gen's layout: one JSON file of reports, one folder of images (Chen et al., 2020)."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np
from jaxtyping import UInt8

from rrg_data.problems import Problems
from rrg_data.r2gen_file import load_text, parse_rows
from rrg_data.rows import RowStudies, raw_reports
from rrg_data.sidecars import Sidecars
from rrgcore.data_check import check_data
from rrgcore.images import read_image
from rrgcore.provenance import Provenance
from rrgcore.study import ImageRef, Study
from rrgcore.supply import AnnotationFile, DataChecks, Dataset, HasAnnotationFiles, KeepsRawReports

A = TypeVar("A")


@final
class R2GenDataset(Dataset, DataChecks, HasAnnotationFiles, KeepsRawReports):
    """Studies of `annotation.json` with the images of `images/`.

    The file is a mapping of split to rows, or one flat list of rows with a `split` each. A row has
    `id`, `report`, `image_path` (files below the images folder) and, if known, `views` (one word
    an image: PA, AP, lateral; else the sidecar `annotations/views.jsonl`, else unknown),
    `subject_id` and `study_id`. Other keys are left alone. In R2Gen's MIMIC-CXR file a row is an
    image: frontal and lateral of one study have ids of their own, share `study_id` (here
    `Study.examination`) and the report, and are two studies here, as they are in the work that
    builds on it.

    Whatever is wrong with the rows is raised together as one DataError, whose `rest` is the data
    set of the other rows. No image is opened for that; `check_data` opens them all. Other
    annotations of a study are read from sidecars (`rrg_data.sidecars`).
    """

    places = ("root",)

    def __init__(
        self,
        *,
        root: str,
        annotation: str = "annotation.json",
        images: str = "images",
        cleaning: str = "r2gen-iu",
        max_images: int | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.images = self.root / images
        self.sidecars = Sidecars(self.root / "annotations", max_images=max_images)
        self.cleaning = cleaning
        self._annotation = annotation
        self._rows = RowStudies(
            images=self.images, sidecars=self.sidecars, cleaning=cleaning, max_images=max_images
        )
        text = load_text(self.root, annotation)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = self.root / annotation
        problems = Problems()
        self._rows.fill(parse_rows(text, path), problems)
        problems.check_none(str(path), rest=self)

    def studies(self, split: str) -> Sequence[Study]:
        """List a split's studies in the file's order; a split that the file lacks is empty."""
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
            "dataset": "r2gen",
            "annotation_sha256": self._digest,
            "sidecars_sha256": self.sidecars.digests(),
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
        return raw_reports(parse_rows(load_text(self.root, self._annotation), self.root))
