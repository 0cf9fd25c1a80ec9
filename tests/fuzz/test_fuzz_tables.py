"""Tables that others made, of labels, probabilities and boxes: each is read or refused by line."""

import gzip
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rrg_knowledge.box_table import BoxTable
from rrg_knowledge.label_table import LabelTable
from rrg_knowledge.probability_table import ProbabilityTable
from rrgcore.chest import OBSERVATIONS
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study

from .harness import attempt, examples
from .mutations import CELLS, as_csv, text_files
from .test_fuzz_rows import use_annotation

IDS = ("a", "b", "s50414267")
STUDIES = [Study(id, (ImageRef(f"{id}.png"),), ("frontal",), "no pleural effusion .") for id in IDS]

BOX = ["0", "0.1", "0.5", "0.75"]
EDGES = ["image_id", "bbox_name", "x1", "y1", "x2", "y2"]
SIZED = [*EDGES, "image_width", "image_height"]
TABLES: dict[str, tuple[type, list[list[str]]]] = {
    "labels": (
        LabelTable,
        [["study_id", *OBSERVATIONS], *([id, "1", "0", "-1", "", *["nan"] * 10] for id in IDS)],
    ),
    "labels of texts": (
        LabelTable,
        [["Reports", *OBSERVATIONS], ["no pleural effusion .", *["1"] * 14]],
    ),
    "probabilities": (
        ProbabilityTable,
        [["id", "Edema", "Fracture"], *([id, "0.25", "1"] for id in (*IDS, "a"))],
    ),
    "boxes": (BoxTable, [EDGES, *([f"{id}.png", "left lung", *BOX] for id in IDS)]),
    "boxes in pixels": (
        BoxTable,
        [SIZED, *([f"{id}.png", "spine", "3", "10", "50", "75", "100", "200"] for id in IDS)],
    ),
    "boxes of studies": (
        BoxTable,
        [["study_id", *EDGES[1:]], *([id, "spine", *BOX] for id in IDS)],
    ),
}


@st.composite
def tables(draw: Any) -> tuple[str, bytes]:
    """A table of one of the kinds."""
    kind = draw(st.sampled_from(sorted(TABLES)))
    return kind, draw(text_files(TABLES[kind][1], as_csv, words=[*TABLES[kind][1][0], *CELLS]))


@examples(100)
@given(tables(), st.sampled_from(["", "", "", ".gz", "called .gz"]))
def test_a_table_that_others_made_is_read_or_refused(table: tuple[str, bytes], packed: str) -> None:
    kind, text = table
    make = TABLES[kind][0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table.csv{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text, mtime=0) if packed == ".gz" else text)

        def look() -> None:
            annotator = make(path=str(path))
            annotator.fingerprint()
            for found in annotator.annotate(STUDIES):
                use_annotation(found, 1)

        attempt(
            f"tables: {kind}",
            look,
            kind=DataError,
            names=path,
            whole=text.whole and packed != "called .gz",
        )
