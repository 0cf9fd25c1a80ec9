"""The annotators `organ` and `literal`: from labels to n-grams, from and to files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rrg_knowledge.ngrams import LiteralNGrams, OrganNGrams
from rrgcore.annotations import Labels, NGrams
from rrgcore.errors import DataError
from rrgcore.provenance import Provenance
from rrgcore.study import Study
from rrgcore.testing import make_study

LISTS = {
    "Edema_True": ["mild", "the", "vascular congestion", "lungs"],
    "Edema_False": ["clear"],
    "No Finding_True": ["normal", "lungs are clear"],
}
LOOSE: Mapping[str, Any] = {"min_count": 0, "min_pmi": 9.0, "frequency": 0, "cleaning": "none"}


def study(report: str | None = None, id: str = "s", **labels: int) -> Study:
    return make_study(id, report=report, annotations={Labels: Labels(labels)})


def training() -> list[Study]:
    return [
        study("mild edema seen . heart large .", "a", Edema=1),
        study("no edema seen . heart fine .", "b", Edema=0),
        study("lungs clear . heart normal .", "c"),
    ]


def write(folder: Path, name: str = "published.json", lists: Any = LISTS) -> Path:
    path = folder / name
    path.write_text(json.dumps(lists))
    return path


def ask(annotator: OrganNGrams | LiteralNGrams, *studies: Study) -> list[Mapping[str, Any]]:
    return [found.values for found in annotator.annotate(studies)]


# ---- what a study is given --------------------------------------------------------------------


def test_a_study_has_the_first_ngrams_of_each_of_its_observations(tmp_path: Path) -> None:
    organ = OrganNGrams(file=str(write(tmp_path)), top=2)
    assert ask(organ, study(Edema=1), study(Edema=-1), study(Edema=0)) == [
        {"Edema_True": ("mild", "vascular congestion")},
        {"Edema_True": ("mild", "vascular congestion")},
        {"Edema_False": ("clear",)},
    ]


def test_a_study_without_observation_has_no_finding(tmp_path: Path) -> None:
    organ = OrganNGrams(file=str(write(tmp_path)))
    assert ask(organ, study()) == [{"No Finding_True": ("normal", "lungs are clear")}]


def test_an_observation_that_the_lists_do_not_know_is_left_out(tmp_path: Path) -> None:
    organ = OrganNGrams(file=str(write(tmp_path)))
    assert ask(organ, study(Fracture=1, Edema=0), study(Fracture=1)) == [
        {"Edema_False": ("clear",)},
        {},
    ]


@pytest.mark.parametrize("kind", [OrganNGrams, LiteralNGrams])
def test_what_is_learned_comes_from_the_studies_it_was_fitted_to(kind: Any) -> None:
    annotator = kind(**LOOSE)
    annotator.fit(training())
    lists = dict(annotator.lists)
    assert "mild" in lists["Edema_True"]
    assert ask(annotator, study("fracture fracture seen .", Edema=1)) == ask(
        annotator, study(None, Edema=1)
    )
    assert annotator.lists == lists


def test_what_every_report_says_tells_nothing_by_eq_6_and_is_kept_by_organ() -> None:
    organ, literal = OrganNGrams(**LOOSE), LiteralNGrams(**LOOSE)
    organ.fit(training())
    literal.fit(training())
    assert organ.lists["Edema_True"] == ("mild", "edema", "heart")
    assert literal.lists["Edema_True"] == ("mild", "edema")


# ---- files ------------------------------------------------------------------------------------


def test_what_was_mined_is_saved_as_organ_s_json_and_loaded_again(tmp_path: Path) -> None:
    fitted, again = OrganNGrams(**LOOSE), OrganNGrams(**LOOSE)
    fitted.fit(training())
    fitted.save(tmp_path)
    again.load(tmp_path)
    saved = json.loads((tmp_path / "ngrams.json").read_text())
    assert saved == {name: list(ngrams) for name, ngrams in fitted.lists.items()}
    assert again.lists == fitted.lists


def test_a_published_file_does_not_say_what_it_was_mined_from(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    (artefact,) = OrganNGrams(file=path, trusted=True).artefacts()
    assert (artefact.learned_from, artefact.trusted) == (None, True)
    assert not OrganNGrams(file=path).artefacts()[0].trusted
    assert OrganNGrams().artefacts() == ()


def test_the_record_beside_lists_of_ours_is_read(tmp_path: Path) -> None:
    learned = Provenance.of(training())
    (tmp_path / "learned.json").write_text(json.dumps(learned.to_json()))
    ours = OrganNGrams(file=str(write(tmp_path, "ngrams.json")))
    assert ours.artefacts()[0].learned_from == learned
    stranger = OrganNGrams(file=str(write(tmp_path, "published.json")))
    assert stranger.artefacts()[0].learned_from is None
    told = OrganNGrams(file=str(stranger.file), learned_from=str(tmp_path / "learned.json"))
    assert told.artefacts()[0].learned_from == learned


def test_lists_from_a_file_are_not_saved_as_if_the_run_had_mined_them(tmp_path: Path) -> None:
    given = OrganNGrams(file=str(write(tmp_path)))
    given.fit(training())
    run = tmp_path / "run"
    run.mkdir()
    given.save(run)
    assert [path.name for path in run.iterdir()] == ["given_ngrams.json"]
    given.load(run)
    assert given.lists["Edema_True"] == tuple(LISTS["Edema_True"])


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        (["edema"], "no mapping"),
        ({"Edema": ["mild"]}, "'Edema' is no observation that is present or denied"),
        ({"Edema_True": "mild"}, "has no list of n-grams"),
        ({"Edema_True": [3]}, "has no list of n-grams"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, lists: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        OrganNGrams(file=str(write(tmp_path, lists=lists))).read_given()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no observation n-grams at .*absent\.json"):
        OrganNGrams(file=str(tmp_path / "absent.json")).read_given()


# ---- options and tables -----------------------------------------------------------------------


@pytest.mark.parametrize("option", ["top", "longest", "min_count", "frequency"])
def test_numbers_that_make_no_sense_are_refused(option: str) -> None:
    wrong: Any = {option: -1}
    with pytest.raises(ValueError, match=f"`{option}` is -1"):
        OrganNGrams(**wrong)


def test_a_record_of_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`learned_from` tells of a `file`"):
        OrganNGrams(learned_from=str(tmp_path))


def test_a_cleaning_rule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DataError, match="organ-iu"):
        OrganNGrams(cleaning="organ")


def test_the_summary_is_table_5(tmp_path: Path) -> None:
    organ = OrganNGrams(file=str(write(tmp_path)), top=1)
    assert organ.summary() == {
        "1-gram": {"pairs": 5, "n-grams": 5},
        "2-gram": {"pairs": 1, "n-grams": 1},
        "3-gram": {"pairs": 1, "n-grams": 1},
    }
    assert OrganNGrams().summary() == {}


def test_the_fingerprint_tells_files_and_options_apart(tmp_path: Path) -> None:
    one, other = write(tmp_path), write(tmp_path, "other.json", {"Edema_True": ["mild"]})
    annotators = [
        OrganNGrams(),
        LiteralNGrams(),
        OrganNGrams(top=10),
        OrganNGrams(frequency=150),
        OrganNGrams(file=str(one)),
        OrganNGrams(file=str(other)),
    ]
    assert len({annotator.fingerprint() for annotator in annotators}) == len(annotators)


def test_an_annotation_survives_json(tmp_path: Path) -> None:
    (found,) = OrganNGrams(file=str(write(tmp_path))).annotate([study(Edema=1)])
    assert NGrams.from_json(json.loads(json.dumps(found.to_json()))) == found
