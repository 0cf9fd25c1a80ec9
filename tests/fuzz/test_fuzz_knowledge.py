"""Graphs, n-grams, atlases and matrices that others made: each is read or refused by name."""

import gzip
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save as save_tensors

from rrg_kia.atlas import load_atlas
from rrg_kia.atlas_prior import AtlasPrior
from rrg_knowledge.learned_elsewhere import given_provenance
from rrg_knowledge.nearest_by_matrix import NearestByMatrix
from rrg_knowledge.ngrams import OrganNGrams
from rrg_knowledge.radgraph_file import RadGraphFile
from rrg_knowledge.scene_graphs import SceneGraphs
from rrgcore.annotations import Labels
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Workbench

from .harness import attempt, examples
from .mutations import Drawn, as_json, damaged, text_files
from .test_fuzz_rows import RECORD, use_annotation

IDS = ["a", "b", "s50414267"]
REPORT = "no pleural effusion ."
STUDIES = [
    Study(id, (ImageRef(f"{id}.png"),), ("frontal",), REPORT, {Labels: Labels({"Edema": 1})})
    for id in IDS
]
NEW = Study("a", (ImageRef("a.png"),), ("frontal",))


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def use(annotator: Any) -> None:
    annotator.fingerprint()
    for found in annotator.annotate(STUDIES):
        use_annotation(found, 1)


# ---- graphs -----------------------------------------------------------------------------------

EDGES = {"x1": 8, "y1": 4, "x2": 24, "y2": 30}
SCENE = {
    "image_id": "a",
    "objects": [
        {
            "bbox_name": name,
            **{key: edge * 7 + i for key, edge in EDGES.items()},
            **{f"original_{key}": edge * 70 + i for key, edge in EDGES.items()},
        }
        for i, name in enumerate(("spine", "left lung", "carina"))
    ],
}


@examples(30)
@given(
    text_files(SCENE, words=["bbox_name", "objects", "x1", "original_x1", "original_y2"]),
    st.sampled_from(["folder", "zip", "damaged zip"]),
    st.data(),
)
def test_a_scene_graph_is_read_or_refused(text: Drawn, form: str, data: st.DataObject) -> None:
    with folder() as root:
        where = root / "graphs"
        if form == "folder":
            where.mkdir()
            (where / "a_SceneGraph.json").write_bytes(text)
        else:
            packed = BytesIO()
            with ZipFile(packed, "w") as file:
                file.writestr("x/a_SceneGraph.json", text)
            where.write_bytes(
                packed.getvalue()
                if form == "zip"
                else data.draw(damaged(packed.getvalue()), label="bytes")
            )

        def look() -> None:
            graphs = SceneGraphs(path=str(where))
            graphs.equip(Workbench(lambda image: np.zeros((2000, 1500), dtype=np.uint8)))
            use(graphs)

        whole = text.whole and form != "damaged zip"
        attempt("knowledge: scene graphs", look, kind=DataError, names=where, whole=whole)


ENTITY = {"tokens": "effusion", "label": "OBS-DA", "start_ix": 2, "end_ix": 2, "relations": []}
DOCUMENTS = {
    name: {"text": REPORT, "entities": {"1": ENTITY}} for name in ("p1/a.txt", "b", "50414267")
}


@examples(30)
@given(
    text_files(DOCUMENTS, words=["text", "entities", *ENTITY, "a", "b"]),
    st.sampled_from(["id", "text"]),
    st.sampled_from(["same", "ignored"]),
    st.sampled_from(["", "", ".gz", "called .gz"]),
)
def test_a_file_of_radgraphs_is_read_or_refused(
    text: Drawn,
    by: Literal["id", "text"],
    punctuation: Literal["same", "ignored"],
    packed: str,
) -> None:
    with folder() as root:
        path = root / f"graphs.json{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text, mtime=0) if packed == ".gz" else text)
        attempt(
            "knowledge: RadGraph's files",
            lambda: use(RadGraphFile(path=str(path), by=by, punctuation=punctuation)),
            kind=DataError,
            names=path,
            whole=text.whole and packed != "called .gz",
        )


# ---- n-grams, atlases, records ----------------------------------------------------------------

LISTS = {"Edema_True": ["pulmonary edema", "congestion"], "Edema_False": ["no edema"]}
LEARNED = text_files(RECORD["learned_from"], words=["ids", "hash", "about"])


@examples(25)
@given(text_files(LISTS, words=["Edema_True", "Fracture_False"]), LEARNED)
def test_a_file_of_ngrams_is_read_or_refused(text: Drawn, record: Drawn) -> None:
    with folder() as root:
        path = root / "ngrams.json"
        path.write_bytes(text)
        (root / "learned.json").write_bytes(record)

        def look() -> None:
            annotator = OrganNGrams(file=str(path))
            use(annotator)
            annotator.artefacts()
            annotator.summary()

        whole = text.whole and record.whole
        attempt("knowledge: n-grams", look, kind=DataError, names=root, whole=whole)


@examples(15)
@given(LEARNED)
def test_a_record_of_what_was_learned_from_is_read_or_refused(text: Drawn) -> None:
    with folder() as root:
        path = root / "record.json"
        path.write_bytes(text)

        def look() -> None:
            found = given_provenance(str(path))
            assert found is not None, "the file is there"
            found.seen(STUDIES)
            found.joined([found])

        attempt("knowledge: records", look, kind=DataError, names=path, whole=text.whole)


