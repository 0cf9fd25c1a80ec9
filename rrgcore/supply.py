"""Where studies and their annotations come from: data sets and annotators, without torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, final

import numpy as np
from jaxtyping import UInt8

from rrgcore.study import ImageRef, Study

A = TypeVar("A")


class Annotator(ABC):
    """Makes one typed annotation a study; used by recipes, by metrics, and to write sidecars."""

    writes: ClassVar[type]
    reads: ClassVar[tuple[type, ...]] = ()
    """Annotation classes that studies carry already when it is asked."""
    from_report: bool = False
    """Whether the study's report alone decides, so that it can read any text: a generated one too.
    """

    def fit(self, studies: Iterable[Study]) -> None:  # noqa: B027  most learn nothing
        """Learn from the training split, whose studies carry what it reads; before it annotates.

        Provisional: nothing learned is saved. A run that goes on, and one that is evaluated, learns
        it again from the training split, so the same studies must teach it the same.
        """

    @abstractmethod
    def annotate(self, studies: Iterable[Study]) -> Iterator[Any]:
        """Yield an annotation for each study, in order."""

    def fingerprint(self) -> str:
        """Return what its annotations depend on, in few words: name, version, weights, file."""
        return type(self).__name__


class Dataset(ABC):
    """Studies by split, images on demand."""

    caution: ClassVar[str] = ""
    """What must be said beside every number that is measured on it."""

    @abstractmethod
    def studies(self, split: str) -> Sequence[Study]:
        """List the studies of "train", "val" or "test"; cheap, no image is opened."""

    @abstractmethod
    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read one image as 8-bit grey; raises DataError naming the file."""

    def annotation(self, study: Study, kind: type[A]) -> A | None:
        """Return what the data itself knows of a study, or None."""
        return None

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what identifies the data, for the run's record."""
        return {}


class DataChecks(ABC):
    """A dataset of files, which `rrg check` opens all, since any may be wrong.

    Its own constructor raises a DataError with what is wrong with its index; `rest` is the dataset
    without the rows that are wrong, so that `rrg data check` can look at the others.
    """

    @abstractmethod
    def check_data(self, *, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Return a sentence for each thing that would corrupt a result: what
        `rrgcore.data_check.check_data` finds, and what only the dataset knows of.

        `progress` is told how many studies of how many are done.
        """


class KeepsRawReports(ABC):
    """A dataset that cleans its reports, and can still tell how they stand in its files."""

    cleaning: str
    """The rule of `rrgcore.cleaning`."""

    @abstractmethod
    def raw_report(self, study: Study) -> str | None:
        """Return a study's report before it was cleaned."""


@final
@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A file of annotations beside the data."""

    slug: str
    path: str
    studies: Collection[str]
    """Whom it has a line about; nobody where it cannot be read."""
    problem: str | None = None
    """Why it cannot be read."""


class HasAnnotationFiles(ABC):
    """A dataset with annotations in files beside it."""

    @abstractmethod
    def annotation_files(self) -> Iterator[AnnotationFile]:
        """Read each file, and say whom it is about."""
