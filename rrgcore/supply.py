"""Where studies and their annotations come from: data sets and annotators, without torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, final

import numpy as np
from jaxtyping import UInt8

from rrgcore.cleaning import is_empty
from rrgcore.images.reading import resize
from rrgcore.provenance import Artefact, Provenance
from rrgcore.study import ImageRef, Study

A = TypeVar("A")
T = TypeVar("T")


def untracked(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Pass items through where nobody watches."""
    yield from items


def uncached(image: ImageRef, size: int) -> None:
    """Return nothing: images are opened anew each time."""


Track = Callable[[Iterable[Any], str, int], Iterator[Any]]


@final
@dataclass(frozen=True, slots=True)
class Workbench:
    """What an annotator may use beside the studies."""

    open: Callable[[ImageRef], UInt8[np.ndarray, "h w"]]
    """Read an image as 8-bit grey, as the dataset does; raises DataError."""
    seed: int = 0
    """The run's: all chance comes from a generator made of it."""
    device: str = "cpu"
    """Where torch is to work."""
    track: Track = untracked
    """Pass items through, showing how far they are: items, title, how many."""
    cached: Callable[[ImageRef, int], UInt8[np.ndarray, "h w"] | None] = uncached
    """Return an image that somebody has resized to a square of that size, or None."""

    def look(self, image: ImageRef, size: int) -> UInt8[np.ndarray, "h w"]:
        """Return an image resized to a square; raises DataError."""
        found = self.cached(image, size)
        return resize(self.open(image), size) if found is None else found


class ReadsGiven(ABC):  # noqa: B024  each of its methods is an offer
    """A component that may be given files or folders by its options.

    Its constructor keeps plain values and opens nothing, so that a run whose files were kept is
    loaded where they are not. It may read them when it first needs them; `read_given` asks for that
    early, where what is wrong can still be said with the option's address.
    """

    keeps_studies: ClassVar[bool] = False
    """Whether what a run keeps of it, by `keep_given` or `save`, holds studies one by one: their
    reports, or labels by id. Such a run is exported only where training data may go along.
    """

    def read_given(self) -> None:  # noqa: B027  most are given nothing
        """Read what it was given; raises UserError or ValueError. Called when a run begins or is
        checked.
        """

    def keep_given(self, folder: Path) -> None:  # noqa: B027  most are given nothing
        """Write what a run must keep of it into a folder that is there: safetensors, JSON, text,
        never pickle; nothing where nothing was given, or where `save` keeps it.
        """

    def load_given(self, folder: Path) -> None:  # noqa: B027  most are given nothing
        """Read what `keep_given` wrote, now or when it is needed, in place of what was given."""


class Annotator(ReadsGiven):
    """Makes one typed annotation a study; used by recipes, by metrics, and to write sidecars.

    In training it is given whole studies. Where reports are to be predicted, and in `predict`, it
    is given studies without report and without any annotation but those it reads, made the same
    way: what it says then is what can be known of an image. Nobody else need look for the leak.
    """

    writes: ClassVar[type]
    reads: ClassVar[tuple[type, ...]] = ()
    """Annotation classes that studies carry already when it is asked."""
    from_report: bool = False
    """Whether it tells what the study's own report says, so that it is no use where that is to be
    predicted: it reads it, or a file of what somebody else read in it.
    """
    by_id: bool = False
    """Whether it says the same of a study whatever report it is shown: a table by id."""

    reaches: str = ""
    """What it does outside of rrg when it is asked, if anything: "sends reports to …", "starts …".
    Of a run that was loaded, and may be a stranger's, it does so only for who says `trust`.
    """
    one_by_one: ClassVar[bool] = False
    """Whether it answers for each study by itself, at a cost that is worth writing down at once."""
    kept: ClassVar[bool] = True
    """Whether a run keeps its annotations in a file; not those that cost nothing to make again."""

    def equip(self, bench: Workbench) -> None:
        """Take what is needed to look at images. Called before it learns, loads or annotates."""

    def fit(self, studies: Sequence[Study]) -> None:
        """Learn from the training split, whose studies carry what it reads; before it annotates.

        Who overrides it overrides `save` and `load` too.
        """

    def save(self, folder: Path) -> None:
        """Write what was learned into a folder that is there: safetensors, JSON, never pickle."""

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, in place of `fit`; raises DataError."""

    @abstractmethod
    def annotate(self, studies: Iterable[Study]) -> Iterator[Any]:
        """Yield an annotation for each study, in order."""

    def fingerprint(self) -> str:
        """Return what its annotations depend on, in few words: name, version, weights, file."""
        return type(self).__name__

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Return what is worth a table about what it learned: row to column to number."""
        return {}


