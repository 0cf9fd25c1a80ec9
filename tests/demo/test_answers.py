"""What the page is answered by a run's model."""

import json
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrgcore.build import make_dataset
from rrgcore.demo.answering import Answers, make_examples
from rrgcore.demo.uploads import Limits
from rrgcore.interfaces import Lacks
from rrgcore.prediction import predictor as predicting
from rrgcore.prediction.predictor import Predictor
from rrgcore.run import Run

from .files import RAMP, encoded, payload

LIMITS = Limits(megabytes=1, megapixels=2)


@pytest.fixture(scope="module")
def predictor(finished: Run) -> Predictor:
    return finished.predictor(batch_size=1)


@pytest.fixture
def failures() -> list[Exception]:
    return []


@pytest.fixture
def answers(predictor: Predictor, finished: Run, failures: list[Exception]) -> Answers:
    return Answers(predictor, LIMITS, make_examples(finished.plan), failures.append)


@pytest.fixture(scope="module")
def film(finished: Run) -> np.ndarray:
    """A phantom of which the model writes something."""
    dataset = make_dataset(finished.plan)
    written = {pair.id: pair.prediction for pair in finished.predictions}
    study = next(study for study in dataset.studies("test") if written[study.id])
    return dataset.open(study.images[0])


def maps_of(answer: dict[str, Any]) -> np.ndarray:
    maps = answer["maps"]
    shape = (len(answer["words"]), maps["views"], maps["rows"], maps["columns"])
    return np.frombuffer(b64decode(maps["data"]), np.uint8).reshape(shape)


def test_an_image_is_answered_with_its_report_and_where_each_word_looked(
    answers: Answers, finished: Run, film: np.ndarray, tmp_path: Path
):
    (tmp_path / "film.png").write_bytes(encoded(film))
    [expected] = finished.predict([tmp_path / "film.png"])

    answer = answers.report(payload(encoded(film)))
    assert [word for word, _ in answer["words"]] == expected.report.split()
    assert [tuple(word) for word in answer["words"]] == list(expected.words)
    assert answer["confidence"] == expected.confidence
    assert answer["warnings"] == [notice.text for notice in expected.warnings]
    assert maps_of(answer).shape == (len(expected.words), 1, 4, 4)
    assert maps_of(answer).mean() == pytest.approx(16, abs=1)
    assert json.loads(json.dumps(answer)) == answer


def test_two_views_are_one_report_and_each_has_its_map(answers: Answers, film: np.ndarray):
    answer = answers.report(payload(encoded(film), encoded(film[:, 2:])))
    assert [(image["width"], image["height"]) for image in answer["images"]] == [(32, 32), (30, 32)]
    assert maps_of(answer).shape[1] == 2
    assert maps_of(answer).any((0, 2, 3)).all()


def test_a_picture_is_no_larger_than_a_page_can_use(answers: Answers):
    [image] = answers.report(payload(encoded(np.tile(RAMP, (30, 20)))))["images"]
    assert max(image["width"], image["height"]) == 768
    head, _, data = image["uri"].partition(",")
    assert head == "data:image/jpeg;base64"
    drawn = BytesIO(b64decode(data))
    with Image.open(drawn) as opened:
        assert opened.size == (image["width"], image["height"])
        assert not opened.getexif()


def test_a_decoder_that_cannot_tell_where_it_looked_is_named(
    answers: Answers, film: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    def lacks(*_: object) -> None:
        raise Lacks("is not AttendsWriting")

    monkeypatch.setattr(predicting, "attend_writing", lacks)
    answer = answers.report(payload(encoded(film)))
    assert answer["words"]
    assert answer["maps"] is None
    assert answer["absent"] == "this run's decoder (bert) is not AttendsWriting"


def test_what_cannot_be_read_is_a_sentence(answers: Answers, failures: list[Exception]):
    answer = answers.report(payload(b"no image"))
    assert answer == {"error": "image 1: is no PNG, JPEG or DICOM file, whatever it is called"}
    assert failures == []


def test_a_model_that_fails_is_a_sentence_and_the_next_image_is_answered(
    answers: Answers, failures: list[Exception], monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("DOE^JANEQUILL")

    with monkeypatch.context() as patch:
        patch.setattr(type(answers.predictor), "attend", fail)
        answer = answers.report(payload(encoded()))
    assert answer == {
        "error": "the model failed (ZeroDivisionError); `rrg demo --debug` shows where"
    }
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    assert "error" not in answers.report(payload(encoded()))


def test_examples_are_phantoms_of_the_test_split_one_after_another(answers: Answers, finished: Run):
    references = {pair.id: pair.reference for pair in finished.predictions}
    shown = [answers.example() for _ in range(len(references) + 1)]
    assert [each["example"] for each in shown] == [*references, next(iter(references))]
    assert {each["example"]: each["reference"] for each in shown} == references
    written = {pair.id: pair.prediction for pair in finished.predictions}
    assert " ".join(word for word, _ in shown[0]["words"]) == written[shown[0]["example"]]


def test_studies_that_may_be_of_patients_are_no_examples(
    finished: Run, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, failures: list[Exception]
):
    monkeypatch.setattr(finished.plan.dataset.cls, "of_nobody", False)
    examples = make_examples(finished.plan)
    assert examples is None
    answer = Answers(predictor, LIMITS, examples, failures.append).example()
    assert answer == {"error": "there are no examples: the run's studies may be of patients"}
