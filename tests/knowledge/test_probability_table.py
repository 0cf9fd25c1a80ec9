"""Tables of probabilities: columns by name, a row an image, and what is refused."""

import json
from pathlib import Path

import pytest

from rrg_knowledge.probability_table import ProbabilityTable
from rrgcore.annotations import Probabilities
from rrgcore.chest import OBSERVATIONS, ORDERS
from rrgcore.errors import DataError
from rrgcore.provenance import Provenance
from rrgcore.study import Study
from rrgcore.testing import check_component, make_studies

from .tables import write_rows

P = {name: i / 100 for i, name in enumerate(OBSERVATIONS)}


def ask(table: ProbabilityTable, *ids: str) -> list[Probabilities]:
    return list(table.annotate([Study(id, (), ()) for id in ids]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "probabilities.csv"


@pytest.mark.parametrize("order", ORDERS)
def test_columns_are_found_by_name_in_any_order(order: str, path: Path):
    names = ORDERS[order]
    row = ["p1", "a", *(str(P[name]) for name in names)]
    write_rows(path, ["subject_id", "study_id", *map(str.upper, names)], row)
    assert ask(ProbabilityTable(path=str(path)), "a") == [Probabilities(P)]


@pytest.mark.parametrize("order", ORDERS)
def test_without_a_header_the_order_is_named(order, path: Path):
    write_rows(path, ["a", *(str(P[name]) for name in ORDERS[order])])
    assert ask(ProbabilityTable(path=str(path), order=order), "a") == [Probabilities(P)]


def test_a_row_of_numbers_is_no_header(path: Path):
    write_rows(path, ["a", *(f"{p:.1e}" for p in P.values())])
    with pytest.raises(DataError, match=r"has no header.*`order`, one of"):
        ProbabilityTable(path=str(path)).read_given()


def test_the_rows_of_a_study_are_averaged(path: Path):
    rows = [["s12", "0.2", "1e-2"], ["b", "1", "0"], ["s12", "0.6", "0.03"]]
    write_rows(path, ["id", "Edema", "Fracture"], *rows)
    found = ask(ProbabilityTable(path=str(path)), "b", "s12")
    assert found[0] == Probabilities({"Edema": 1.0, "Fracture": 0.0})
    assert found[1].values == pytest.approx({"Edema": 0.4, "Fracture": 0.02})


def test_a_study_of_mimic_cxr_is_found_by_its_number(path: Path):
    write_rows(path, ["study_id", "Edema"], ["12", "0.2"])
    assert ask(ProbabilityTable(path=str(path)), "s12", "12") == [Probabilities({"Edema": 0.2})] * 2


@pytest.mark.parametrize("cell", ["", "nan", "1.01", "-0.1", "high", "inf"])
def test_what_is_no_probability_is_refused_by_its_line(cell: str, path: Path):
    write_rows(path, ["id", "Edema"], ["a", "0.1"], ["b", cell])
    with pytest.raises(DataError, match=rf"probabilities\.csv, line 3: '{cell}' for Edema"):
        ProbabilityTable(path=str(path)).read_given()


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (["id", "Edemma"], "names no observation"),
        (
            ["id", "Edema", "Fractur"],
            "a column 'Fractur', which is none of the 14 observations. Did",
        ),
        (["id", "Edema", "edema"], "has the column 'edema' twice"),
        (["report", "Edema"], "no column that names the study; say which one does: `id`"),
        (["Edema", "Fracture"], "has no column that names the study"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(header: list[str], sentence: str, path: Path):
    write_rows(path, header, ["x"] * len(header))
    with pytest.raises(DataError) as error:
        ProbabilityTable(path=str(path)).read_given()
    assert sentence in str(error.value)


def test_studies_without_a_row_are_named(path: Path):
    write_rows(path, ["id", "Edema"], ["a", "0.1"])
    with pytest.raises(DataError, match="no row for the study 'b' and 1 more of 3"):
        ask(ProbabilityTable(path=str(path)), "a", "b", "c")
    with pytest.raises(DataError, match="there is no table of probabilities at"):
        ProbabilityTable(path=f"{path}.not").read_given()


def test_it_says_what_the_classifier_was_trained_on_where_it_is_told(path: Path):
    write_rows(path, ["id", "Edema"], ["a", "0.1"])
    (unknown,) = ProbabilityTable(path=str(path)).artefacts()
    assert (unknown.learned_from, unknown.trusted) == (None, False)
    (trusted,) = ProbabilityTable(path=str(path), trusted=True).artefacts()
    assert trusted.trusted
    record = path.with_name("learned.json")
    record.write_text(json.dumps(Provenance.of(make_studies()).to_json()))
    (known,) = ProbabilityTable(path=str(path), learned_from=str(record)).artefacts()
    assert known.learned_from == Provenance.of(make_studies())
    record.write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        ProbabilityTable(path=str(path), learned_from=str(record)).read_given()
    with pytest.raises(DataError, match="there is no record"):
        ProbabilityTable(path=str(path), learned_from=f"{record}.not").read_given()


def test_it_keeps_the_contract_of_annotators(path: Path):
    write_rows(path, ["id", "Edema"], *([study.id, "0.1"] for study in make_studies()))
    check_component("annotator", "probability_table", path=str(path))
