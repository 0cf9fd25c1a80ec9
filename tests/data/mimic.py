"""MIMIC-CXR in small: reports, images and tables in PhysioNet's layout."""

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rrgcore.chest import ORDERS

LABELS = ORDERS["alphabetical"]


def report(findings: str | None = "Lungs are clear.", impression: str | None = "Normal.") -> str:
    text = " " * 33 + "FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n"
    text += "" if findings is None else f" FINDINGS: \n \n {findings}\n \n"
    return text + ("" if impression is None else f" IMPRESSION: \n \n {impression}\n")


@dataclass(slots=True)
class Patient:
    """A study: its images by view, and what is on disk and in the tables of it."""

    subject: int
    study: int
    views: Sequence[str]
    split: str = "train"
    report: str | bytes | None = field(default_factory=report)
    labels: Mapping[str, str] | None = field(default_factory=dict)

    def dicom(self, number: int) -> str:
        """A name in the archive's form."""
        words = np.random.default_rng([self.study, number]).integers(0, 2**32, 5)
        return "-".join(f"{word:08x}" for word in words)

    @property
    def folder(self) -> str:
        return f"files/p{str(self.subject)[:2]}/p{self.subject}/s{self.study}"


def archive() -> list[Patient]:
    """Five patients and what can be missing, in no order."""
    return [
        Patient(11000001, 50000020, ["AP"], "validate", labels={"Edema": "-1.0"}),
        Patient(
            10000032,
            50000010,
            ["PA", "LATERAL"],
            report=report("The heart is\n large.", "Cardiomegaly."),
            labels={"Cardiomegaly": "1.0", "Pneumothorax": "0.0"},
        ),
        Patient(10000032, 50000003, ["PA"], labels={"No Finding": "1.0"}),
        Patient(12000002, 50000030, ["LL", ""], "test", report=report(None), labels={}),
        Patient(19999999, 59999999, ["AP"], "test"),
    ]


def write_mimic(
    root: Path, patients: Sequence[Patient] | None = None, *, jpg: str = ".", txt: str = "."
) -> Path:
    """Write it; the columns of each table stand in another order than in the archive's."""
    split, metadata, chexpert, negbio = [], [], [], []
    for each in archive() if patients is None else patients:
        ids = {"subject_id": each.subject, "study_id": each.study}
        if each.report is not None:
            path = root / txt / f"{each.folder}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            text = each.report
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for number, view in enumerate(each.views):
            name = each.dicom(number)
            path = root / jpg / each.folder / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20, 24), 40 * number, dtype=np.uint8)).save(path)
            split.append({"split": each.split, "dicom_id": name, **ids})
            metadata.append({"Rows": 20, "ViewPosition": view, **ids, "dicom_id": name})
        if each.labels is not None:
            values = dict.fromkeys(reversed(LABELS), "") | dict(each.labels)
            chexpert.append(values | ids)
            negbio.append(dict.fromkeys(LABELS, "") | {"Fracture": "1"} | ids)
    for kind, rows in (
        ("split", split),
        ("metadata", metadata),
        ("chexpert", chexpert),
        ("negbio", negbio),
    ):
        write_table(root / jpg / f"mimic-cxr-2.0.0-{kind}.csv.gz", rows)
    return root


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
