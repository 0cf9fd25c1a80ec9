"""Small archives in Open-i's layout, for tests."""

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CAPTION = "Xray Chest PA and Lateral"
# of R2Gen's list: two studies of train, one of val, one of test
LISTED = ("CXR2384_IM-0942", "CXR2926_IM-1328", "CXR2279_IM-0865", "CXR3030_IM-1405")


def names_of(study: str, count: int = 2) -> list[str]:
    """The images of a study of R2Gen's, as Open-i calls them."""
    return [f"{study}-{number}001" for number in range(1, count + 1)]


def report_xml(
    uid: str,
    images: Sequence[str],
    *,
    findings: str | None = "The lungs are clear.",
    impression: str | None = "No acute disease.",
    caption: str = CAPTION,
    head: str = "",
) -> str:
    sections = {"FINDINGS": findings, "IMPRESSION": impression}
    texts = "".join(
        f'<AbstractText Label="{label}"/>'
        if text is None
        else f'<AbstractText Label="{label}">{text}</AbstractText>'
        for label, text in sections.items()
    )
    scans = "".join(
        f'<parentImage id="{name}"><caption>{caption}</caption>'
        f"<panel><url>/extract/{name}.jpg</url></panel></parentImage>"
        for name in images
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n{head}<eCitation><uId id="{uid}"/>'
        f"<MedlineCitation><Article><Abstract>\n{texts}\n</Abstract></Article></MedlineCitation>"
        f"<MeSH><major>normal</major></MeSH>{scans}</eCitation>"
    )


def reports_of(*studies: str, **texts: str | None) -> dict[str, str]:
    """A report file for each study of R2Gen's, of two images."""
    return {
        f"ecgen-radiology/{uid[3:]}.xml": report_xml(uid, names_of(study), **texts)
        for study in studies
        for uid in [study.partition("_")[0]]
    }


def write_tgz(
    path: Path, files: Mapping[str, str | bytes], more: Iterable[tarfile.TarInfo] = ()
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in more:
            tar.addfile(info)
    return path


def write_png(path: Path, size: tuple[int, int] = (40, 30), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_openi(root: Path, studies: Sequence[str] = LISTED) -> Path:
    """Studies of R2Gen's, each of two images."""
    write_tgz(root / "NLMCXR_reports.tgz", reports_of(*studies))
    for number, name in enumerate(name for study in studies for name in names_of(study)):
        write_png(root / "NLMCXR_png" / f"{name}.png", seed=number)
    return root
