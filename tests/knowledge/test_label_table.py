"""Tables of labels: any order of columns by name, and what is refused."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from rrg_knowledge.label_table import LabelTable, Order
from rrgcore.annotations import Labels
from rrgcore.chest import OBSERVATIONS, ORDERS
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.testing import check_component, make_studies

from .tables import write_label_table, write_rows

LABELS = {"Edema": 1, "Pneumothorax": 0, "Lung Lesion": -1}


def study(id: str, report: str | None = None) -> Study:
    return Study(id, (), (), report)


def cells_of(labels: Mapping[str, object], order: Sequence[str]) -> list[str]:
    return [str(labels.get(name, "")) for name in order]


def labels_of(table: LabelTable, *ids: str) -> list[Mapping[str, int]]:
    return [labels.values for labels in table.annotate([study(id) for id in ids])]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


# ---- what is read ---------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_columns_are_found_by_name_in_any_order(order: str, path: Path) -> None:
    names = ORDERS[order]
    write_rows(path, ["subject_id", "study_id", *names], ["1", "a", *cells_of(LABELS, names)])
    assert labels_of(LabelTable(path=str(path)), "a") == [LABELS]


@pytest.mark.parametrize("order", ORDERS)
def test_without_a_header_the_order_is_named(order: Order, path: Path) -> None:
    write_rows(path, ["a", *cells_of(LABELS, ORDERS[order])])
    assert labels_of(LabelTable(path=str(path), order=order), "a") == [LABELS]


@pytest.mark.parametrize("blank", ["", " ", "NaN", "nan", "None", "null"])
def test_a_blank_cell_is_not_mentioned(blank: str, path: Path) -> None:
    row = cells_of({**dict.fromkeys(OBSERVATIONS, blank), "Edema": "1"}, OBSERVATIONS)
    write_rows(path, ["id", *OBSERVATIONS], ["a", *row])
    assert labels_of(LabelTable(path=str(path)), "a") == [{"Edema": 1}]


def test_values_may_be_written_as_floats(path: Path) -> None:
    row = cells_of({"Edema": "1.0", "Pneumothorax": "0.0", "Fracture": "-1.0"}, OBSERVATIONS)
    write_rows(path, ["id", *OBSERVATIONS], ["a", *row])
    (found,) = labels_of(LabelTable(path=str(path)), "a")
    assert found == {"Edema": 1, "Pneumothorax": 0, "Fracture": -1}
    assert all(type(value) is int for value in found.values())


def test_the_column_of_ids_can_be_named(path: Path) -> None:
    write_rows(
        path, ["id", "accession", *OBSERVATIONS], ["x", "a", *cells_of(LABELS, OBSERVATIONS)]
    )
    assert labels_of(LabelTable(path=str(path), id="Accession"), "a") == [LABELS]


def test_a_labeler_s_output_is_found_by_its_text(path: Path) -> None:
    text = "Mild edema.\nNo pneumothorax."
    write_rows(path, ["Report Impression", *OBSERVATIONS], [text, *cells_of(LABELS, OBSERVATIONS)])
    table = LabelTable(path=str(path))
    assert table.from_report
    (found,) = table.annotate([study("any", "Mild edema. No  pneumothorax. ")])
    assert found.values == LABELS
    with pytest.raises(DataError, match="no row for the report 'Large effusion'"):
        list(table.annotate([study("any", "Large effusion")]))


def test_labels_of_reports_tell_what_the_report_says_and_labels_of_images_do_not(
    path: Path,
) -> None:
    write_label_table(path, ["a"])
    table, seen = LabelTable(path=str(path)), LabelTable(path=str(path), made_from="images")
    assert (table.from_report, table.by_id) == (True, True)
    assert (seen.from_report, seen.by_id) == (False, True)
    assert labels_of(table, "a") == labels_of(seen, "a")
    check_component(
        "annotator",
        "label_table",
        path=write_label_table(path, [study.id for study in make_studies()]),
        made_from="images",
    )


def test_what_is_found_by_its_text_was_made_from_reports(path: Path) -> None:
    write_rows(path, ["report", *OBSERVATIONS], ["clear", *cells_of(LABELS, OBSERVATIONS)])
    table = LabelTable(path=str(path))
    assert (table.from_report, table.by_id) == (True, False)
    with pytest.raises(ValueError, match="its labels were made from reports"):
        LabelTable(path=str(path), made_from="images").read_given()


def test_a_compressed_table_of_mimic_cxr_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz"
    names = ORDERS["alphabetical"]
    lines = [["subject_id", "study_id", *names], ["1", "50414267", *cells_of(LABELS, names)]]
    path.write_bytes(gzip.compress("\n".join(map(",".join, lines)).encode()))
    table = LabelTable(path=str(path))
    assert labels_of(table, "50414267", "s50414267") == [LABELS, LABELS]


def test_an_index_that_pandas_wrote_is_no_observation(path: Path) -> None:
    write_rows(path, ["", "id", *OBSERVATIONS], ["0", "a", *cells_of(LABELS, OBSERVATIONS)])
    assert labels_of(LabelTable(path=str(path)), "a") == [LABELS]


def test_a_study_in_two_rows_that_agree_is_one(path: Path) -> None:
    row = ["a", *cells_of(LABELS, OBSERVATIONS)]
    write_rows(path, ["id", *OBSERVATIONS], row, row)
    assert labels_of(LabelTable(path=str(path)), "a") == [LABELS]


def test_labels_say_which_file_they_are_from(path: Path) -> None:
    write_rows(path, ["id", *OBSERVATIONS], ["a", *cells_of({"Edema": 1}, OBSERVATIONS)])
    (found,) = LabelTable(path=str(path)).annotate([study("a")])
    assert found == Labels({"Edema": 1}, {"Edema": "labels.csv"})


def test_the_fingerprint_tells_one_content_from_another(path: Path) -> None:
    write_rows(path, ["id", *OBSERVATIONS], ["a", *cells_of({"Edema": 1}, OBSERVATIONS)])
    before = LabelTable(path=str(path)).fingerprint()
    write_rows(path, ["id", *OBSERVATIONS], ["a", *cells_of({"Edema": 0}, OBSERVATIONS)])
    assert LabelTable(path=str(path)).fingerprint() != before


def test_it_keeps_the_contract_of_annotators(path: Path) -> None:
    ids = [study.id for study in make_studies()]
    check_component("annotator", "label_table", path=write_label_table(path, ids))


# ---- what is refused ------------------------------------------------------------------------


def refusal(path: Path, *rows: Sequence[str], **options: str) -> str:
    if rows:
        write_rows(path, *rows)
    with pytest.raises((DataError, ValueError)) as raised:
        LabelTable(path=str(path), **options).read_given()  # type: ignore[arg-type]
    return str(raised.value)


def test_studies_without_a_row_are_named(path: Path) -> None:
    write_rows(path, ["id", *OBSERVATIONS], ["a", *cells_of(LABELS, OBSERVATIONS)])
    table = LabelTable(path=str(path))
    with pytest.raises(DataError) as raised:
        next(table.annotate([study(id) for id in ("a", "b", "c", "d", "e")]))
    assert str(raised.value) == (
        f"{path} has no row for 4 of 5 studies 'b', 'c', 'd' and 1 more. It has 1, the first for "
        "'a'. A report without labels is not one without findings: label it, or leave it out"
    )


def test_an_unknown_observation_is_refused_with_the_nearest(path: Path) -> None:
    names = [*OBSERVATIONS, "Pleural Efusion"]
    assert "'Pleural Efusion', which is none of the 14 observations. Did you mean 'Pleural Eff" in (
        refusal(path, ["id", *names], ["a", *cells_of(LABELS, names)])
    )


def test_a_missing_observation_is_refused(path: Path) -> None:
    names = [name for name in OBSERVATIONS if name != "Fracture"]
    message = refusal(path, ["id", *names], ["a", *cells_of(LABELS, names)])
    assert "has no column for Fracture; a table names all 14" in message


def test_a_table_without_ids_lists_its_columns(path: Path) -> None:
    message = refusal(path, ["split", *OBSERVATIONS], ["test", *cells_of(LABELS, OBSERVATIONS)])
    assert "no column that names the study (study_id, id" in message
    assert "Columns: split, No Finding, Enlarged" in message


def test_a_named_column_that_is_absent_is_refused_with_the_nearest(path: Path) -> None:
    rows = ["accession", *OBSERVATIONS], ["a", *cells_of(LABELS, OBSERVATIONS)]
    assert "no column 'acession'. Did you mean 'accession'?" in refusal(path, *rows, id="acession")


def test_a_file_without_a_header_must_name_its_order(path: Path) -> None:
    message = refusal(path, ["a", *cells_of(LABELS, OBSERVATIONS)])
    assert "has no header: its first line is of values (a, , , " in message
    assert "`order`, one of chexpert-labeler, chexpert-csv, chexbert, alphabetical" in message


def test_a_header_of_other_things_is_told_of(path: Path) -> None:
    message = refusal(path, ["a", "b", "c"])
    assert "names no observation (a, b, c). Where the file has no header" in message


def test_a_header_beside_an_order_is_refused(path: Path) -> None:
    rows = ["id", *OBSERVATIONS], ["a", *cells_of(LABELS, OBSERVATIONS)]
    assert "leave `order: chexbert` away" in refusal(path, *rows, order="chexbert")


def test_a_file_without_a_header_needs_the_id(path: Path) -> None:
    message = refusal(path, cells_of(LABELS, OBSERVATIONS), order="chexbert")
    assert "has 14 columns; without a header it must have 15" in message


def test_a_value_that_is_none_is_refused_with_its_line(path: Path) -> None:
    row = cells_of({"Edema": "2"}, OBSERVATIONS)
    message = refusal(path, ["id", *OBSERVATIONS], ["a", *row])
    assert "line 2: '2' for Edema; expected 1 positive, 0 negative, -1 uncertain" in message


def test_a_study_that_is_labelled_twice_otherwise_is_refused(path: Path) -> None:
    rows = (["a", *cells_of({"Edema": value}, OBSERVATIONS)] for value in "10")
    assert "line 3: 'a' has other labels" in refusal(path, ["id", *OBSERVATIONS], *rows)


def test_a_row_of_another_length_is_refused(path: Path) -> None:
    row = ["a", *cells_of(LABELS, OBSERVATIONS)][:-1]
    assert "line 2: has 14 cells; the first line has 15" in refusal(
        path, ["id", *OBSERVATIONS], row
    )


def test_a_column_twice_is_refused(path: Path) -> None:
    rows = ["id", *OBSERVATIONS, "edema"], ["a", *cells_of(LABELS, OBSERVATIONS), "1"]
    assert "has the column 'edema' twice" in refusal(path, *rows)


def test_options_that_contradict_each_other_are_refused(path: Path) -> None:
    assert "not both `id` and `report`" in refusal(path, id="a", report="b")
    assert "is for a file without a header" in refusal(path, order="chexbert", id="a")


def test_a_file_that_cannot_be_read_is_named(path: Path) -> None:
    assert f"there is no table of labels at {path}" in refusal(path)
    path.write_bytes(b"id,\xff\n")
    assert "is not UTF-8" in refusal(path)
    path.write_text("")
    assert "is empty" in refusal(path)
    broken = path.with_suffix(".csv.gz")
    broken.write_bytes(b"no gzip")
    assert "cannot be read" in refusal(broken)
