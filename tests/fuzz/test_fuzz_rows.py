"""Data sets in files, and what stands beside them: read, or refused with the file's name."""

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rrg_data.r2gen import R2GenDataset
from rrg_data.table import TableDataset
from rrgcore.annotations import KINDS
from rrgcore.errors import DataError

from .harness import attempt, examples
from .mutations import as_csv, as_json_lines, edited, text_files

ROWS = {
    "train": [
        {
            "id": "a",
            "report": "There is a pleural effusion.",
            "image_path": ["a/0.png", "a/1.png"],
            "views": ["PA", "lateral"],
            "subject_id": 1,
        },
        {"id": "b", "report": "Clear.", "image_path": ["b/0.png"], "split": "train", "study_id": 2},
    ],
    "val": [{"id": "c", "report": "No pneumothorax.", "image_path": ["c/0.png"]}],
    "test": [{"id": "d", "report": "Stable.", "image_path": ["d/0.png"]}],
}
FLAT = [{**row, "split": split} for split, rows in ROWS.items() for row in rows]
KEYS = sorted({*ROWS, *(key for row in FLAT for key in row), "a", "b"})

GRAPH = {
    "text": "there is a pleural effusion .",
    "entities": {
        "1": {"tokens": "pleural", "label": "ANAT-DP", "start_ix": 3, "end_ix": 3},
        "2": {
            "tokens": "effusion",
            "label": "OBS-DP",
            "start_ix": 4,
            "end_ix": 4,
            "relations": [["located_at", "1"]],
        },
    },
}
BOX = {"name": "left lung", "x1": 0.1, "y1": 0.2, "x2": 0.4, "y2": 0.9}
VALUES: Mapping[str, Any] = {
    "labels": {"values": {"Edema": 1, "Fracture": -1}, "sources": {"Edema": "somebody"}},
    "radgraph": GRAPH,
    "boxes": [[BOX], []],
    "finding_boxes": [[{**BOX, "name": "Edema"}], []],
    "ngrams": {"Edema_True": ["pulmonary edema", "vascular congestion"]},
    "probabilities": {"Edema": 0.25, "Fracture": 0.5},
    "nearest_report": {"text": "the lungs are clear .", "study": "b", "similarity": 0.5},
    "views": ["PA", "lateral"],
}
"""Of a study of two images."""
RECORD = {
    "annotator": "classifier",
    "options": {},
    "fingerprint": "x",
    "built_on": {},
    "from": "images",
    "studies": {"train": 2},
    "sha256": "0" * 64,
    "learned_from": {"about": "", "studies": 1, "hash": "0", "ids": ["z"]},
}


@cache
def png() -> bytes:
    held = BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint16).astype(np.uint8).reshape(20, 20)).save(
        held, "PNG"
    )
    return held.getvalue()