ATLAS = {
    "grid": [2, 3],
    "keys_per_landmark": 1,
    "sideless_words": {"lung": ["left lung"]},
    "landmarks": {"left lung": {"aliases": ["left lung base"], "top1": [3], "boxes": 3}},
    "learned_from": RECORD["learned_from"],
}


@examples(25)
@given(text_files(ATLAS, words=["top1", "aliases", "kia_34", "grid", "landmarks"]))
def test_an_atlas_is_read_or_refused(text: Drawn) -> None:
    with folder() as root:
        path = root / "atlas.json"
        path.write_bytes(text)

        def look() -> None:
            atlas = load_atlas(path)
            json.dumps(atlas.to_json())
            AtlasPrior(atlas).key_patches(STUDIES[0], 0, (4, 4))

        attempt("knowledge: atlases", look, kind=DataError, names=path, whole=text.whole)


# ---- matrices ---------------------------------------------------------------------------------


@cache
def matrices() -> Mapping[str, bytes]:
    """Matrices of embeddings, and what is none."""
    found = {}
    for name, array in {
        "good": np.arange(12, dtype=np.float32).reshape(3, 4) + 1,
        "half": np.ones((3, 4), dtype=np.float16),
        "large": np.full((3, 4), 1e300),
        "zero": np.zeros((3, 4), dtype=np.float32),
        "flat": np.ones(12, dtype=np.float32),
        "empty": np.ones((0, 4), dtype=np.float32),
        "whole": np.ones((3, 4), dtype=np.int64),
        "structured": np.zeros((3, 4), dtype=[("a", "f4")]),
        "objects": np.array([[print, None]], dtype=object),
    }.items():
        held = BytesIO()
        np.save(held, array, allow_pickle=True)
        found[f"{name}.npy"] = held.getvalue()
    held = BytesIO()
    np.savez(held, a=np.ones((3, 4), dtype=np.float32))
    found["several.npy"] = held.getvalue()
    found["good.safetensors"] = save_tensors({"a": np.ones((3, 4), dtype=np.float32)})
    found["two.safetensors"] = save_tensors({n: np.ones((3, 4), dtype=np.float32) for n in "ab"})
    return found


READ = ("good.npy", "half.npy", "zero.npy", "good.safetensors")
TOKENS = (b"(99999999999, 4)", b"(3, 4, 1)", b"'|O'", b"<f8", b"nan", b"\x80\x04\x95", b'"F64"')


def as_they_are(ids: list[str]) -> Drawn:
    found = Drawn(as_json(ids).encode())
    found.whole = True
    return found


@st.composite
def matrix_files(draw: Any) -> tuple[str, Drawn]:
    """A matrix, perhaps damaged, and what its file is called."""
    name = draw(st.sampled_from(sorted(matrices())))
    found = Drawn(matrices()[name])
    found.whole = name in READ
    if draw(st.booleans()):
        others = list(matrices().values())
        found = Drawn(draw(damaged(matrices()[name], others=others, tokens=TOKENS)))
    return name, found


@examples(50)
@given(matrix_files(), st.just(as_they_are(IDS)) | text_files(IDS, words=["a", "b"]))
def test_a_matrix_of_embeddings_is_read_or_refused(matrix: tuple[str, Drawn], ids: Drawn) -> None:
    name, data = matrix
    with folder() as root:
        path, rows = root / name, root / "ids.json"
        path.write_bytes(data)
        rows.write_bytes(ids)
        (root / "reports.bin.npy").write_bytes(matrices()["good.npy"])
        (root / "ids.txt").write_text("\n".join(IDS), encoding="utf-8")

        def look() -> None:
            annotator = NearestByMatrix(
                images=str(path),
                image_ids=str(rows),
                reports=str(root / "reports.bin.npy"),
                report_ids=str(root / "ids.txt"),
            )
            annotator.fingerprint()
            annotator.fit(STUDIES)
            with folder() as saved:
                annotator.save(saved)
                annotator.load(saved)
            for found in annotator.annotate([STUDIES[1], NEW]):
                assert found.similarity is None or abs(found.similarity) <= 1.001

        whole = data.whole and ids.whole
        attempt("knowledge: matrices", look, kind=DataError, names=root, whole=whole)


@examples(20)
@given(st.sampled_from(["index.json", "index.safetensors"]), st.data())
def test_a_saved_index_is_read_or_refused(file: str, data: st.DataObject) -> None:
    with folder() as root:
        (root / "rows.npy").write_bytes(matrices()["good.npy"])
        (root / "ids.txt").write_text("\n".join(IDS), encoding="utf-8")
        rows, ids = str(root / "rows.npy"), str(root / "ids.txt")

        def make() -> NearestByMatrix:
            return NearestByMatrix(images=rows, image_ids=ids, reports=rows, report_ids=ids)

        annotator = make()
        annotator.fit(STUDIES)
        annotator.save(root)
        path = root / file
        if file.endswith(".json"):
            tree = json.loads(path.read_text(encoding="utf-8"))
            text = data.draw(text_files(tree, as_json, words=["reports", "measure", "l2"]))
            path.write_bytes(text)
        else:
            tokens = [b'"rows"', b"F32", b"I64", b"[3]", b"99"]
            path.write_bytes(data.draw(damaged(path.read_bytes(), tokens=tokens), label="bytes"))

        def look() -> None:
            again = make()
            again.load(root)
            list(again.annotate([NEW]))

        attempt("knowledge: saved indices", look, kind=DataError, names=root)
