"""Anybody's table: which column is what, where the images are, and what is wrong with a row."""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg_data.splits import split_by_hash
from rrg_data.table import TableDataset
from rrgcore.annotations import Labels
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study

from .tables import add_images, row, rows, write_reports


def studies(root: Path, **options: Any) -> dict[str, Study]:
    data = TableDataset(root=str(root), **options)
    return {study.id: study for split in ("train", "val", "test") for study in data.studies(split)}


def renamed(**names: str) -> list[dict[str, str]]:
    return [{names.get(key, key): value for key, value in each.items()} for each in rows()]


# ---- what is read ----------------------------------------------------------------------------


def test_studies_by_split_with_image_view_patient_and_report(tmp_path: Path):
    data = TableDataset(root=str(write_reports(tmp_path)))
    assert [[study.id for study in data.studies(s)] for s in ("train", "val", "test")] == [
        ["a", "b", "c"],
        ["d"],
        ["e"],
    ]
    study = data.studies("train")[1]
    assert study.images == (ImageRef("b.png"),)
    assert study.views == ("lateral",)
    assert study.subject == "2"
    assert study.report == "lungs of b are clear ."
    assert np.array_equal(data.open(study.images[0]), np.full((20, 16), 1, dtype=np.uint8))


@pytest.mark.parametrize(
    ("file", "delimiter"),
    [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t"), ("a.csv", "\t"), ("A.CSV", ",")],
)
def test_tables_with_any_delimiter(tmp_path: Path, file: str, delimiter: str):
    write_reports(tmp_path, file=file, delimiter=delimiter)
    assert len(studies(tmp_path)) == 5


def test_lines_of_json(tmp_path: Path):
    write_reports(tmp_path)
    lines = [json.dumps(each | {"id": number}) for number, each in enumerate(rows())]
    (tmp_path / "reports.csv").unlink()
    (tmp_path / "reports.jsonl").write_text("\n".join([*lines, ""]))
    assert list(studies(tmp_path)) == ["0", "1", "2", "3", "4"]


def test_a_packed_table(tmp_path: Path):
    path = write_reports(tmp_path) / "reports.csv"
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert len(studies(tmp_path)) == 5


def test_commas_quotes_and_line_breaks_inside_a_report(tmp_path: Path):
    text = 'Small, "stable" nodule.\nHeart: normal.'
    write_reports(tmp_path, [{**row("a"), "report": text}])
    data = TableDataset(root=str(tmp_path))
    (study,) = [study for split in ("train", "val", "test") for study in data.studies(split)]
    assert data.raw_report(study) == text


def test_columns_of_other_names_are_found_by_the_usual_ones(tmp_path: Path):
    names = {"id": "Study ID", "report": "Findings", "image": "ImagePath", "patient": "PatientId"}
    write_reports(tmp_path)
    table = renamed(**names, view="ViewPosition")
    (tmp_path / "reports.jsonl").write_text("\n".join(map(json.dumps, table)))
    found = studies(tmp_path, file="reports.jsonl")
    assert found == studies(tmp_path, file="reports.csv")


def test_columns_may_be_named(tmp_path: Path):
    write_reports(tmp_path, [each | {"text": "x", "report": "Clear."} for each in rows()])
    assert studies(tmp_path)["a"].report == "clear ."
    assert studies(tmp_path, columns={"report": "text"})["a"].report == "x ."


def test_a_column_may_be_passed_over(tmp_path: Path):
    write_reports(tmp_path)
    assert studies(tmp_path, columns={"view": None, "subject": None})["a"].views == ("unknown",)


def test_several_columns_make_one_report(tmp_path: Path):
    table = [
        row("a", findings="Clear.", impression="Normal."),
        row("b", findings="", impression="B."),
    ]
    write_reports(tmp_path, table)
    found = studies(tmp_path, columns={"report": ["findings", "impression"]})
    assert (found["a"].report, found["b"].report) == ("clear . normal .", "b .")


def test_several_columns_hold_an_image_each(tmp_path: Path):
    table = [
        row("a", side="a_lat.png", side_view="LL"),
        row("b", side="", side_view=""),
    ]
    add_images(tmp_path, ["a_lat.png"])
    write_reports(tmp_path, table)
    columns = {"image": ["image", "side"], "view": ["view", "side_view"]}
    found = studies(tmp_path, columns=columns)
    assert found["a"].images == (ImageRef("a.png"), ImageRef("a_lat.png"))
    assert found["a"].views == ("frontal", "lateral")
    assert found["b"].images == (ImageRef("b.png"),)
    assert found["b"].views == ("frontal",)


def test_columns_called_after_their_view_hold_its_images(tmp_path: Path):
    table = [
        {
            "id": "a",
            "report": "clear .",
            "PA": "a_pa.png",
            "lateral": "a_lat.png",
            "split": "train",
        },
        {"id": "b", "report": "clear .", "PA": "b_pa.png", "lateral": "", "split": "train"},
    ]
    add_images(tmp_path, ["a_pa.png", "a_lat.png", "b_pa.png"])
    write_reports(tmp_path, table)
    found = studies(tmp_path)
    assert [image.where for image in found["a"].images] == ["a_pa.png", "a_lat.png"]
    assert found["a"].views == ("frontal", "lateral")
    assert found["b"].views == ("frontal",)


def test_one_cell_holds_several_images(tmp_path: Path):
    add_images(tmp_path, ["a.png", "b.png"])
    write_reports(tmp_path, [row("z", image="")])
    (tmp_path / "reports.csv").write_text("id,report,images,views\nz,Clear.,a.png; b.png,PA;LL\n")
    study = studies(tmp_path, separator=";")["z"]
    assert study.images == (ImageRef("a.png"), ImageRef("b.png"))
    assert study.views == ("frontal", "lateral")


def test_a_list_of_json_holds_several_images(tmp_path: Path):
    add_images(tmp_path, ["a.png", "b.png"])
    line = {"id": "z", "report": "Clear.", "image": ["a.png", "b.png"], "view": ["PA", None]}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    study = studies(tmp_path)["z"]
    assert len(study.images) == 2
    assert study.views == ("frontal", "unknown")
    assert len(studies(tmp_path, max_images=1)["z"].images) == 1


def test_images_lie_in_their_folder_or_beside_the_table(tmp_path: Path):
    write_reports(tmp_path)
    (tmp_path / "images").rename(tmp_path / "scans")
    assert len(studies(tmp_path, images="scans")) == 5
    for path in (tmp_path / "scans").iterdir():
        path.rename(tmp_path / path.name)
    assert len(studies(tmp_path)) == 5


def test_a_whole_path_below_the_folder_of_images_is_that_of_an_image(tmp_path: Path):
    write_reports(tmp_path, [{**row("a"), "image": "a.png"}])
    table = [{**row("a"), "image": str(tmp_path / "images" / "a.png")}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, table)))
    assert studies(tmp_path, file="t.jsonl")["a"].images == (ImageRef("a.png"),)


