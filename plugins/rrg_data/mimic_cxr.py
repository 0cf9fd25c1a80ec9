"""MIMIC-CXR as PhysioNet hands it out: reports, JPG or DICOM images, and tables."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, final

import numpy as np
from jaxtyping import UInt8

from rrg_data.mimic_layout import (
    LAYOUT,
    Places,
    find_places,
    list_images,
    list_studies,
    study_path,
)
from rrg_data.mimic_sections import Sections, cut_report
from rrg_data.mimic_tables import Images, ids_of, load_images, load_labels
from rrgcore.annotations import Labels
from rrgcore.chest import View
from rrgcore.digest import digest_of_file
from rrgcore.errors import DataError
from rrgcore.extras import how_to_install
from rrgcore.images import read_image
from rrgcore.settings import Split
from rrgcore.sources import Ledger, Source
from rrgcore.study import ImageRef, Study

Text = Literal["findings", "impression", "both", "conclusion"]

LARGEST_REPORT: Final = 1 << 20
"""Bytes; the archive's longest has a few thousand."""

_NOTHING: Final[Mapping[Text, str]] = {
    "findings": "no findings",
    "impression": "no impression",
    "both": "neither findings nor impression",
    "conclusion": "no section to take",
}


@final
class MimicCxrSource(Source):
    """Studies of MIMIC-CXR with their official split (Johnson et al., 2019).

    `text` is which section becomes the report (`rrg_data.mimic_sections`), of several of a name the
    last one; `both` is findings and impression, whichever are there; `conclusion` is what the
    archive's own labels were made from. A study without it is left out. `rows: image` makes a study
    of each image, as R2Gen's file has it, whose `study_id` tells what it is an image of; with
    `text: findings` that is R2Gen's selection.
    `views: frontal` keeps frontal images, by the table of metadata. `labels` are read from the
    table of that name; unless it is said, from CheXpert's where that is there.

    `reports` and `images` are folders below `root`, or anywhere; both are looked for if not given.
    """

    layout: ClassVar[str] = LAYOUT
    archive: ClassVar[str] = (
        "MIMIC-CXR 2.0.0 or later (reports, https://physionet.org/content/mimic-cxr/) and "
        "MIMIC-CXR-JPG (images and tables, https://physionet.org/content/mimic-cxr-jpg/)"
    )
    cleaning: ClassVar[str] = "r2gen-mimic"

    def __init__(
        self,
        *,
        root: str,
        text: Text = "findings",
        rows: Literal["study", "image"] = "study",
        views: Literal["all", "frontal"] = "all",
        labels: Literal["chexpert", "negbio", "none"] | None = None,
        reports: str | None = None,
        images: str | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.text: Text = text
        self.rows = rows
        self.views = views
        self.places = find_places(self.root, reports, images)
        self.labels = _label_table(self.places, labels)
        _check_tables(self.root, self.places, self.labels, views)
        if self.places.dicom and find_spec("pydicom") is None:
            raise DataError(f"DICOM files are read through pydicom: {how_to_install('dicom')}")

    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        """Yield studies by patient and number, reading one report after the other.

        Told as missing are reports without an image and images without a report, studies that the
        table of the split does not have, images that one of table and disk does not have, and
        studies without labels, which are kept.
        """
        tables = self.places.tables
        images = load_images(tables["split"], tables.get("metadata"), ledger)
        labels = load_labels(tables[self.labels], ledger) if self.labels else None
        reports, folders = list_studies(self.places.reports)
        if self.places.images != self.places.reports:
            _, folders = list_studies(self.places.images)
        keys = np.union1d(np.union1d(reports, folders), images.keys)
        for key, has_report in zip(keys.tolist(), np.isin(keys, reports).tolist(), strict=True):
            found = self._study(key, has_report, images, ledger)
            if found is None:
                continue
            split, study = found
            if labels is not None:
                study = _labelled(study, labels.of(key), ledger)
            if self.rows == "study":
                yield split, study
                continue
            whole = replace(study, examination=str(ids_of(key)[1]))
            for image, view in zip(study.images, study.views, strict=True):
                name = Path(image.where).stem
                yield split, replace(whole, id=name, images=(image,), views=(view,))

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read a JPG, or a DICOM file (`rrg[dicom]`)."""
        return read_image(self.places.images / image.where)

    def total(self) -> int | None:
        """Return how many the table of the split has, which is an upper bound."""
        images = load_images(self.places.tables["split"], None, Ledger(skip_bad=True))
        return len(images.keys if self.rows == "image" else np.unique(images.keys))

    def folder(self) -> Path | None:
        """Return the folder of JPG files; None where images are DICOM."""
        return None if self.places.dicom else self.places.images

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the hashes of the tables that are read."""
        kinds = ["split", *({"metadata"} & self.places.tables.keys())]
        if self.labels is not None:
            kinds.append(self.labels)
        return {
            "tables_sha256": {kind: digest_of_file(self.places.tables[kind])[:16] for kind in kinds}
        }

    def _study(
        self, key: int, has_report: bool, images: Images, ledger: Ledger
    ) -> tuple[Split, Study] | None:
        """Return a study as a whole, or None where it is not wanted or not complete."""
        subject, number = ids_of(key)
        name, rows = f"s{number}", images.of(key)
        files = list_images(self.places.images, key)
        ledger.found["reports"] += has_report
        ledger.found["images"] += len(files)
        splits = images.splits_of(rows)
        if not has_report and not files:
            ledger.miss(name, "studies of the table with neither report nor image")
        elif not has_report:
            ledger.miss(name, "images without a report")
        elif not files:
            ledger.miss(name, "reports without an image")
        elif not splits:
            ledger.miss(name, "studies that the table of the split does not have")
        elif len(splits) > 1:
            ledger.refuse(name, f"its images are in several splits: {', '.join(splits)}")
        elif (report := self._report(key, name, ledger)) is not None:
            shown = list(self._images(key, images.named(rows), files, ledger))
            if shown:
                refs, views = zip(*shown, strict=True)
                study = Study(name, refs, views, report, subject=str(subject))
                return splits[0], study
            ledger.leave_out(name, f"no {'image' if self.views == 'all' else 'frontal image'}")
        return None

    def _report(self, key: int, name: str, ledger: Ledger) -> str | None:
        path = self.places.reports / f"{study_path(key)}.txt"
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST_REPORT + 1)
            report = data.decode().replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            problem = f"byte {error.start} is not UTF-8; download it again"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        else:
            problem = ""
            if not data:
                problem = "is empty (0 bytes); download it again"
            elif len(data) > LARGEST_REPORT:
                problem = f"is longer than {LARGEST_REPORT:,} bytes"
        if problem:
            ledger.refuse(name, f"{path}: {problem}")
            return None
        text = _take(cut_report(report), self.text)
        if text is None:
            ledger.leave_out(name, _NOTHING[self.text])
        return text

    def _images(
        self,
        key: int,
        named: Iterator[tuple[str, View]],
        files: dict[str, str],
        ledger: Ledger,
    ) -> Iterator[tuple[ImageRef, View]]:
        """Yield the images that both table and disk have, and the selection wants."""
        for name, view in named:
            if (file := files.pop(name, None)) is None:
                ledger.miss(name, "images of the table that have no file")
            elif self.views == "frontal" and view != "frontal":
                ledger.leave_out(name, f"images whose view is {view}")
            else:
                yield ImageRef(f"{study_path(key)}/{file}"), view
        for name in files:
            ledger.miss(name, "image files that the table of the split does not have")


def _take(sections: Sections, text: Text) -> str | None:
    if text == "conclusion":
        return sections.conclusion
    names = ("findings", "impression") if text == "both" else (text,)
    return " ".join(part for name in names if (part := sections.last(name))) or None


def _labelled(study: Study, labels: Labels | None, ledger: Ledger) -> Study:
    if labels is None:
        ledger.miss(study.id, "studies without labels, which are kept")
        return study
    return study.annotated({Labels: labels})


def _label_table(places: Places, labels: str | None) -> str | None:
    if labels is None:
        return "chexpert" if "chexpert" in places.tables else None
    return None if labels == "none" else labels


def _check_tables(root: Path, places: Places, labels: str | None, views: str) -> None:
    wanted = ["split"]
    wanted += ["metadata"] if views == "frontal" else []
    wanted += [labels] if labels is not None else []
    for kind in wanted:
        if kind not in places.tables:
            there = ", ".join(path.name for path in places.tables.values()) or "none"
            raise DataError(
                f"{root}: no table mimic-cxr-2.0.0-{kind}.csv.gz (or another version, or unpacked) "
                f"was found. Tables there: {there}. Expected:\n{LAYOUT}"
            )
