"""Files of reports that others wrote: odd encodings, rows, ids; each is scored or refused."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgcore.errors import UserError
from rrgcore.scoring.cautions import cautions_of
from rrgcore.scoring.judging import read_pairs, score, training_reports
from rrgcore.scoring.report_files import load_reports, load_splits
from rrgcore.scoring.systems import load_systems

from .harness import attempt, examples, installed
from .mutations import Drawn, as_csv, as_json, as_json_lines, text_files

IDS = ("a", "b", "c")
TEXTS = ("no pleural effusion .", "the heart is large .", "clear, as before")
ROWS = [
    {"id": id, "prediction": text, "reference": text.replace("no", "a")}
    for id, text in zip(IDS, TEXTS, strict=True)
]
SPLITS = {
    split: [{"id": id, "report": text} for id, text in zip(IDS, TEXTS, strict=True)]
    for split in ("train", "val", "test")
}
WORDS = ("id", "study_id", "prediction", "reference", "report", "text", "test", "train", "oracle")


def lines_of(rows: Any) -> str:
    return as_json_lines(rows if isinstance(rows, list) else [rows])


def plain_of(rows: Any) -> str:
    rows = rows if isinstance(rows, list) else [rows]
    return "".join(f"{row}\n" for row in rows).encode("utf-8", "replace").decode()


KINDS: dict[str, tuple[Any, Any]] = {
    "rows.jsonl": (ROWS, lines_of),
    "lines.json": (ROWS, lines_of),
    "rows.json": (ROWS, as_json),
    "ids.json": (dict(zip(IDS, TEXTS, strict=True)), as_json),
    "lists.json": ({id: [text] for id, text in zip(IDS, TEXTS, strict=True)}, as_json),
    "splits.json": (SPLITS, as_json),
    "table.csv": ([list(ROWS[0]), *(list(row.values()) for row in ROWS)], as_csv),
    "table.tsv": (
        [list(ROWS[0]), *(list(row.values()) for row in ROWS)],
        lambda t: as_csv(t, "\t"),
    ),
    "rows by id.json": ({row["id"]: row for row in ROWS}, as_json),
    "columns.json": ({key: [row[key] for row in ROWS] for key in ROWS[0]}, as_json),
    "gts.json": (
        {
            "gts": {id: [text] for id, text in zip(IDS, TEXTS, strict=True)},
            "res": dict.fromkeys(IDS, "x"),
        },
        as_json,
    ),
    "semicolons.csv": (
        [list(ROWS[0]), *(list(row.values()) for row in ROWS)],
        lambda t: as_csv(t, ";"),
    ),
    "headless.csv": ([[text] for text in TEXTS], as_csv),
    "plain.txt": (list(TEXTS), plain_of),
    "plain": (list(TEXTS), plain_of),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_changed_is_read_as_it_stands(tmp_path: Path, name: str) -> None:
    tree, write = KINDS[name]
    (tmp_path / name).write_text(write(tree), encoding="utf-8")
    assert len(load_reports(tmp_path / name, "prediction")) == len(TEXTS)


BOTH = {"rows.jsonl", "lines.json", "rows.json", "table.csv", "table.tsv"}
"""Which hold predictions and references."""


@st.composite
def report_files(draw: Any) -> tuple[str, Drawn]:
    """A file of reports, and what it is called."""
    name = draw(st.sampled_from(sorted(KINDS)))
    tree, write = KINDS[name]
    text = draw(text_files(tree, write, words=WORDS))
    if draw(st.integers(0, 9)) == 0:  # as other programs save it
        encoding = draw(st.sampled_from(["utf-16", "utf-32", "latin-1", "utf-8-sig"]))
        again = Drawn(text.decode("utf-8", "replace").encode(encoding, "replace"))
        again.whole = text.whole and encoding == "utf-8-sig"
        return name, again
    return name, text


@examples(70)
@given(report_files(), st.sampled_from(["prediction", "reference"]))
def test_a_file_of_reports_is_read_or_refused(file: tuple[str, Drawn], side: Any) -> None:
    name, text = file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(text)

        def look() -> None:
            found = load_reports(path, side)
            for report in found.texts:
                report.encode()
            assert found.ids is None or len(found.ids) == len(found.texts)
            load_splits(path)
            training_reports(path)
            cautions_of(path)

        attempt(f"predictions: {name}", look, kind=UserError, names=path, whole=text.whole)


@examples(20)
@given(report_files(), report_files())
def test_two_files_are_paired_or_refused(
    written: tuple[str, Drawn], expected: tuple[str, Drawn]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for side, (name, text) in (("mine", written), ("theirs", expected)):
            paths.append(Path(folder) / side / name)
            paths[-1].parent.mkdir()
            paths[-1].write_bytes(text)
        attempt("predictions: pairs", lambda: read_pairs(paths[0], paths[1]), names=folder)
        attempt("predictions: one file", lambda: read_pairs(paths[0], None), names=folder)
        attempt("predictions: systems", lambda: load_systems(paths), names=folder)


@examples(6)
@given(report_files())
def test_a_file_is_scored_or_refused(file: tuple[str, Drawn]) -> None:
    name, text = file
    with tempfile.TemporaryDirectory() as folder:
        path, references = Path(folder) / name, Path(folder) / "references.json"
        path.write_bytes(text)
        references.write_text(json.dumps(KINDS["ids.json"][0]), encoding="utf-8")

        def look() -> None:
            found = score(
                path,
                None if name in BOTH else references,
                protocols=["r2gen"],
                options=["r2gen.meteor=false"],
                train=TEXTS,
                plugins=installed(),
            )
            json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False).encode()

        attempt(
            "predictions: scored", look, names=folder, whole=text.whole and name != "splits.json"
        )


RECORD = {"recipe": "tiny", "variants": ["short"], "data": {"dataset": "phantom"}}
RECIPE = {"seed": 3, "data": {"name": "phantom"}}
OLD = {"cautions": ["Phantoms."], "test": {"BLEU-1": 0.5}}


FILES = {
    "run.json": (RECORD, as_json, ["recipe", "variants", "data"]),
    "recipe.yaml": (RECIPE, as_json, ["seed", "data"]),
    "scores.json": (OLD, as_json, ["cautions"]),
    "predictions.jsonl": (ROWS, lines_of, WORDS),
}


@st.composite
def run_files(draw: Any) -> tuple[str, Drawn]:
    """One of a run's files, changed."""
    name = draw(st.sampled_from(sorted(FILES)))
    tree, write, words = FILES[name]
    return name, draw(text_files(tree, write, words=words))


@examples(30)
@given(run_files())
def test_a_run_is_compared_or_refused(file: tuple[str, Drawn]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        for name, (tree, write, _) in FILES.items():
            (run / name).write_text(write(tree), encoding="utf-8")
        name, text = file
        (run / name).write_bytes(text)

        def look() -> None:
            load_systems([run])
            cautions_of(run)

        attempt(f"runs: {name}", look, names=run, whole=text.whole)
