"""The report that stands in for a study's own: found among the training reports of others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from rrg_knowledge.nearest_by_matrix import NearestByMatrix
from rrg_knowledge.nearest_by_probabilities import NearestByProbabilities
from rrg_knowledge.nearest_by_run import NearestByRun
from rrgcore.annotations import NearestReport, Probabilities
from rrgcore.errors import DataError, RunError
from rrgcore.provenance import Provenance
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Workbench
from rrgcore.testing import FakeDataset, check_component, make_studies, make_study

from .tiny_run import write_run


def seen(id: str, report: str | None, *, edema: float, mass: float = 0.5, **whose: Any) -> Study:
    values = Probabilities({"Edema": edema, "Lung Lesion": mass})
    return Study(id, (ImageRef(id),), ("frontal",), report, {Probabilities: values}, **whose)


def fitted(studies: Sequence[Study], **options: Any) -> NearestByProbabilities:
    nearest = NearestByProbabilities(**options)
    nearest.fit(studies)
    return nearest


TRAINING = [
    seen("a", "mild edema .", edema=0.9, subject="p1"),
    seen("b", "a mass .", edema=0.1, mass=0.9, subject="p2"),
    seen("c", "normal .", edema=0.05, mass=0.05, subject="p3"),
    seen("d", "Mild edema .", edema=0.85, subject="p4"),
    seen("e", "severe edema .", edema=0.99, subject="p5"),
]


def ask(nearest: Any, *studies: Study) -> list[NearestReport]:
    return list(nearest.annotate(studies))


# ---- what is found --------------------------------------------------------------------------


def test_a_study_with_a_report_gets_its_own():
    (found,) = ask(fitted(TRAINING), TRAINING[0])
    assert found == NearestReport("mild edema .", "a", None)


@pytest.mark.parametrize("measure", ["l2", "cosine"])
def test_a_study_without_one_gets_that_of_the_most_similar_training_study(measure: str):
    asked = seen("new", None, edema=0.12, mass=0.88)
    (found,) = ask(fitted(TRAINING, measure=measure), asked)
    assert (found.study, found.text) == ("b", "a mass .")
    apart = np.hypot(*[np.log(0.9 / 0.1) - np.log(0.88 / 0.12)] * 2)
    assert found.similarity == pytest.approx(-apart if measure == "l2" else 1, abs=1e-4)


def test_several_reports_are_joined_the_nearest_first():
    (found,) = ask(fitted(TRAINING, k=2, dedupe=False), seen("new", None, edema=0.89))
    assert (found.study, found.text) == ("a, d", "mild edema . Mild edema .")


def test_of_several_reports_none_says_what_another_says_already():
    (found,) = ask(fitted(TRAINING, k=2), seen("new", None, edema=0.89))
    assert (found.study, found.text) == ("a, e", "mild edema . severe edema .")


def test_no_more_reports_are_found_than_there_are():
    (found,) = ask(fitted(TRAINING, k=50), seen("new", None, edema=0.89))
    assert found.text.lower().count("edema") == 2
    assert len(found.study.split(", ")) == 4


@pytest.mark.parametrize(
    "same", [{"id": "a"}, {"subject": "p1"}, {"examination": "x1"}], ids=["id", "patient", "exam"]
)
def test_a_training_study_never_finds_its_own_report(same: Mapping[str, str]):
    first = replace(TRAINING[0], examination="x1")
    asked = seen(**{"id": "new", "report": None, "edema": 0.9, **same})
    (found,) = ask(fitted([first, *TRAINING[1:]]), asked)
    assert found.study == "d"


def test_who_is_the_only_patient_finds_nothing():
    nearest = fitted([TRAINING[0], seen("f", "clear .", edema=0.1, subject="p1")])
    with pytest.raises(DataError, match="no report is left for study 'g': all 2 of the training"):
        ask(nearest, seen("g", None, edema=0.2, subject="p1"))


def test_a_training_study_without_words_is_not_found():
    nearest = fitted([seen("a", " .", edema=0.9), TRAINING[1]])
    (found,) = ask(nearest, seen("new", None, edema=0.9))
    assert found.study == "b"
    with pytest.raises(DataError, match="no training study has a report"):
        fitted([seen("a", " .", edema=0.9)])


def test_probabilities_of_other_observations_are_refused():
    strange = {Probabilities: Probabilities({"X": 1.0})}
    other = replace(TRAINING[0], report=None, annotations=strange)
    with pytest.raises(DataError, match="study 'a' has probabilities of X; the training studies"):
        ask(fitted(TRAINING), other)


def test_a_certain_probability_has_a_logit():
    nearest = fitted([seen("a", "edema .", edema=1.0), seen("b", "clear .", edema=0.0)])
    (found,) = ask(nearest, seen("new", None, edema=1.0))
    assert (found.study, found.similarity) == ("a", 0)


def test_an_index_that_was_saved_finds_the_same(tmp_path: Path):
    nearest, asked = fitted(TRAINING, k=2), seen("d", None, edema=0.88)
    nearest.save(tmp_path)
    again = NearestByProbabilities(k=2)
    again.load(tmp_path)
    assert ask(again, asked) == ask(nearest, asked)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        again.load(tmp_path)


# ---- by embeddings made elsewhere -----------------------------------------------------------


@pytest.fixture
def matrices(tmp_path: Path) -> dict[str, str]:
    """Embeddings of TRAINING's reports, of one more, and of two images of one study."""
    reports = np.eye(6, dtype=np.float32) * 3
    save_file({"reports": reports}, tmp_path / "reports.safetensors")
    (tmp_path / "reports.json").write_text(json.dumps(["a", "b", "c", "d", "e", "of test"]))
    images = np.zeros((3, 6), dtype=np.float16)
    images[0, 1], images[1, 2], images[1, 1], images[2, 5] = 100, 0.5, 0.1, 2
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "images.txt").write_text("new\nnew\nof test\n")
    return {
        "images": str(tmp_path / "images.npy"),
        "image_ids": str(tmp_path / "images.txt"),
        "reports": str(tmp_path / "reports.safetensors"),
        "report_ids": str(tmp_path / "reports.json"),
    }


