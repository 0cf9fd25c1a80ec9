"""R2Gen's layout: one JSON file of reports, one folder of images (Chen et al., 2020)."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np
from jaxtyping import UInt8

from rrg_data.problems import Problems
from rrg_data.r2gen_file import SPLITS, Row, load_text, parse_rows, shown, wrong_row, wrong_splits
from rrg_data.sidecars import Sidecars
from rrg_data.views import view_of
from rrgcore.api import DataChecks, DataError, Dataset, ImageRef, Study, read_image
from rrgcore.cleaning import cleaner, is_empty

A = TypeVar("A")


@final
class R2GenDataset(Dataset, DataChecks):
    """Studies of `annotation.json` with the images of `images/`.

    The file is a mapping of split to rows, or one flat list of rows with a `split` each. A row has
    `id`, `report`, `image_path` (files below the images folder) and, if known, `views` (one word
    an image: PA, AP, lateral; else the sidecar `annotations/views.jsonl`, else unknown) and
    `subject_id`. Other keys are left alone. In R2Gen's MIMIC-CXR file a row is an image: frontal
    and lateral of one study have ids of their own, share `study_id` and the report, and are two
    studies here, as they are in the work that builds on it.

    Whatever is wrong with the rows is raised together as one DataError. No image is opened for
    that; `check_data` opens them all. Other annotations of a study are read from sidecars
    (`rrg_data.sidecars`).
    """

    def __init__(
        self,
        *,
        root: str,
        annotation: str = "annotation.json",
        images: str = "images",
        cleaning: str = "r2gen-iu",
        max_images: int | None = None,
    ) -> None:
        if max_images is not None and max_images < 1:
            raise ValueError(f"max_images is {max_images}; expected a positive number, or none")
        self.root = Path(root).expanduser()
        self.images = self.root / images
        self.sidecars = Sidecars(self.root / "annotations")
        self.cleaning = cleaning
        self.max_images = max_images
        self._clean = cleaner(cleaning)
        text = load_text(self.root, annotation)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._studies: dict[str, list[Study]] = {split: [] for split in SPLITS}
        self._subjects: dict[str, str] = {}
        """Study to patient, where the rows tell."""
        path = self.root / annotation
        self._fill(parse_rows(text, path), path)

    def studies(self, split: str) -> Sequence[Study]:
        """List a split's studies in the file's order; a split that the file lacks is empty."""
        if split not in SPLITS:
            raise DataError(f"{self.root}: no split called '{split}'; expected train, val or test")
        return self._studies[split]

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read an image below the images folder."""
        return read_image(self.images / image.where)

    def annotation(self, study: Study, kind: type[A]) -> A | None:
        """Read a sidecar."""
        return self.sidecars.annotation(study, kind)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the files' hashes, what was made of it, and how much there is."""
        return {
            "dataset": "r2gen",
            "annotation_sha256": self._digest,
            "sidecars_sha256": self.sidecars.digests(),
            "cleaning": self.cleaning,
            "max_images": self.max_images,
            "studies": {split: len(studies) for split, studies in self._studies.items()},
            "images": sum(len(study.images) for _, study in self._all()),
        }

    def check_data(self, *, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Open every image and sidecar, and look for patients and images that two splits share."""
        everything = list(self._all())
        problems = list(self.sidecars.problems({study.id for _, study in everything}))
        problems += self._leaks()
        for done, (split, study) in enumerate(everything, start=1):
            for image in study.images:
                try:
                    self.open(image)
                except DataError as error:
                    problems.append(f"study '{study.id}' ({split}): {error}")
            if progress is not None:
                progress(done, len(everything))
        return problems

    def _all(self) -> Iterator[tuple[str, Study]]:
        for split, studies in self._studies.items():
            for study in studies:
                yield split, study

    def _leaks(self) -> Iterator[str]:
        """Say once for each patient and image what it is found in."""
        first: dict[tuple[str, str], tuple[str, str]] = {}
        told = set()
        for split, study in self._all():
            held = [("image", image.where) for image in study.images]
            if study.id in self._subjects:
                held.append(("patient", self._subjects[study.id]))
            for thing in held:
                other, where = first.setdefault(thing, (study.id, split))
                if where != split and thing not in told:
                    told.add(thing)
                    yield (
                        f"{thing[0]} '{thing[1]}' is in {where} (study '{other}') and in {split} "
                        f"(study '{study.id}')"
                    )

    def _fill(self, rows: list[Row], path: Path) -> None:
        problems = Problems()
        images = self.images if self.images.is_dir() else None
        if images is None:
            problems.add(f"the folder of images, {self.images}, does not exist")
        for sentence in wrong_splits(rows):
            problems.add(sentence)
        first: dict[str, Row] = {}
        for row in map(self._with_views, rows):
            if row.split not in SPLITS:
                continue
            wrong = list(wrong_row(row, images))
            if not wrong:
                study = self._study(row.value)
                wrong += self._misplaced(study, row, first.setdefault(study.id, row))
                self._studies[row.split].append(study)
                if "subject_id" in row.value:
                    self._subjects[study.id] = str(row.value["subject_id"])
            for sentence in wrong:
                problems.add(f"{row}: {sentence}")
        problems.check_none(str(path))

    def _with_views(self, row: Row) -> Row:
        """Add what the sidecar knows of a study's views and its row does not say."""
        known = self.sidecars.values("views")
        if not known or not isinstance(row.value, dict) or row.value.get("id") not in known:
            return row
        return Row(row.split, row.number, {"views": known[row.value["id"]], **row.value})

    def _study(self, row: Mapping[str, Any]) -> Study:
        paths = row["image_path"][: self.max_images]
        names = row.get("views", [None] * len(paths))[: self.max_images]
        return Study(
            id=row["id"],
            images=tuple(ImageRef(os.path.normpath(path)) for path in paths),
            views=tuple(view_of(name) for name in names),
            report=self._clean(row["report"]),
        )

    def _misplaced(self, study: Study, row: Row, first: Row) -> Iterator[str]:
        if first is not row:
            leak = "" if first.split == row.split else ": a test would be on what was learned"
            yield f"is in {first.split}, row {first.number}, already{leak}"
        if is_empty(study.report or ""):
            report = shown(row.value["report"])
            yield f"nothing is left of its report {report} after cleaning by {self.cleaning}"
