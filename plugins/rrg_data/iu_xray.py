"""IU X-Ray from Open-i's own files (Demner-Fushman et al., 2016)."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import UInt8

from rrg_data.openi_files import (
    ARCHIVE,
    LAYOUT,
    Form,
    OpeniImages,
    Projections,
    find_reports,
    read_reports,
    report_files,
)
from rrg_data.openi_xml import OpeniReport, parse_report
from rrg_data.splits import split_by_hash
from rrgcore.chest import View, view_of
from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError
from rrgcore.images import read_image
from rrgcore.images.dicom import view_of_dicom
from rrgcore.settings import Split
from rrgcore.sources import Ledger, Source
from rrgcore.study import ImageRef, Study

Selection = Literal["r2gen", "all"]
Text = Literal["findings", "impression", "both"]

IMAGES = 2
"""How many each study of R2Gen has."""
SECTIONS: Mapping[Text, tuple[str, ...]] = {
    "findings": ("FINDINGS",),
    "impression": ("IMPRESSION",),
    "both": ("FINDINGS", "IMPRESSION"),
}
_HEADER = 1 << 16
"""Bytes of a DICOM file in which its view stands."""


@final
class IuXraySource(Source):
    """IU X-Ray, findings and two images a study, as in R2Gen's release; or all of it.

    Which studies R2Gen has (2,069 train, 296 val, 590 test) is a list of ids that comes with rrg.
    Open-i's files name more than two images for one in twenty of them, of which the first two are
    taken: R2Gen's ids are the first image's name without its last number, and its studies have two
    images each. Studies that are not on the list are R2Gen's with `split: random` if they have
    findings and exactly two images. With `select: all` every study with a text and an image is
    taken, and those that are not on the list go to train, val and test by a hash of the patient,
    7 : 1 : 2. There is one study of each patient.

    Open-i does not say which image is which view: "PA and lateral" stands at both, and nothing says
    that their order is that of the words. A view is known from `indiana_projections.csv` where that
    is there (of Kaggle's copy of the images; columns filename and projection), from DICOM files
    that say theirs, and else where the caption names one view alone.
    """

    layout: ClassVar[str] = LAYOUT
    archive: ClassVar[str] = ARCHIVE
    cleaning: ClassVar[str] = "r2gen-iu"

    def __init__(
        self,
        *,
        root: str,
        select: Selection = "r2gen",
        split: Literal["r2gen", "random"] = "r2gen",
        text: Text = "findings",
        images: Form | None = None,
    ) -> None:
        self.select = select
        self.split = split
        self.text: Text = text
        folder = Path(root).expanduser()
        self.reports = find_reports(folder)
        self.images = OpeniImages(folder, images)
        self.projections = Projections(folder)

    # ---- what core asks for -----------------------------------------------------------------

    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        """Yield studies in the order of the archive, or of their numbers in the folder."""
        ledger.found["reports"] = 0
        ledger.found["images"] = len(self.images)
        for file, other in self.images.twice:
            ledger.refuse(file, f"is an image that {other} is already")
        seen: dict[str, str] = {}
        named: set[str] = set()
        for name, data in read_reports(self.reports, ledger):
            ledger.found["reports"] += 1
            try:
                report = parse_report(data)
                _check_names(report)
            except ValueError as error:
                ledger.refuse(name, str(error))
                continue
            if report.uid in seen:
                ledger.refuse(name, f"is {report.uid}, as {seen[report.uid]} is already")
                continue
            seen[report.uid] = name
            named.update(image for image, _ in report.images)
            if (found := self._study(report, ledger)) is not None:
                yield found
        usable = "usable " if ledger.bad else ""
        for file in self.images.besides(named):
            ledger.miss(file, f"images that no {usable}report names")

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read a PNG or DICOM file below the folder of images."""
        return read_image(self.images.folder / image.where)

    def total(self) -> int | None:
        """Return how many R2Gen has, where those are wanted."""
        return len(listed()) if (self.select, self.split) == ("r2gen", "r2gen") else None

    def folder(self) -> Path | None:
        """Return the folder of PNG files."""
        return self.images.folder if self.images.form == "png" else None

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the reports' hash, and which images are read."""
        digest = hashlib.sha256()
        if self.reports.is_file():
            with self.reports.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        else:
            for path in report_files(self.reports):
                digest.update(path.name.encode())
                digest.update(path.read_bytes() if path.is_file() else b"")
        found = {"reports_sha256": digest.hexdigest()[:16], "images": self.images.form}
        if (path := self.projections.path).is_file():
            found["projections_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return found

    # ---- studies ----------------------------------------------------------------------------

    def _study(self, report: OpeniReport, ledger: Ledger) -> tuple[Split, Study] | None:
        """Make a study of a report, or tell the ledger why not."""
        names = [name for name, _ in report.images]
        id = study_id(report)
        if (reason := self._why_not(id, report)) is not None:
            ledger.leave_out(id, reason)
            return None
        wanted = names if self.select == "all" else names[:IMAGES]
        there = [name for name in wanted if name in self.images]
        for name in wanted:
            if name not in there:
                ledger.miss(name, f"images that are not in {self.images.folder.name}")
        if not there or (self.select == "r2gen" and there != wanted):
            some = "not all of their images are" if there else "none of their images is"
            ledger.miss(id, f"studies left out, since {some} there")
            return None
        for name in names[len(wanted) :]:
            ledger.leave_out(name, "image after the first two of a study of R2Gen's")
        captions = dict(report.images)
        try:
            views = tuple(self._view(name, captions[name]) for name in there)
        except DataError as error:
            ledger.refuse(id, str(error))
            return None
        study = Study(
            id=id,
            images=tuple(ImageRef(self.images.where(name)) for name in there),
            views=views,
            report=self._text(report),
            subject=report.uid,
        )
        return self._split(id, report.uid), study

    def _why_not(self, id: str, report: OpeniReport) -> str | None:
        """Say why the selection does not want a study, or None."""
        count = len(report.images)
        if not count:
            return "no image"
        if self.select == "r2gen":
            if is_empty(report.sections.get("FINDINGS", "")):
                return "no findings"
            if count < IMAGES:
                return "one image; R2Gen's studies have two"
            if id not in listed() and self.split == "r2gen":
                return "not one of R2Gen's studies"
            if id not in listed() and count > IMAGES:
                return "more than two images; R2Gen's studies have two"
        if is_empty(self._text(report)):
            return f"no {' and no '.join(label.lower() for label in SECTIONS[self.text])}"
        return None

    def _text(self, report: OpeniReport) -> str:
        found = (report.sections.get(label, "") for label in SECTIONS[self.text])
        return " ".join(text for text in found if text)

    def _split(self, id: str, patient: str) -> Split:
        known = listed().get(id) if self.split == "r2gen" else None
        return known or split_by_hash(patient)

    def _view(self, name: str, caption: str) -> View:
        if (known := self.projections.view(name)) is not None:
            return known
        if self.images.form == "png":
            return view_of_caption(caption)
        path = self.images.folder / self.images.where(name)
        with path.open("rb") as file:
            return view_of(view_of_dicom(file.read(_HEADER), name=str(path)))


def study_id(report: OpeniReport) -> str:
    """Return R2Gen's id of a study: its first image's name without the last number."""
    if not report.images:
        return report.uid
    first, _ = report.images[0]
    return first.rpartition("-")[0] or first


def view_of_caption(caption: str) -> View:
    """Read a view where the caption tells: it names a frontal one, and neither a second nor a word
    that de-identification took away and that may have been one.
    """
    words = set(re.findall(r"[a-z]+|\d+", caption.lower()))
    others = {"lateral", "lat", "oblique", "decubitus", "and", "with", "views", "two", "2", "v"}
    alone = "portable" in words or "single" in words or "xxxx" not in words
    return (
        "frontal" if words & {"pa", "ap", "frontal"} and not words & others and alone else "unknown"
    )


@cache
def listed() -> Mapping[str, Split]:
    """Return the studies of R2Gen's release, and the split of each."""
    text = files("rrg_data").joinpath("r2gen_iu_xray_ids.json").read_text(encoding="utf-8")
    lists: dict[Split, list[str]] = json.loads(text)
    return {id: split for split, ids in lists.items() for id in ids}


def _check_names(report: OpeniReport) -> None:
    """Raise ValueError for the name of an image that is none."""
    names = [name for name, _ in report.images]
    for name in names:
        if "/" in name or "\\" in name or ".." in name or "\0" in name:
            raise ValueError(f"names the image {name!r}, which is outside the folder of images")
        if not name:
            raise ValueError("has an image without a name")
    if len(set(names)) < len(names):
        raise ValueError(f"names the image {_repeated(names)} twice")


def _repeated(names: Sequence[str]) -> str:
    return next(name for at, name in enumerate(names) if name in names[:at])
