"""Where the parts of MIMIC-CXR are below a folder, as PhysioNet's downloads leave them."""

import os
import re
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, final

import numpy as np
from jaxtyping import Int64

from rrg_data.mimic_tables import ids_of, key_of
from rrgcore.errors import DataError

LAYOUT: Final = """\
  ROOT/files/p10/p10000032/s50414267.txt             reports (mimic-cxr)
  ROOT/files/p10/p10000032/s50414267/<dicom_id>.jpg  images (mimic-cxr-jpg), or .dcm
  ROOT/mimic-cxr-2.0.0-split.csv.gz                  and -metadata, -chexpert or -negbio if wanted
Both projects may lie in folders of their own below ROOT, in PhysioNet's own
(physionet.org/files/mimic-cxr-jpg/2.0.0), or anywhere: reports=… and images=… name them"""

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".dcm")
"""Of several files of one image the first in this order is read."""

_GROUP: Final = re.compile(r"p\d\d")
_PATIENT: Final = re.compile(r"p(\d{1,9})")
_STUDY: Final = re.compile(r"s(\d{1,9})(\.txt)?")
_TABLE: Final = re.compile(r"mimic-cxr(?:-.*)?-(split|metadata|chexpert|negbio)\.csv(?:\.gz)?")
_DEPTH: Final = 5
_MOST: Final = 5_000
_PROBED: Final = 300


@final
@dataclass(frozen=True, slots=True)
class Places:
    """Where things are; `reports` and `images` are folders of p10, p11, …"""

    reports: Path
    images: Path
    dicom: bool
    """Whether the images are DICOM files."""
    tables: dict[str, Path]
    """By what they hold: split, metadata, chexpert, negbio."""


def find_places(root: Path, reports: str | None, images: str | None) -> Places:
    """Find reports, images and tables; raises DataError with the layout that was expected."""
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise DataError(f"the folder {root} {state}. Expected:\n{LAYOUT}")
    tables = _Tables()
    found = [folder for folder in _search(root, tables) if _is_archive(folder)]
    folder, rank = _pick("images", root, images, found, tables)
    return Places(
        reports=_pick("reports", root, reports, found, tables)[0],
        images=folder,
        dicom=SUFFIXES[rank] == ".dcm",
        tables=tables.chosen(root),
    )


def list_studies(folder: Path) -> tuple[Int64[np.ndarray, " r"], Int64[np.ndarray, " i"]]:
    """Return the keys of every report, and of every folder of images, sorted."""
    reports, images = array("q"), array("q")
    for group in _below(folder, _GROUP):
        for patient in _below(group.path, _PATIENT):
            subject = int(patient.name[1:])
            for _, match in _entries(patient.path, _STUDY):
                (reports if match[2] else images).append(key_of(subject, int(match[1])))
    return np.sort(np.array(reports, np.int64)), np.sort(np.array(images, np.int64))


def list_images(folder: Path, key: int) -> dict[str, str]:
    """Return the files of a study's images by the names of the images."""
    found: dict[str, str] = {}
    try:
        names = os.listdir(folder / study_path(key))
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in sorted(names, key=_preference):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in SUFFIXES:
            found.setdefault(stem, name)
    return found


def study_path(key: int) -> str:
    """Return where a study is: its folder of images, and with ".txt" its report."""
    subject, study = ids_of(key)
    return f"p{str(subject)[:2]}/p{subject}/s{study}"


def _preference(name: str) -> tuple[int, str]:
    suffix = os.path.splitext(name)[1].lower()
    return SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES), name


# ---- looking around --------------------------------------------------------------------------


@final
class _Tables:
    """The tables that were come across, by what they hold."""

    def __init__(self) -> None:
        self.found: dict[str, set[Path]] = {}
        self.packed: list[Path] = []
        """Reports that still are in their archive."""

    def look_in(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            if (match := _TABLE.fullmatch(path.name.lower())) and path.is_file():
                self.found.setdefault(match[1], set()).add(path)
            if path.suffix == ".zip" and "reports" in path.name:
                self.packed.append(path)

    def chosen(self, root: Path) -> dict[str, Path]:
        """Return one of each; of a table and its unpacked copy, the copy."""
        chosen = {}
        for kind, paths in self.found.items():
            packed = {path for path in paths if path.suffix == ".gz"}
            left = paths - {path for path in packed if path.with_suffix("") in paths}
            if len(left) > 1:
                listed = ", ".join(str(path) for path in sorted(left))
                raise DataError(f"{root}: has several tables of {kind}: {listed}. Leave one there")
            (chosen[kind],) = left
        return chosen


def _search(root: Path, tables: _Tables) -> Iterator[Path]:
    """Look through the folders above the patients, the nearest first."""
    waiting = deque([(root, 0)])
    for _ in range(_MOST):
        if not waiting:
            return
        folder, depth = waiting.popleft()
        tables.look_in(folder)
        yield folder
        if depth < _DEPTH:
            waiting.extend(
                (path, depth + 1)
                for path in sorted(folder.iterdir())
                if path.is_dir() and not path.name.startswith(".") and not _GROUP.match(path.name)
            )


def _pick(
    kind: str, root: Path, option: str | None, found: list[Path], tables: _Tables
) -> tuple[Path, int]:
    """Return the folder that has reports or images, and its rank."""
    if option is not None:
        base = root / option
        if not base.is_dir():
            raise DataError(f"{kind}: the folder {base} does not exist. Expected:\n{LAYOUT}")
        if base.parent != root and base != root:
            tables.look_in(base.parent)
        found = [folder for folder in _search(base, tables) if _is_archive(folder)]
    ranks = {folder: rank for folder in found if (rank := _rank(folder, kind)) is not None}
    best = [folder for folder, rank in ranks.items() if rank == min(ranks.values())]
    if len(best) > 1:
        listed = ", ".join(map(str, best))
        raise DataError(f"{root}: has {kind} in several folders: {listed}. Say which: {kind}=…")
    if not best:
        packed = ""
        if kind == "reports" and tables.packed:
            packed = f" {tables.packed[0]} is there: unpack it first."
        where = root if option is None else root / option
        raise DataError(f"{where}: no {kind} of MIMIC-CXR were found.{packed} Expected:\n{LAYOUT}")
    return best[0], ranks[best[0]]


def _is_archive(folder: Path) -> bool:
    return next(_below(folder, _GROUP), None) is not None


def _rank(folder: Path, kind: str) -> int | None:
    """Look at the first patients: None where they have none of a kind, and the lower the better."""
    patients = (
        patient for group in _below(folder, _GROUP) for patient in _below(group.path, _PATIENT)
    )
    for patient in islice(patients, _PROBED):
        for entry, match in _entries(patient.path, _STUDY):
            if kind == "reports" and match[2]:
                return 0
            if kind == "images" and not match[2] and entry.is_dir():
                ranks = [_preference(name)[0] for name in os.listdir(entry.path)]
                if (rank := min(ranks, default=len(SUFFIXES))) < len(SUFFIXES):
                    return rank
    return None


def _below(folder: str | Path, pattern: re.Pattern[str]) -> Iterator["os.DirEntry[str]"]:
    """Iterate over the folders of such a name, in order."""
    entries = [entry for entry, _ in _entries(folder, pattern) if entry.is_dir()]
    yield from sorted(entries, key=lambda entry: entry.name)


def _entries(
    folder: str | Path, pattern: re.Pattern[str]
) -> Iterator[tuple["os.DirEntry[str]", re.Match[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if match := pattern.fullmatch(entry.name):
                yield entry, match
