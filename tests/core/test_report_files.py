"""Anybody's reports: what is read, how sides are paired, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgcore.errors import DataError
from rrgcore.scoring import Pair
from rrgcore.scoring.cautions import no_words
from rrgcore.scoring.pairing import join, load_pairs
from rrgcore.scoring.report_files import load_reports, load_splits
from rrgcore.scoring.report_rows import Reports

ROWS = [{"id": "a", "prediction": "Clear lungs."}, {"id": "b", "prediction": "An effusion, left."}]
TEXTS = ["Clear lungs.", "An effusion, left."]


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    if not isinstance(content, str):
        content = json.dumps(content)
    path.write_text(content, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n"),
        ("p.json", ROWS),
        ("p.json", "\n".join(map(json.dumps, ROWS))),
        ("p.json", {"a": TEXTS[0], "b": TEXTS[1]}),
        ("p.json", {"a": [TEXTS[0]], "b": [TEXTS[1]]}),
        (
            "p.json",
            {"train": [], "test": [{"id": r["id"], "report": r["prediction"]} for r in ROWS]},
        ),
        ("p.csv", 'id,prediction\na,Clear lungs.\nb,"An effusion, left."\n'),
        ("p.tsv", "prediction\tid\nClear lungs.\ta\nAn effusion, left.\tb\n"),
        ("p.csv", '\ufeffstudy_id,Generated\r\na,Clear lungs.\r\nb,"An effusion, left."\r\n'),
    ],
)
def test_a_file_of_any_usual_form_is_read(tmp_path: Path, name: str, content: Any) -> None:
    found = load_reports(write(tmp_path, name, content), "prediction")

    assert list(found.texts) == TEXTS
    assert list(found.ids or ()) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", "id;prediction\na;Clear lungs.\nb;An effusion, left.\n"),
        ("p.csv", "id\tgen\na\tClear lungs.\nb\tAn effusion, left.\n"),
        ("p.csv", 'id,Report Impression\na,Clear lungs.\nb,"An effusion, left."\n'),
        ("p.json", {"a": {"gen": TEXTS[0], "gt": "x"}, "b": {"gen": TEXTS[1], "gt": "y"}}),
        ("p.json", {"id": ["a", "b"], "prediction": TEXTS}),
        ("p.json", {"id": {"0": "a", "1": "b"}, "prediction": dict(zip("01", TEXTS, strict=True))}),
        ("p.json", {"study_id": ["a", "b"], "gen": TEXTS, "gt": ["x", "y"]}),
        ("p.json", {"gts": {"a": ["x"], "b": ["y"]}, "res": {"a": TEXTS[:1], "b": TEXTS[1:]}}),
    ],
)
def test_what_other_programs_write_is_read(tmp_path: Path, name: str, content: Any) -> None:
    found = load_reports(write(tmp_path, name, content), "prediction")

    assert (list(found.texts), list(found.ids or ())) == (TEXTS, ["a", "b"])


def test_columns_that_are_lists_are_paired(tmp_path: Path) -> None:
    path = write(tmp_path, "p.json", {"gen": TEXTS, "gt": ["x", "y"]})
    assert load_pairs(path) == [Pair("1", TEXTS[0], "x"), Pair("2", TEXTS[1], "y")]

    with pytest.raises(DataError, match="columns of one length; found 2 in gen, 1 in gt"):
        load_pairs(write(tmp_path, "p.json", {"gen": TEXTS, "gt": ["x"]}))


def test_a_column_without_a_header_is_a_report_a_line(tmp_path: Path) -> None:
    """As R2Gen writes `res.csv` and `gts.csv`."""
    path = write(tmp_path, "res.csv", 'the lungs are clear .\n"heart , enlarged ."\n""\n')

    found = load_reports(path, "prediction")
    assert list(found.texts) == ["the lungs are clear .", "heart , enlarged .", ""]
    assert (found.ids, found.column) == (None, None)

    with pytest.raises(DataError, match="no column looks like the predictions"):
        load_reports(write(tmp_path, "res.csv", "words\nthe lungs are clear .\n"), "prediction")


def test_what_pandas_writes_of_a_column_without_a_name_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "res.csv", f',0\n0,{TEXTS[0]}\n1,"{TEXTS[1]}"\n')
    found = load_reports(path, "prediction")
    assert (list(found.texts), found.ids) == (TEXTS, None)


def test_predictions_that_are_nan_are_told_of() -> None:
    pairs = [Pair("a", "nan", "x"), Pair("b", "NaN ", "x"), Pair("c", "none seen", "x")]
    assert str(no_words(pairs)).startswith("2 of 3 predictions are 'nan' or the like")
    assert no_words(pairs[2:]) is None


def test_reports_of_image_files_do_not_go_with_studies() -> None:
    with pytest.raises(
        DataError, match=r"(?s)a report for each image file.* rrg predict RUN TABLE"
    ):
        join(
            Reports("p.jsonl", ["x"], ["images/a/0.png"]), Reports("annotation.json", ["x"], ["a"])
        )


def test_anything_else_is_one_report_a_line(tmp_path: Path) -> None:
    """An empty line is an empty report: the model wrote nothing."""
    found = load_reports(write(tmp_path, "p.txt", "clear lungs .\r\n\nan effusion ."), "prediction")

    assert list(found.texts) == ["clear lungs .", "", "an effusion ."]
    assert found.ids is None


def test_a_report_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", 'id,report\na,"Clear.\nNo effusion."\n')

    assert list(load_reports(path, "reference").texts) == ["Clear.\nNo effusion."]


def test_columns_are_taken_by_name_where_they_are_given(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "case,report,other\n7,mine,yours\n")
    found = load_reports(path, "prediction", column="other", id_column="case")

    assert (list(found.texts), list(found.ids or ())) == (["yours"], ["7"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.jsonl", '{"id": "a"', ["p.jsonl, line 1: is not JSON"]),
        ("p.jsonl", "[1]", ["p.jsonl, line 1: expected"]),
        ("p.jsonl", '{"id": "a", "prediction": 3}', ["line 1: its 'prediction' is 3"]),
        ("p.jsonl", '{"id": null, "prediction": "x"}', ["line 1: its 'id' is None"]),
        ("p.jsonl", '{"id": "a", "prediction": "x"}\n{"id": "b"}', ["line 2: has no 'prediction'"]),
        (
            "p.jsonl",
            '{"id":"a","pred":"x"}\n{"id":"a","pred":"y"}',
            [
                "1 of 1 ids come more than once: a. 'a' is report 1 and 2",
                "name another column with --id-column",
            ],
        ),
        ("p.jsonl", '{"id": "a", "pred": "\\ud83d"}', ["line 1: its 'pred' has half a surrogate"]),
        ("p.jsonl", "", ["is empty"]),
        ("p.jsonl", "[" * 100_000, ["line 1: is nested too deeply"]),
        ("p.json", "[" * 100_000, ["is nested too deeply"]),
        ("p.txt", "", ["is empty"]),
        ("p.json", "{", ["line 1, column 2: is not JSON"]),
        ("p.json", "3", ["expected a list of rows, or a mapping of id to report"]),
        ("p.json", {"a": 1}, ["expected a mapping of id to report"]),
        ("p.json", {"train": [{"id": "a"}]}, ["has no rows of split 'test'; it has train"]),
        (
            "p.csv",
            "id,words\na,x\n",
            ["no column looks like the predictions", "Columns: id, words"],
        ),
        ("p.csv", "id,prediction\na,x,y\n", ["line 2: has more cells", "must be quoted"]),
        ("p.csv", 'id,prediction\na,"x\n', ["is not CSV"]),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: Any, said: list[str]
) -> None:
    with pytest.raises(DataError) as error:
        load_reports(write(tmp_path, name, content), "prediction")
    for text in said:
        assert text in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"clear\n\xff\n")

    with pytest.raises(DataError, match="byte 6 is not UTF-8"):
        load_reports(tmp_path / "p.txt", "prediction")


def test_a_column_that_is_not_there_gets_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "id,generated_text\na,x\n")

    with pytest.raises(
        DataError, match=r"no column 'generatd_text'.* Did you mean 'generated_text'"
    ):
        load_reports(path, "prediction", column="generatd_text")


@pytest.mark.parametrize("name", ["ID", "Study_ID", "study id", "Image_Id"])
def test_ids_are_found_however_they_are_spelt(tmp_path: Path, name: str) -> None:
    """Else shuffled files would be paired by order, in silence."""
    found = load_reports(write(tmp_path, "p.csv", f"{name},Report\na,x\nb,y\n"), "prediction")

    assert list(found.ids or ()) == ["a", "b"]


# ---- pairing -------------------------------------------------------------------------------------


def reports(where: str, *texts: str, ids: str | None = None) -> Reports:
    return Reports(where, texts, list(ids) if ids is not None else None)


def test_sides_are_joined_by_id_in_the_order_of_the_references() -> None:
    found = join(reports("h", "x", "y", ids="ab"), reports("r", "1", "2", ids="ba"))

    assert found == [Pair("b", "y", "1"), Pair("a", "x", "2")]


def test_without_ids_in_both_they_are_paired_by_order() -> None:
    assert join(reports("h", "x", "y"), reports("r", "1", "2", ids="ab")) == [
        Pair("a", "x", "1"),
        Pair("b", "y", "2"),
    ]
    assert [pair.id for pair in join(reports("h", "x"), reports("r", "1"))] == ["1"]


def test_a_count_that_does_not_agree_names_the_first_without_a_partner() -> None:
    with pytest.raises(DataError) as error:
        join(reports("h.txt", "x"), reports("r.json", "1", "2", "3", ids="abc"))

    assert str(error.value) == (
        "h.txt has 1 reports and r.json has 3; without ids in both they are paired by order, and "
        "the first that have no partner: b, c"
    )


def test_ids_that_do_not_agree_are_named_on_both_sides() -> None:
    with pytest.raises(DataError) as error:
        join(reports("h", *"xyzuvw!", ids="abdefgh"), reports("r", *"123", ids="abc"))

    assert str(error.value) == (
        "ids do not agree: 1 of 3 in r have none in h: c;\n"
        "5 of 7 in h are unknown to r: d, e, f, g, h"
    )


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.randoms())
def test_a_shuffled_file_pairs_the_same(ids: list[str], random: Any) -> None:
    shuffled = ids.copy()
    random.shuffle(shuffled)
    found = join(Reports("h", shuffled, shuffled), Reports("r", ids, ids))

    assert [pair.id for pair in found] == ids
    assert all(pair.prediction == pair.reference == pair.id for pair in found)


def test_a_file_with_both_sides_needs_no_other(tmp_path: Path) -> None:
    rows = [{"id": "a", "prediction": "x", "reference": "x", "logprob": -1.0}]

    assert load_pairs(write(tmp_path, "p.jsonl", json.dumps(rows[0]))) == [Pair("a", "x", "x")]


def test_a_file_with_one_text_a_row_is_not_scored_against_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds one text a row"):
        load_pairs(write(tmp_path, "p.csv", "id,report\na,x\n"))


def test_the_splits_of_r2gens_file_are_read_together(tmp_path: Path) -> None:
    rows = {"train": [{"id": "a", "report": "x"}], "val": [], "test": [{"id": "b", "report": "y"}]}

    assert load_splits(write(tmp_path, "annotation.json", rows)) == {"train": ["x"], "test": ["y"]}
    assert load_splits(write(tmp_path, "p.json", {"a": "x"})) == {}
    assert load_splits(write(tmp_path, "p.txt", "x\n")) == {}
