"""The tables of MIMIC-CXR-JPG, read by the names of their columns into a few arrays.

The order of columns differs between files and releases. What is kept of a row is some fifty bytes,
so that the 377,110 rows of the whole archive are of no account.
"""

import csv
import gzip
import re
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Final, final

import numpy as np
from jaxtyping import Bool, Int8, Int64, Shaped, UInt8

from rrgcore.annotations import Labels
from rrgcore.chest import OBSERVATIONS, VIEWS, View, view_of
from rrgcore.errors import DataError, did_you_mean
from rrgcore.settings import Split
from rrgcore.sources import Ledger

SPLITS: Final[Mapping[str, Split]] = {"train": "train", "validate": "val", "test": "test"}
_ORDER: Final = tuple(SPLITS.values())
_BASE: Final = 10**9
_BLANK: Final = 9
_LABELS: Final = {"": _BLANK, "1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1}
_IMAGE: Final = re.compile(r"\w[\w.-]*", re.ASCII)
_CHUNK: Final = 1 << 16


def key_of(subject: int, study: int) -> int:
    """Return one number that stands for a study, in the order of patients."""
    return subject * _BASE + study


def ids_of(key: int) -> tuple[int, int]:
    """Return the patient and the study of a key."""
    return divmod(key, _BASE)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """The images of the archive, those of a study side by side."""

    keys: Int64[np.ndarray, " n"]
    names: Shaped[np.ndarray, " n"]
    splits: UInt8[np.ndarray, " n"]
    views: UInt8[np.ndarray, " n"]

    def of(self, key: int) -> slice:
        """Return which rows are a study's; none where it has no image."""
        first, last = np.searchsorted(self.keys, [key, key + 1]).tolist()
        return slice(first, last)

    def splits_of(self, rows: slice) -> list[Split]:
        """Return each split that rows are in, once."""
        return [_ORDER[number] for number in np.unique(self.splits[rows])]

    def named(self, rows: slice) -> Iterator[tuple[str, View]]:
        """Yield the name and the view of each image."""
        for name, view in zip(self.names[rows].tolist(), self.views[rows].tolist(), strict=True):
            yield name.decode("ascii"), VIEWS[view]


@final
@dataclass(frozen=True, slots=True, eq=False)
class StudyLabels:
    """The labels of CheXpert's or NegBio's labeler, a row a study."""

    keys: Int64[np.ndarray, " n"]
    values: Int8[np.ndarray, "n 14"]

    def of(self, key: int) -> Labels | None:
        """Return a study's labels, or None where it has no row."""
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return None
        row = zip(OBSERVATIONS, self.values[at].tolist(), strict=True)
        return Labels({name: value for name, value in row if value != _BLANK})


def load_images(split_table: Path, metadata: Path | None, ledger: Ledger) -> Images:
    """Read which split each image is in, and its view where there is such a table."""
    names: list[Shaped[np.ndarray, " _"]] = []
    keys, splits, chunk = array("q"), bytearray(), list[str]()
    for place, (name, study, subject, split) in _rows(
        split_table, ("dicom_id", "study_id", "subject_id", "split"), ledger
    ):
        key = _key(subject, study)
        if key is None or not _IMAGE.fullmatch(name):
            ledger.refuse(place, f"'{name}' of study '{study}' of patient '{subject}' are no ids")
        elif split not in SPLITS:
            ledger.refuse(place, f"its split is '{split}'; expected {', '.join(SPLITS)}")
        else:
            keys.append(key)
            splits.append(_ORDER.index(SPLITS[split]))
            chunk.append(name)
            if len(chunk) == _CHUNK:
                names.append(np.array(chunk, dtype=np.bytes_))
                chunk.clear()
    names.append(np.array(chunk, dtype=np.bytes_))
    images = Images(
        keys=np.array(keys, dtype=np.int64),
        names=np.concatenate(names),
        splits=np.frombuffer(bytes(splits), dtype=np.uint8),
        views=np.full(len(keys), VIEWS.index("unknown"), dtype=np.uint8),
    )
    by_name = np.argsort(images.names, kind="stable")
    twice = by_name[1:][images.names[by_name[1:]] == images.names[by_name[:-1]]]
    for row in twice.tolist():
        ledger.refuse(f"{split_table}: image {images.names[row].decode()}", "is there twice")
    if metadata is not None:
        _add_views(images, by_name, metadata, ledger)
    kept = np.ones(len(keys), dtype=bool)
    kept[twice] = False
    return _in_order(images, kept)


def load_labels(path: Path, ledger: Ledger) -> StudyLabels:
    """Read a row of labels a study; raises DataError where one of the 14 has no column."""
    keys, values = array("q"), array("b")
    for place, (study, subject, *row) in _rows(
        path, ("study_id", "subject_id", *OBSERVATIONS), ledger
    ):
        key = _key(subject, study)
        strange = [value for value in row if value not in _LABELS]
        if key is None:
            ledger.refuse(place, f"study '{study}' of patient '{subject}' are no ids")
        elif strange:
            ledger.refuse(place, f"a label is '{strange[0]}'; expected 1, 0, -1 or nothing")
        else:
            keys.append(key)
            values.extend(_LABELS[value] for value in row)
    found = np.array(keys, dtype=np.int64)
    order = np.argsort(found, kind="stable")
    table = np.array(values, dtype=np.int8).reshape(len(keys), len(OBSERVATIONS))
    for at in np.flatnonzero(np.diff(found[order]) == 0).tolist():
        _, number = ids_of(int(found[order[at]]))
        ledger.refuse(f"{path}: study s{number}", "is there twice")
    return StudyLabels(found[order], table[order])


def _add_views(
    images: Images, by_name: Int64[np.ndarray, " n"], metadata: Path, ledger: Ledger
) -> None:
    ordered = images.names[by_name]
    rows = _rows(metadata, ("dicom_id", "ViewPosition"), ledger)
    while some := [values for _, values in islice(rows, _CHUNK)]:
        names = np.array([name.encode("ascii", "replace") for name, _ in some])
        views = np.array([VIEWS.index(view_of(words)) for _, words in some], dtype=np.uint8)
        at = np.searchsorted(ordered, names)
        known = at < len(ordered)
        known[known] = ordered[at[known]] == names[known]
        images.views[by_name[at[known]]] = views[known]


def _in_order(images: Images, kept: Bool[np.ndarray, " n"]) -> Images:
    order = np.argsort(images.keys, kind="stable")
    order = order[kept[order]]
    return Images(
        images.keys[order], images.names[order], images.splits[order], images.views[order]
    )


def _key(subject: str, study: str) -> int | None:
    numbers = subject.removeprefix("p"), study.removeprefix("s")
    if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in numbers):
        return None
    return key_of(*map(int, numbers))


def _rows(
    path: Path, columns: Sequence[str], ledger: Ledger
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield where each row is and its values of some columns, stripped."""
    line = 0
    try:
        with _open(path) as file:
            reader = csv.reader(file)
            header = [name.strip().casefold() for name in next(reader, [])]
            at = [_column(path, header, column) for column in columns]
            last = max(at)
            for row in reader:
                line = reader.line_num
                place = f"{path}, line {line}"
                if len(row) > last:
                    yield place, tuple(row[i].strip() for i in at)
                elif row:
                    ledger.refuse(place, f"has {len(row)} values; expected {len(header)}")
    except (EOFError, gzip.BadGzipFile, zlib.error, csv.Error, UnicodeDecodeError) as error:
        ledger.refuse(
            f"{path}, after line {line}",
            f"is cut off or damaged ({type(error).__name__}); download it again",
            whole=True,
        )


def _column(path: Path, header: Sequence[str], column: str) -> int:
    if column.casefold() in header:
        return header.index(column.casefold())
    raise DataError(
        f"{path}: has no column '{column}'.{did_you_mean(column, header)} "
        f"It has: {', '.join(header) or 'nothing'}"
    )


def _open(path: Path) -> TextIOWrapper:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
