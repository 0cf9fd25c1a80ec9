"""What a language model is asked, and how its answer is read."""

import json
from collections.abc import Mapping

import pytest

from rrg_knowledge.observe import ObserveByRule
from rrg_knowledge.observe_prompt import Questions, Unreadable, read_answer
from rrg_knowledge.rules import RulesLabeler
from rrgcore.annotations import Labels, NearestReport, Probabilities
from rrgcore.chest import OBSERVATIONS
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator

ABSENT = dict.fromkeys(OBSERVATIONS, "Absent")
SAID = {**ABSENT, "Edema": "Present", "Pneumonia": "Uncertain"}
READ = {name: word.lower() for name, word in SAID.items()}


def asked(text: str = "mild edema .", **probabilities: float) -> Study:
    values = {name.replace("_", " "): p for name, p in probabilities.items()}
    found = {
        Probabilities: Probabilities(values),
        NearestReport: NearestReport(text, "other", 0.5),
    }
    return Study("this", (), (), None, found)


def questions(prompt: str | None = None, on_bad: Annotator | None = None) -> Questions:
    return Questions(prompt=prompt, on_bad=on_bad, model="a-model")


def lines(said: Mapping[str, str], form: str) -> str:
    return "\n".join(
        form.format(name=name, word=word, n=n) for n, (name, word) in enumerate(said.items())
    )


# ---- asking ---------------------------------------------------------------------------------


def test_the_prompt_holds_every_probability_and_the_report():
    prompt = questions().prompt(asked("a mass .", Edema=0.312, Lung_Lesion=0.9))
    assert "Edema: 0.31\n" in prompt
    assert "Lung Lesion: 0.90\n" in prompt
    assert "Fracture: unknown\n" in prompt
    assert "Report:\na mass .\n" in prompt
    assert all(name in prompt for name in OBSERVATIONS)


def test_a_report_that_looks_like_a_place_fills_none():
    prompt = questions("{probabilities} | {report}").prompt(asked("{probabilities} {report}"))
    assert prompt.endswith(" | {probabilities} {report}")


def test_a_prompt_of_one_s_own_may_show_json():
    prompt = questions('{"Edema": "Present"} {probabilities} {report}').prompt(asked("clear ."))
    assert prompt.startswith('{"Edema": "Present"} ')
    assert prompt.endswith("clear .")


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("{report}", "no place for {probabilities}"),
        ("{probabilities} {reports}", "has a place for {reports}, and nothing fills it"),
        ("Label this.", "no place for {probabilities}"),
    ],
)
def test_a_prompt_without_its_places_is_refused(prompt: str, sentence: str):
    with pytest.raises(ValueError) as error:
        questions(prompt)
    assert sentence in str(error.value)


def test_another_prompt_has_another_digest():
    assert questions().digest != questions("{probabilities} {report}").digest


# ---- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(SAID),
        json.dumps(SAID, indent=2),
        "```json\n" + json.dumps(SAID) + "\n```",
        "Here is the answer:\n" + json.dumps(SAID) + "\nI hope that this helps.",
        "<think>Edema: Absent? {no}</think>" + json.dumps(SAID),
        json.dumps({name.upper(): word.upper() for name, word in SAID.items()}),
        lines(SAID, "{name}: {word}"),
        lines(SAID, "- **{name}**: {word}."),
        lines(SAID, "{n}. {name} - {word}"),
        "| observation | label |\n|---|---|\n" + lines(SAID, "| {name} | {word} |"),
    ],
)
def test_an_answer_is_json_or_lines(answer: str):
    assert read_answer(answer) == READ


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("", "it says nothing of No Finding, Enlarged"),
        ("I cannot help with that.", "it says nothing of No Finding"),
        (json.dumps({**SAID, "Edema": "Likely"}), "it says 'Likely' of Edema"),
        (json.dumps({**SAID, "Edema": None}), "it says 'None' of Edema"),
        (json.dumps({**SAID, "Edema": True}), "it says 'True' of Edema"),
        (json.dumps({**SAID, "Hernia": "Absent"}), "it speaks of 'Hernia'"),
        (json.dumps({k: v for k, v in SAID.items() if k != "Edema"}), "it says nothing of Edema"),
        (json.dumps(SAID)[:-20] + "}", "it is no JSON"),
        (
            json.dumps(SAID)[:-1] + ', "Edema": "Absent"}',
            "it says both present and absent of Edema",
        ),
        (lines(SAID, "{name}: {word}") + "\nEdema: Absent", "both present and absent of Edema"),
        (lines(SAID, "{name}: perhaps {word}"), "it says 'perhaps Absent' of No Finding"),
        (lines(SAID, "{name}: Present or Absent"), "it says 'Present or Absent' of No Finding"),
    ],
)
def test_an_answer_that_says_something_else_is_unreadable(answer: str, sentence: str):
    with pytest.raises(Unreadable) as error:
        read_answer(answer)
    assert sentence in str(error.value)


def test_present_and_uncertain_are_positive_and_the_source_tells_them_apart():
    labels = questions().labels(asked(), json.dumps(SAID))
    assert list(labels.values) == list(OBSERVATIONS)
    assert {name for name, value in labels.values.items() if value} == {"Edema", "Pneumonia"}
    assert labels.sources is not None
    assert labels.sources["Edema"].startswith("a-model (present), report")
    assert labels.sources["Pneumonia"].startswith("a-model (uncertain), report")
    assert labels.sources["Fracture"].startswith("a-model (absent), report")


def test_an_unreadable_answer_names_the_study_and_what_was_said():
    with pytest.raises(DataError) as error:
        questions().labels(asked(), "Sorry,\nno.")
    assert "study 'this': the answer of a-model cannot be read" in str(error.value)
    assert "It is 'Sorry, no.'" in str(error.value)
    assert "`on_bad: observe`" in str(error.value)


def test_an_unreadable_answer_may_be_left_to_the_rule_which_the_labels_say():
    asking = questions(on_bad=ObserveByRule())
    labels = asking.labels(asked("mild edema .", Fracture=0.8), "Sorry.")
    assert labels == Labels(
        {"Edema": 1, "Fracture": 1},
        {
            "Edema": "report of other (a-model's answer could not be read)",
            "Fracture": "probability 0.80 (a-model's answer could not be read)",
        },
    )
    assert asking.summary() == {"answers that could not be read": {"studies": 1}}


def test_who_labels_in_a_model_s_place_must_be_able_to():
    with pytest.raises(ValueError, match="`on_bad`: RulesLabeler cannot label a study"):
        questions(on_bad=RulesLabeler())
