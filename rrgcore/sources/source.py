"""Archives in the form in which they are downloaded, read one study after another."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import UInt8

from rrgcore.errors import DataError
from rrgcore.settings import Split
from rrgcore.study import ImageRef, Study


@final
class Ledger:
    """What was left out while a data set was built, and why: nothing is dropped in silence.

    Three things are told apart. What the selection leaves out (no findings, one image where two are
    wanted) is counted by reason. What is missing (an image that a report names and that is not
    there) is counted by what it is. What is bad (a malformed file, a damaged image, a path that
    climbs out of the archive) stops the build with its name, unless `skip_bad`; then it is counted
    too.
    """

    def __init__(self, *, skip_bad: bool = False) -> None:
        self.skip_bad = skip_bad
        self.found: Counter[str] = Counter()
        """How much the archive holds, kept or not, by what it is: reports, images."""
        self.left_out: dict[str, list[str]] = {}
        """Reason to the names of what was left out for it, in order."""
        self.missing: dict[str, list[str]] = {}
        """What is missing to the names of what lacks it, in order."""
        self.bad: list[tuple[str, str]] = []
        """Name and what is wrong with it, in order, but for what is wrong with the archive as a
        whole, which explains the rest and comes first. A name may be there twice.
        """
        self._wholes = 0

    def leave_out(self, name: str, reason: str) -> None:
        """Count a study, or an image, that the selection does not want."""
        self.left_out.setdefault(reason, []).append(name)

    def miss(self, name: str, what: str) -> None:
        """Count a study that lacks something, or what is lacking; whether the study is kept
        without it is the source's to say.
        """
        self.missing.setdefault(what, []).append(name)

    def refuse(self, name: str, problem: str, *, whole: bool = False) -> None:
        """Raise DataError about something bad, or count it where bad things are to be skipped.

        `whole` is for damage to the archive itself, or to a table of it.
        """
        if not self.skip_bad:
            raise DataError(
                f"{name}: {problem}\n--skip-bad leaves such things out, and counts them"
            )
        self.bad.insert(self._wholes if whole else len(self.bad), (name, problem))
        self._wholes += whole


class Source(ABC):
    """An archive as it is downloaded: read as a stream, so that its size does not matter.

    Its constructor takes `root` and its own options, and raises DataError, with the layout that was
    expected, where the archive's own files are not there.
    """

    layout: ClassVar[str]
    """What belongs below `root`, for errors and help."""
    archive: ClassVar[str] = ""
    """What the archive is called, and where it is to be had."""
    cleaning: ClassVar[str] = "lossless"
    """The rule of `rrgcore.cleaning` by which its reports are read as published work reads them."""

    @abstractmethod
    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        """Yield the studies of the selection and their splits in the archive's order, no image
        opened; tell the ledger what is left out.

        A report is as it stands in the archive, uncleaned. A study carries the annotations that
        the archive itself has (labels).
        """

    @abstractmethod
    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read one image as 8-bit grey, upright; raises DataError naming the file."""

    def total(self) -> int | None:
        """Return how many studies will be read, where that is known beforehand."""
        return None

    def folder(self) -> Path | None:
        """Return the folder below which each `ImageRef.where` is an image file that other programs
        read too; None where images are something else (DICOM, members of an archive).
        """
        return None

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what tells this archive from another, such as hashes of its tables, cheaply: no
        image is read. A build that was interrupted goes on only where it is the same.
        """
        return {}