@pytest.mark.parametrize(
    ("word", "split"),
    [("Training", "train"), ("validate", "val"), ("dev", "val"), ("TEST", "test")],
)
def test_splits_by_their_usual_names(tmp_path: Path, word: str, split: str):
    write_reports(tmp_path, [row("a", split=word)])
    assert len(TableDataset(root=str(tmp_path)).studies(split)) == 1


def test_annotations_and_views_come_from_sidecars(tmp_path: Path):
    write_reports(tmp_path, [{**each, "view": ""} for each in rows()])
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/labels.jsonl").write_text('{"id": "a", "value": {"Edema": 1}}')
    (tmp_path / "annotations/views.jsonl").write_text('{"id": "a", "value": ["LL"]}')
    data = TableDataset(root=str(tmp_path))
    study = data.studies("train")[0]
    assert data.annotation(study, Labels) == Labels({"Edema": 1})
    assert study.views == ("lateral",)


def test_the_fingerprint_follows_the_file_and_what_is_made_of_it(tmp_path: Path):
    write_reports(tmp_path)
    before = TableDataset(root=str(tmp_path)).fingerprint()
    assert before == TableDataset(root=str(tmp_path)).fingerprint()
    assert before["studies"] == {"train": 3, "val": 1, "test": 1}
    assert before["columns"]["report"] == ["report"]
    assert before != TableDataset(root=str(tmp_path), cleaning="none").fingerprint()
    write_reports(tmp_path, [*rows(), row("f", split="test", patient="9")])
    assert before["file_sha256"] != TableDataset(root=str(tmp_path)).fingerprint()["file_sha256"]


