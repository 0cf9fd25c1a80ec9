"""Annotations of a data set: how many studies have them, and whether they fit."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, final

from rrgcore.annotations import KINDS, Boxes, Labels, RadGraph
from rrgcore.chest import OBSERVATIONS
from rrgcore.data_check.findings import Findings
from rrgcore.data_check.listing import Listing
from rrgcore.errors import DataError, did_you_mean
from rrgcore.graph_words import graph_words
from rrgcore.study import Study
from rrgcore.supply import AnnotationFile, Dataset, HasAnnotationFiles

VIEWS_FILE: Final = "views"
"""A file beside the data that is no annotation of a class: rows read it."""


@final
class AnnotationCheck:
    """Asks for the annotations of one study after another."""

    def __init__(self, dataset: Dataset, studies: Listing, findings: Findings) -> None:
        self.of: dict[str, Counter[str]] = {}
        """Slug to split to how many studies have it."""
        self.files: dict[str, Any] = {}
        self._dataset = dataset
        self._findings = findings
        self._broken: set[str] = set()
        self._unknown: dict[str, _Unknown] = {}
        if isinstance(dataset, HasAnnotationFiles):
            ids = {study.id for _, study in studies}
            for file in dataset.annotation_files():
                self._look_at_file(file, ids)

    def read(self, split: str, study: Study) -> None:
        """Take a study's annotations in."""
        place = f"study '{study.id}' ({split})"
        for kind in dict.fromkeys((*KINDS, *study.annotations)):
            slug = getattr(kind, "slug", kind.__name__)
            if slug in self._broken:
                continue
            try:
                found = study.annotations.get(kind) or self._dataset.annotation(study, kind)
            except DataError as error:
                self._findings.add("annotations", str(error))
                continue
            if found is None:
                continue
            self.of.setdefault(slug, Counter())[split] += 1
            if isinstance(found, RadGraph):
                self._look_at_words(study, found)
            elif isinstance(found, Labels):
                self._look_at_names(study, found)
            elif isinstance(found, Boxes):
                self._look_at_boxes(place, study, found)

    def finish(self) -> None:
        """Say of each name that nobody knows how often it is there."""
        for name, unknown in self._unknown.items():
            others = f" and {unknown.studies - 1:,} more" if unknown.studies > 1 else ""
            self._findings.add(
                "label_names",
                f"'{name}' (study '{unknown.first}'{others}) is none of the 14 observations, so "
                f"that nothing reads it.{did_you_mean(name, OBSERVATIONS)}",
            )

    def to_json(self) -> dict[str, Any]:
        """Return how many studies of each split have an annotation, and the files."""
        return {
            "studies": {slug: dict(counts) for slug, counts in self.of.items()},
            "files": self.files,
        }

    def _look_at_file(self, file: AnnotationFile, ids: set[str]) -> None:
        if file.problem is not None:
            self._findings.add("annotation_files", file.problem)
            self._broken.add(file.slug)
            return
        strange = [study for study in file.studies if study not in ids]
        self.files[file.slug] = {"lines": len(file.studies), "of_other_studies": len(strange)}
        if strange and len(strange) == len(file.studies):
            self._findings.add(
                "annotation_files",
                f"{file.path}: none of its {len(strange):,} studies is in the data "
                f"('{strange[0]}')",
            )
        elif strange:
            are = "line is" if len(strange) == 1 else "lines are"
            self._findings.add(
                "other_studies",
                f"{file.path}: {len(strange):,} of {len(file.studies):,} {are} of studies that "
                f"the data does not hold ('{strange[0]}')",
            )
        known = [*(kind.slug for kind in KINDS), VIEWS_FILE]
        if file.slug not in known and (near := did_you_mean(file.slug, known)):
            self._findings.add("unread_files", f"{file.path}: nothing is called so.{near}")

    def _look_at_words(self, study: Study, graph: RadGraph) -> None:
        try:
            graph_words(graph, study.report or "", study=study.id)
        except DataError as error:
            self._findings.add("radgraph_words", str(error))

    def _look_at_names(self, study: Study, labels: Labels) -> None:
        for name in labels.values:
            if name not in OBSERVATIONS:
                self._unknown.setdefault(name, _Unknown(study.id)).studies += 1

    def _look_at_boxes(self, place: str, study: Study, boxes: Boxes) -> None:
        if len(boxes.images) != len(study.images):
            given = f"boxes of {len(boxes.images)} images, and {len(study.images)} images"
            self._findings.add("boxes", f"{place}: {given}")
        for box in (box for image in boxes.images for box in image):
            corners = (box.x1, box.y1, box.x2, box.y2)
            if not (0 <= box.x1 < box.x2 <= 1 and 0 <= box.y1 < box.y2 <= 1):
                self._findings.add(
                    "boxes",
                    f"{place}: '{box.name}' is {', '.join(f'{c:g}' for c in corners)}; expected "
                    "x1 < x2 and y1 < y2, as fractions of the image",
                )
                return


@final
@dataclass
class _Unknown:
    """A name of a label that nobody knows."""

    first: str
    studies: int = 0