def by_matrix(options: Mapping[str, str]) -> NearestByMatrix:
    nearest = NearestByMatrix(**options)
    nearest.fit(TRAINING)
    return nearest


def test_rows_are_compared_at_unit_length_and_a_study_s_images_averaged(matrices: dict[str, str]):
    (found,) = ask(by_matrix(matrices), Study("new", (), ()))
    mean = (np.array([1, 0]) + np.array([0.1, 0.5]) / np.hypot(0.1, 0.5)) / 2
    assert found.study == "b"
    assert found.similarity == pytest.approx(mean[0] / np.hypot(*mean), abs=1e-3)


def test_only_reports_of_the_training_split_are_found(matrices: dict[str, str]):
    (found,) = ask(by_matrix(matrices), Study("of test", (), ()))
    assert found.study in "abcde"
    assert found.similarity == 0


def test_a_study_without_a_row_is_named(matrices: dict[str, str]):
    with pytest.raises(DataError, match=r"images\.npy has no row for the study 'other'. It has 2"):
        ask(by_matrix(matrices), Study("other", (), ()))
    with pytest.raises(DataError, match=r"reports\.safetensors has no row for the study 'f'"):
        NearestByMatrix(**matrices).fit([seen("f", "clear .", edema=0.1)])


def test_a_matrix_that_does_not_fit_is_refused(matrices: dict[str, str], tmp_path: Path):
    (tmp_path / "short.txt").write_text("new\n")
    with pytest.raises(DataError, match=r"has 3 rows, and .*short\.txt 1 ids"):
        NearestByMatrix(**{**matrices, "image_ids": str(tmp_path / "short.txt")}).read_given()
    np.save(tmp_path / "narrow.npy", np.ones((3, 2)))
    with pytest.raises(DataError, match=r"has rows of 2 numbers, .* of 6"):
        NearestByMatrix(**{**matrices, "images": str(tmp_path / "narrow.npy")}).read_given()
    np.save(tmp_path / "odd.npy", np.full((3, 6), np.nan))
    with pytest.raises(DataError, match="not finite"):
        NearestByMatrix(**{**matrices, "images": str(tmp_path / "odd.npy")}).read_given()
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        NearestByMatrix(**{**matrices, "images": str(tmp_path / "pickled.npy")}).read_given()


