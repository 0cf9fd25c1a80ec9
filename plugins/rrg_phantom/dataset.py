"""The embedded default as a dataset: studies drawn on demand, alike for a seed on every machine."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, cast, final

import numpy as np
from jaxtyping import UInt8

from rrgcore.api import Box, Boxes, Dataset, FindingBoxes, ImageRef, Labels, RadGraph, Study
from rrgcore.chest import View
from rrgcore.data import study_rng

from .case import Finding
from .grammar import Report, write_report
from .landmarks import finding_boxes, landmark_boxes
from .lateral import render_lateral
from .patient import Patient, sample_patient
from .render import render_frontal
from .sample import sample_findings

MOST: Final = 1_000_000
"""Studies of a split: each has its report written before any is used."""


@final
class PhantomDataset(Dataset):
    """Drawings of chest radiographs, reports of them, and annotations that are exact.

    Picture, report and annotations are made of one case. `normal` is the share of studies without a
    finding, `lateral` adds a second view, and `independent` draws every observation on its own
    (what one finding says of another is then nothing). Studies are drawn at `image_size` pixels;
    the same study at two sizes is the same patient.
    """

    caution: ClassVar[str] = (
        "These are phantoms, drawn by a program: "
        "no number here can be compared with a published one."
    )
    of_nobody: ClassVar[bool] = True
    terms: ClassVar[str] = (
        "drawn by rrg itself, of nobody: Apache-2.0, as rrg; no agreement is needed"
    )

    def __init__(
        self,
        *,
        image_size: int,
        train: int = 1500,
        val: int = 100,
        test: int = 200,
        seed: int = 0,
        normal: float = 0.12,
        lateral: bool = False,
        independent: bool = False,
    ) -> None:
        if not 0 <= normal <= 1:
            raise ValueError(f"`normal` is {normal}; expected a share between 0 and 1")
        self.image_size = image_size
        self.sizes = {"train": train, "val": val, "test": test}
        for split, count in self.sizes.items():
            if count < 0:
                raise ValueError(f"`{split}` is {count}; expected a number of studies, at least 0")
            if count > MOST:
                raise ValueError(f"`{split}` is {count}; expected at most {MOST:,} studies")
        self.seed = seed
        self.normal = normal
        self.lateral = lateral
        self.independent = independent
        self._studies: dict[str, list[Study]] = {}

    def studies(self, split: str) -> Sequence[Study]:
        """List the studies of a split; none for a split that phantoms do not have."""
        if split not in self._studies:
            ids = [f"phantom-{split}-{i:05d}" for i in range(self.sizes.get(split, 0))]
            self._studies[split] = [self._study(id) for id in ids]
        return self._studies[split]

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Draw an image."""
        id, _, view = image.where.partition("/")
        patient, findings = self.patient(id), self.findings(id)
        render = render_lateral if view == "lateral" else render_frontal
        return render(patient, findings, self.image_size, self._rng(id, view))

    def annotation(self, study: Study, kind: type[Any]) -> Any:
        """Return exact RadGraph entities, labels, boxes of the 34 landmarks, or of the findings."""
        make = cast(Mapping[type, Callable[[Study], Any]], self._annotators).get(kind)
        return make(study) if make else None

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the phantoms are drawn from."""
        return {
            "seed": self.seed,
            "studies": self.sizes,
            "normal": self.normal,
            "lateral": self.lateral,
            "independent": self.independent,
        }

    def findings(self, id: str) -> tuple[Finding, ...]:
        """Return what a phantom patient has."""
        rng = self._rng(id, "findings")
        return sample_findings(rng, normal=self.normal, independent=self.independent)

    def patient(self, id: str) -> Patient:
        """Return a phantom patient's anatomy."""
        return sample_patient(self._rng(id, "patient"))

    def report(self, id: str) -> Report:
        """Write a phantom's report."""
        return write_report(self.findings(id), self._rng(id, "report"))

    def finding_boxes(self, id: str) -> Mapping[str, tuple[Box, ...]]:
        """Return where each observation changes the frontal image."""
        findings = self.findings(id)
        return {
            finding.observation: tuple(Box(finding.observation, *box) for box in boxes)
            for finding, boxes in zip(
                findings, finding_boxes(self.patient(id), findings), strict=True
            )
        }

    @cached_property
    def _annotators(self) -> Mapping[type, Callable[[Study], Any]]:
        return {
            RadGraph: self._radgraph,
            Labels: self._labels,
            Boxes: self._boxes,
            FindingBoxes: self._finding_boxes,
        }

    def _study(self, id: str) -> Study:
        views: tuple[View, ...] = ("frontal", "lateral") if self.lateral else ("frontal",)
        images = tuple(ImageRef(f"{id}/{view}") for view in views)
        return Study(id, images, views, self.report(id).text)

    def _radgraph(self, study: Study) -> RadGraph:
        return RadGraph.from_json(self.report(study.id).radgraph)

    def _labels(self, study: Study) -> Labels:
        labels = self.report(study.id).labels
        values = {name: int(value) for name, value in labels.items() if value is not None}
        return Labels(values, dict.fromkeys(values, "phantom"))

    def _boxes(self, study: Study) -> Boxes:
        boxes = landmark_boxes(self.patient(study.id), self.findings(study.id))
        frontal = tuple(Box(name, *box) for name, box in boxes.items())
        # landmarks are those of the frontal view
        return Boxes(tuple(frontal if view == "frontal" else () for view in study.views))

    def _finding_boxes(self, study: Study) -> FindingBoxes:
        found = self.finding_boxes(study.id)
        frontal = tuple(box for boxes in found.values() for box in boxes)
        return FindingBoxes(tuple(frontal if view == "frontal" else () for view in study.views))

    def _rng(self, id: str, slot: str) -> np.random.Generator:
        return study_rng(self.seed, 0, id, slot)