# ---- splits by a hash ------------------------------------------------------------------------


def many(**more: str) -> list[dict[str, str]]:
    return [row(f"s{n}", patient=f"p{n // 3}", **more) | {"image": "a.png"} for n in range(600)]


def test_without_splits_patients_are_dealt_out_in_shares(tmp_path: Path):
    data = TableDataset(root=str(write_reports(tmp_path, many())))
    patients = {
        split: {study.subject for study in data.studies(split)}
        for split in ("train", "val", "test")
    }
    assert sum(map(len, patients.values())) == 200, "no patient is in two splits"
    assert 120 < len(patients["train"]) < 160
    assert 10 < len(patients["val"]) < 32
    halves = TableDataset(root=str(tmp_path), shares=(1, 0, 1))
    assert 80 < len({study.subject for study in halves.studies("test")}) < 120
    assert list(halves.studies("val")) == []


def test_the_split_of_a_patient_does_not_hang_on_the_others(tmp_path: Path):
    whole = {study: split_by_hash(study) for study in map(str, range(50))}
    assert whole == {study: split_by_hash(study) for study in reversed(whole)}
    assert Counter(whole.values()).keys() == {"train", "val", "test"}


def test_without_patients_studies_are_dealt_out(tmp_path: Path):
    write_reports(tmp_path, [row(f"s{n}") | {"image": "a.png"} for n in range(100)])
    data = TableDataset(root=str(tmp_path))
    assert all(len(data.studies(split)) > 3 for split in ("train", "val", "test"))


def test_shares_that_are_none_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"shares are \[0, 0, 0\]; expected parts"):
        TableDataset(root=str(write_reports(tmp_path)), shares=(0, 0, 0))


# ---- what is wrong ---------------------------------------------------------------------------


@pytest.fixture
def complaint(tmp_path: Path) -> Callable[..., list[str]]:
    """Write good data, change a cell, and return the problems that the error lists."""

    def complaint(**changes: str) -> list[str]:
        write_reports(tmp_path)
        table = [*rows()]
        table[1] |= changes
        add = tmp_path / "reports.jsonl"
        add.write_text("\n".join(map(json.dumps, table)))
        with pytest.raises(DataError) as error:
            TableDataset(root=str(tmp_path), file="reports.jsonl")
        first, *lines = str(error.value).splitlines()
        assert first.startswith(f"{add}: {len(lines)} problem")
        return [line.strip() for line in lines]

    return complaint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"report": " "}, "study 'b' (train, line 2): its report is empty"),
        ({"image": ""}, "study 'b' (train, line 2): has no image"),
        ({"image": "x.png"}, "study 'b' (train, line 2): image x.png is missing"),
        (
            {"image": "../x.png"},
            "study 'b' (train, line 2): image ../x.png is outside the folder of images",
        ),
        (
            {"image": "/etc/passwd"},
            "study 'b' (train, line 2): image /etc/passwd is outside the folder of images",
        ),
        ({"id": ""}, "study '' (train, line 2): its id is \"\"; expected a word"),
        ({"split": "later"}, "1 row has the split 'later'; expected train, val or test"),
        ({"id": "a"}, "study 'a' (train, line 2): is in train, line 1, already"),
        (
            {"id": "a", "split": "test"},
            "study 'a' (test, line 2): is in train, line 1, already: a test would be on what was "
            "learned",
        ),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_line(complaint, changes: Any, said: str):
    assert complaint(**changes) == [said]


def test_everything_that_is_wrong_is_told_at_once_and_the_rest_can_be_used(tmp_path: Path):
    table = [row(f"s{n}", image="", split="train") for n in range(25)]
    write_reports(tmp_path, [*rows(), *({**each, "patient": "9"} for each in table)])
    with pytest.raises(DataError) as error:
        TableDataset(root=str(tmp_path))
    assert len(error.value.problems) == 25
    assert isinstance(error.value.rest, TableDataset)
    assert len(error.value.rest.studies("train")) == 3