def test_embeddings_say_what_they_were_learned_from(matrices: dict[str, str], tmp_path: Path):
    (unknown,) = NearestByMatrix(**matrices, trusted=True).artefacts()
    assert (unknown.learned_from, unknown.trusted) == (None, True)
    record = tmp_path / "learned.json"
    record.write_text(json.dumps(Provenance.of(TRAINING).to_json()))
    (known,) = NearestByMatrix(**matrices, learned_from=str(record)).artefacts()
    assert known.learned_from is not None
    assert known.learned_from.seen(TRAINING[:1]) == ["a"]


# ---- by another run -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "tiny")


def equipped(run: Path, studies: Sequence[Study], **options: Any) -> NearestByRun:
    nearest = NearestByRun(run=str(run), **options)
    nearest.equip(Workbench(FakeDataset(studies=studies).open))
    return nearest


def test_a_run_s_space_finds_what_its_own_embeddings_find(run: Path):
    import torch

    from rrgcore import load_run
    from rrgcore.testing import make_batch

    studies = make_studies()
    nearest = equipped(run, studies)
    nearest.fit(studies)
    blind = [replace(study, id=f"new {study.id}", report=None) for study in studies]
    found = ask(nearest, *blind)

    model = load_run(run).model("align/best")
    tokenizer = model.parts.text_encoder.tokenizer
    batch = make_batch(studies, tokenizer=tokenizer, max_report_tokens=100)
    with torch.no_grad():
        images = model.parts.encode_images(batch.images, batch.present)
        irc: Any = model.objectives["irc"]
        texts = irc.embed_text(model.parts.text_encoder.encode_text(batch.text))
        similarity = irc.embed_image(images) @ texts.mT
    assert [each.similarity for each in found] == pytest.approx(
        similarity.max(dim=1).values.tolist(), abs=1e-5
    )
    best = [studies[int(i)].report for i in similarity.argmax(dim=1)]
    assert [each.text for each in found] == best


def test_a_matching_objective_ranks_the_candidates_again(run: Path):
    studies = make_studies()
    nearest = equipped(run, studies, matching="irm", candidates=3)
    nearest.fit(studies)
    asked = replace(studies[0], id="new", report=None)
    (found,) = ask(nearest, asked)
    model = nearest._model
    image = model.encode(asked, FakeDataset(studies=studies).open)
    texts = list(dict.fromkeys(study.report or "" for study in studies))
    odds = model.match(image, texts)
    assert found.text == texts[int(np.argmax(odds))]


def test_a_run_without_what_is_asked_for_says_what_it_has(run: Path):
    with pytest.raises(RunError, match=r"no objective of that name that is Embeds.*irc"):
        NearestByRun(run=str(run), objective="irk").read_given()
    with pytest.raises(RunError, match=r"`matching: irc`.*Those that are: irm"):
        NearestByRun(run=str(run), matching="irc").read_given()
    with pytest.raises(RunError, match="is not a run folder"):
        NearestByRun(run=str(run / "artefacts")).read_given()


def test_a_run_says_which_studies_it_was_trained_on(run: Path):
    (artefact,) = NearestByRun(run=str(run)).artefacts()
    assert artefact.learned_from is not None
    assert len(artefact.learned_from.ids) == 10
    record = run / "artefacts" / "training.json"
    kept = record.read_text()
    record.unlink()
    (silent,) = NearestByRun(run=str(run)).artefacts()
    record.write_text(kept)
    assert silent.learned_from is None


def test_they_keep_the_contract_of_annotators(run: Path, matrices: dict[str, str]):
    check_component("annotator", "nearest_by_probabilities", k=3)
    check_component("annotator", "nearest_by_run", run=str(run), k=3, matching="irm")
    studies = [make_study(id) for id in ("new", "of test")]
    reports = {"reports": matrices["images"], "report_ids": matrices["image_ids"]}
    check_component("annotator", "nearest_by_matrix", studies=studies, **matrices | reports, k=3)
