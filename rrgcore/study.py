"""One examination, before any tensor; importing this imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast, final

from rrgcore.chest import View

A = TypeVar("A")


@final
@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one image is; only the dataset that made it can open it."""

    where: str


@final
@dataclass(frozen=True, slots=True)
class Study:
    """One examination, before any tensor."""

    id: str
    images: tuple[ImageRef, ...]
    views: tuple[View, ...]
    report: str | None = None
    """None when there is none yet (prediction)."""
    annotations: Mapping[type, Any] = field(default_factory=dict)
    subject: str | None = None
    """Whose it is, where the data tells: no patient may be in two splits."""
    mirrored: bool = False
    """Whether its texts have left and right exchanged, its images but for laterals being flipped.

    Training alone may make it so. What is on one side of every patient (the apex of the heart) is
    on the other one of such an image, and priors about places must be turned over.
    """
    examination: str | None = None
    """What it is one image of, where the data makes a study of each image: those of one
    examination share it (`study_id` in R2Gen's file of MIMIC-CXR).
    """

    def __getitem__(self, kind: type[A]) -> A:
        """Return the annotation of a class: `study[RadGraph]` is a RadGraph."""
        return cast(A, self.annotations[kind])

    def annotated(self, annotations: Mapping[type, Any]) -> "Study":
        """Return the same study with more annotations."""
        return replace(self, annotations={**self.annotations, **annotations})
