"""A language model on this machine: asked in its chat template, answering greedily."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rrg_knowledge.observe import ObserveByRule
from rrg_knowledge.observe_local import ObserveByLocalModel
from rrgcore.annotations import Labels
from rrgcore.errors import DataError, WeightsError
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Workbench
from rrgcore.testing import check_component

from .test_observe_prompt import asked
from .tiny_chat import BEGIN, LINES, SAID, TEMPLATE, write_model


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("models") / "chat", template=TEMPLATE)


def label(some: Sequence[Study], **options: object) -> list[Labels]:
    def open(image: ImageRef) -> np.ndarray:
        raise AssertionError("no image is looked at")

    annotator = ObserveByLocalModel(**options)  # type: ignore[arg-type]
    annotator.equip(Workbench(open))
    return list(annotator.annotate(some))


def test_the_answer_becomes_labels_that_say_whose_they_are(chat: str):
    (labels,) = label([asked("mild edema .")], model=chat)
    assert labels.values == {name: int(word != "Absent") for name, word in SAID.items()}
    assert labels.sources is not None
    assert labels.sources["Fracture"].startswith("chat (uncertain), report")


def test_without_a_chat_template_the_prompt_is_continued(tmp_path: Path):
    model = write_model(tmp_path / "plain", template=None)
    (labels,) = label(
        [asked("mild edema .")], model=model, prompt="{probabilities} {report} " + BEGIN
    )
    assert labels.values["Edema"] == 1
    with pytest.raises(DataError, match="the answer of plain cannot be read: it says nothing of"):
        label([asked("mild edema .")], model=model)


def test_an_answer_that_is_cut_off_is_unreadable(chat: str):
    with pytest.raises(DataError, match="it says nothing of Fracture, Support Devices"):
        label([asked()], model=chat, max_new_tokens=12)
    (labels,) = label([asked()], model=chat, max_new_tokens=12, on_bad=ObserveByRule())
    assert labels.values == {"Edema": 1}


def test_a_model_that_is_not_there_is_missed(tmp_path: Path, chat: str):
    with pytest.raises(WeightsError, match="there is no language model at"):
        ObserveByLocalModel(model=str(tmp_path / "none")).read_given()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(WeightsError, match="cannot be read"):
        label([asked()], model=str(tmp_path))


def test_another_model_or_prompt_has_another_fingerprint(chat: str, tmp_path: Path):
    other = write_model(tmp_path / "chat", template=TEMPLATE, lines=LINES[:3])
    made = [
        ObserveByLocalModel(model=chat),
        ObserveByLocalModel(model=other),
        ObserveByLocalModel(model=chat, prompt="{probabilities} {report}"),
    ]
    assert len({each.fingerprint() for each in made}) == 3


def test_it_keeps_the_contract_of_annotators(chat: str):
    check_component("annotator", "observe_local", model=chat, dtype="float32")