@final
@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of text that names an observation, and what is said of it.

    The observation "No Finding" stands for another abnormality, none of the other 13 (scoliosis).
    """

    observation: str
    value: int
    """1 affirmed, 0 denied, -1 left open."""
    start: int
    end: int
    """Where it stands, as a slice of the text that was given."""
    text: str


class NamesFindings(ABC):
    """An annotator that says which words of a text name an observation; it has read no data."""

    @abstractmethod
    def mentions(self, text: str) -> Iterator[Mention]:
        """Yield every mention of a text."""


def learns(annotator: Annotator) -> bool:
    """Whether an annotator learns from the training split."""
    return type(annotator).fit is not Annotator.fit


class HoldsArtefacts(ABC):
    """A component that may be given something learned elsewhere.

    A run holds what each was learned from against the studies that it is to predict, and refuses
    one that saw them, or that does not say and is not vouched for.
    """

    @abstractmethod
    def artefacts(self) -> Sequence[Artefact]:
        """Return what it was given; nothing where it learns in the run."""


def artefacts_of(*components: object) -> list[Artefact]:
    """List what these components were given that was learned elsewhere."""
    holders = [each for each in components if isinstance(each, HoldsArtefacts)]
    return [artefact for holder in holders for artefact in holder.artefacts()]


class Dataset(ABC):
    """Studies by split, images on demand."""

    places: ClassVar[tuple[str, ...]] = ()
    """Options that say where the data are, and not what: a run goes on where they have been moved,
    and `fingerprint` tells whether they are the same.
    """
    caution: ClassVar[str] = ""
    """What must be said beside every number that is measured on it."""
    of_nobody: ClassVar[bool] = False
    """Whether its studies are of no patient, so that anybody may be shown them."""
    terms: ClassVar[str] = ""
    """Licence and terms of its studies, for the cards of runs; nothing where that depends on what
    it reads.
    """

    @abstractmethod
    def studies(self, split: str) -> Sequence[Study]:
        """List the studies of "train", "val" or "test"; cheap, no image is opened."""

    @abstractmethod
    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read one image as 8-bit grey; raises DataError naming the file."""

    def file_of(self, image: ImageRef) -> Path | None:
        """Return the image file of which `open` gives what `rrgcore.images.read_image` does, not a
        pixel else; None where an image is anything else. What is read so is kept for other runs.
        """
        return None

    def annotation(self, study: Study, kind: type[A]) -> A | None:
        """Return what the data itself knows of a study, or None."""
        return None

    def knows_from_images(self, kind: type) -> bool:
        """Whether its annotations of a class were made of images alone, and so may be used where
        reports are to be predicted; what was read in the reports may not.
        """
        return False

    def learned_from(self, kind: type) -> Provenance | None:
        """Return the studies that whoever made these annotations of images had learned from; None
        where that is nothing. A run refuses annotations by one that saw what is to be predicted.
        """
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


def raw_report(dataset: Dataset, study: Study) -> str:
    """Return what a study is scored against: its report as it stands in the data, where the dataset
    tells; nothing where it has none, or one of which cleaning leaves no word.
    """
    report = study.report or ""
    if is_empty(report) or not isinstance(dataset, KeepsRawReports):
        return report
    raw = dataset.raw_report(study)
    return report if raw is None else raw


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

    def annotation_folder(self) -> Path | None:
        """Return where `rrg annotate` is to write such files; None where it must be told."""
        return None