def test_a_row_of_another_length_is_numbered(tmp_path: Path):
    path = write_reports(tmp_path) / "reports.csv"
    path.write_text(path.read_text() + "f,Clear.\n")
    with pytest.raises(DataError, match="line 7: has 2 values; the header has 6"):
        TableDataset(root=str(tmp_path))


def test_a_line_that_is_not_json_is_numbered(tmp_path: Path):
    write_reports(tmp_path)
    (tmp_path / "a.jsonl").write_text(json.dumps(rows()[0]) + "\n{x\n[1]\n" + "[" * 100_000)
    with pytest.raises(DataError) as error:
        TableDataset(root=str(tmp_path), file="a.jsonl")
    assert [problem.split(" (")[0] for problem in error.value.problems] == [
        "line 2: is not JSON",
        "line 3: is no mapping of columns to values",
        "line 4: is not JSON that can be read",
    ]


def test_a_column_that_is_needed_and_not_found_lists_those_there_are(tmp_path: Path):
    write_reports(tmp_path)
    path = tmp_path / "reports.csv"
    path.write_text(path.read_text().replace("report,", "befund,", 1))
    with pytest.raises(DataError) as error:
        TableDataset(root=str(tmp_path))
    assert str(error.value) == (
        f"{path}: no column for the report was found. It has the columns id, befund, image, view, "
        "split, patient; say which it is: data.columns.report=…"
    )
    assert len(studies(tmp_path, columns={"report": "befund"})) == 5


def test_a_column_that_is_misspelt_suggests_the_nearest(tmp_path: Path):
    write_reports(tmp_path)
    with pytest.raises(DataError, match=r"no column 'reprot' \(report\)\. Did you mean 'report'"):
        TableDataset(root=str(tmp_path), columns={"report": "reprot"})
    with pytest.raises(DataError, match=r"'reprot' is nothing a column can mean\. Did you mean"):
        TableDataset(root=str(tmp_path), columns={"reprot": "report"})


def test_two_columns_of_ids_are_one_too_many(tmp_path: Path):
    with pytest.raises(DataError, match=r"data\.columns\.id names 2 columns; expected one"):
        TableDataset(root=str(write_reports(tmp_path)), columns={"id": ["id", "view"]})


def test_a_folder_without_a_table_says_what_was_expected(tmp_path: Path):
    with pytest.raises(DataError, match=r"has no table\. Say which: data\.file=…\nExpected:\n"):
        TableDataset(root=str(tmp_path))
    with pytest.raises(DataError, match=r"data\.root: the folder .* does not exist"):
        TableDataset(root=str(tmp_path / "x"))


def test_of_several_tables_one_must_be_named(tmp_path: Path):
    write_reports(tmp_path)
    write_reports(tmp_path, file="more.csv")
    with pytest.raises(DataError, match=r"has several tables: more\.csv, reports\.csv\. Say which"):
        TableDataset(root=str(tmp_path))
    with pytest.raises(DataError, match=r"Tables there: more\.csv, reports\.csv"):
        TableDataset(root=str(tmp_path), file="mroe.csv")


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "is empty"), (b"id,report\n\xff", "byte 10 is not UTF-8"), (b"id,id\n", "'id' twice")],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, data: bytes, said: str):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DataError, match=said):
        TableDataset(root=str(tmp_path))


def test_a_packed_table_that_is_cut_off_is_refused(tmp_path: Path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id,report,image\n" * 50)[:-9])
    with pytest.raises(DataError, match=r"is no whole \.gz file"):
        TableDataset(root=str(tmp_path))


def test_check_data_opens_images_and_finds_patients_in_two_splits(tmp_path: Path):
    table = rows()
    table[4]["patient"] = "1"
    write_reports(tmp_path, table)
    (tmp_path / "images/b.png").write_bytes(b"")
    found = TableDataset(root=str(tmp_path)).check_data()
    assert any("b.png: is empty (0 bytes)" in problem for problem in found)
    assert any(problem.startswith("patient '1' is in train") for problem in found)