@contextmanager
def data_set(rows: bytes = json.dumps(ROWS).encode()) -> Iterator[Path]:
    """Give a folder in R2Gen's layout that holds these rows and their images."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for path in (path for row in FLAT for path in row["image_path"]):
            (root / "images" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "images" / path).write_bytes(png())
        (root / "annotations").mkdir()
        (root / "annotation.json").write_bytes(rows)
        yield root


def use_all(make: Callable[[], Any]) -> None:
    """Read everything that a data set tells; of one with bad rows, also what is left without."""
    refusal = None
    try:
        found = make()
    except DataError as error:
        if error.rest is None:
            raise
        found, refusal = error.rest, error
    found.fingerprint()
    studies = [study for split in ("train", "val", "test") for study in found.studies(split)]
    for study in studies:
        found.raw_report(study)
    for text in found.check_data():
        text.encode()
    for kind in KINDS:
        found.knows_from_images(kind)
        for study in studies:
            use_annotation(found.annotation(study, kind), len(study.images))
        found.learned_from(kind)
    if refusal is not None:
        raise refusal


def use_annotation(value: Any, images: int) -> None:
    """Write it, read that back, mirror it and move it."""
    if value is None:
        return
    assert type(value).from_json(json.loads(json.dumps(value.to_json()))) == value
    value.mirrored([True] * images)
    value.moved(((1.0, 0.1, 0.0), (0.0, 0.9, 0.2)))


@examples(40)
@given(st.sampled_from([ROWS, FLAT]).flatmap(lambda rows: text_files(rows, words=KEYS)))
def test_rows_in_r2gens_layout_are_read_or_refused(text: bytes) -> None:
    with data_set(text) as root:
        attempt(
            "data: annotation.json",
            lambda: use_all(lambda: R2GenDataset(root=str(root))),
            kind=DataError,
            names=root,
            whole=text.whole,
        )


def lines_of(rows: Any) -> str:
    return as_json_lines(rows if isinstance(rows, list) else [rows])


SIDE_WORDS = ("id", "value", "a", "b", "Edema", "values", "sources", "text", "entities", "x1")


@st.composite
def sidecars(draw: Any) -> tuple[str, bytes]:
    """A file of annotations of one study."""
    slug = draw(st.sampled_from(sorted(VALUES)))
    lines = [{"id": "a", "value": VALUES[slug]}, {"id": "nobody", "value": None}]
    return slug, draw(text_files(lines, lines_of, words=SIDE_WORDS))


@examples(40)
@given(sidecars())
def test_a_file_beside_the_data_is_read_or_refused(sidecar: tuple[str, bytes]) -> None:
    slug, text = sidecar
    with data_set() as root:
        (root / "annotations" / f"{slug}.jsonl").write_bytes(text)
        attempt(
            f"data: sidecar of {slug}",
            lambda: use_all(lambda: R2GenDataset(root=str(root))),
            kind=DataError,
            # views are of the rows, which name the study; the others name their file
            names=root if slug == "views" else f"{slug}.jsonl",
            whole=text.whole,
        )


@examples(15)
@given(text_files(RECORD, words=["ids", "hash", "from", "sha256", "learned_from", "about"]))
def test_a_record_beside_a_file_is_read_or_refused(text: bytes) -> None:
    with data_set() as root:
        path = root / "annotations" / "labels.meta.json"
        path.with_name("labels.jsonl").write_text(lines_of({"id": "a", "value": {"Edema": 1}}))
        path.write_bytes(text)
        attempt(
            "data: record of a sidecar",
            lambda: use_all(lambda: R2GenDataset(root=str(root))),
            kind=DataError,
            names=path,
            whole=text.whole,
        )


TABLE = [
    ["id", "report", "image", "view", "patient", "split"],
    ["a", "Lungs are clear.", "images/a/0.png;images/a/1.png", "PA;LL", "1", "train"],
    ["b", "No change, since.", "images/b/0.png", "", "2", "test"],
]
OBJECTS = [dict(zip(TABLE[0], row, strict=True)) for row in TABLE[1:]]


@st.composite
def tables(draw: Any) -> tuple[str, bytes]:
    """A file of reports, as CSV or lines of JSON, perhaps packed."""
    suffix = draw(st.sampled_from([".csv", ".tsv", ".jsonl"]))
    if suffix == ".jsonl":
        text = draw(text_files(OBJECTS, lines_of, words=TABLE[0]))
    else:
        write = as_csv if suffix == ".csv" else lambda rows: as_csv(rows, "\t")
        text = draw(text_files(TABLE, write, words=TABLE[0]))
    return f"reports{suffix}", text


def opened_table(root: Path, file: Path) -> TableDataset:
    return TableDataset(root=str(root), file=file.name, images=".", separator=";")


@examples(25)
@given(tables(), st.sampled_from(["", "", ".gz", "called .gz"]))
def test_a_table_of_reports_is_read_or_refused(table: tuple[str, bytes], packed: str) -> None:
    name, text = table
    with data_set() as root:
        file = root / f"{name}{'.gz' if packed else ''}"
        file.write_bytes(gzip.compress(text, mtime=0) if packed == ".gz" else text)
        attempt(
            "data: table of reports",
            lambda: use_all(lambda: opened_table(root, file)),
            kind=DataError,
            names=root,
            whole=text.whole and packed != "called .gz",
        )


@st.composite
def annotations(draw: Any) -> tuple[type, Any]:
    """The JSON of an annotation, edited."""
    kind = draw(st.sampled_from(KINDS))
    return kind, draw(edited(VALUES[kind.slug], words=SIDE_WORDS))


@examples(80)
@given(annotations())
def test_an_annotation_is_read_or_refused(annotation: tuple[Any, Any]) -> None:
    kind, value = annotation
    target = f"annotations: {kind.slug}"

    def look() -> None:
        found = kind.from_json(value)
        use_annotation(found, len(getattr(found, "images", "1")))

    attempt(target, look, kind=DataError)
