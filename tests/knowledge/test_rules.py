"""The labeler `rules`: what it says of invented sentences, and what holds for any text."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg_knowledge.aggregate import Mention, aggregate
from rrg_knowledge.phrases import Phrases
from rrg_knowledge.rules import RulesLabeler, read_sentence
from rrg_knowledge.sentences import Words, split_sentences
from rrgcore.chest import NO_FINDING, OBSERVATIONS
from rrgcore.cleaning import CLEANERS, clean
from rrgcore.errors import DataError
from rrgcore.study import Study

SHORT: Final = {
    "AT": "Atelectasis",
    "CM": "Cardiomegaly",
    "CO": "Consolidation",
    "EC": "Enlarged Cardiomediastinum",
    "ED": "Edema",
    "EF": "Pleural Effusion",
    "FR": "Fracture",
    "LL": "Lung Lesion",
    "LO": "Lung Opacity",
    "PN": "Pneumonia",
    "PO": "Pleural Other",
    "PX": "Pneumothorax",
    "SD": "Support Devices",
}
SIGNS: Final = {"+": 1, "-": 0, "?": -1}
ONLY: Final = set(";:*")
"""Marks of cases that cleaning makes other statements of: R2Gen's drops what parts them."""
STATUS: Final = {"positive": 1, "negation": 0, "uncertainty": -1}


def cases() -> list[tuple[str, dict[str, int]]]:
    """Read sentences.txt."""
    rows = []
    for line in (Path(__file__).parent / "sentences.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            said, _, sentence = line.partition("|")
            sentence = sentence.strip()
            marks = {SHORT[mark[:2]]: SIGNS[mark[2]] for mark in said.split()}
            rows.append((sentence, marks))
    return rows


def label(text: str) -> dict[str, int]:
    return dict(RulesLabeler().label(text).values)


# ---- sentences --------------------------------------------------------------------------------


@pytest.mark.parametrize(("sentence", "said"), cases())
def test_a_sentence_says_what_a_reader_says_it_does(sentence: str, said: dict[str, int]) -> None:
    found = {(one.observation, one.value) for one in read_sentence(sentence)}

    assert {one for one in found if one[0] != NO_FINDING} == set(said.items())


@pytest.mark.parametrize(("sentence", "said"), [case for case in cases() if not ONLY & {*case[0]}])
def test_cleaning_changes_nothing_that_is_said(sentence: str, said: dict[str, int]) -> None:
    mentions = RulesLabeler().mentions(clean(sentence, "r2gen-iu"))
    found = {(one.observation, one.value) for one in mentions}

    assert {one for one in found if one[0] != NO_FINDING} == set(said.items())


def test_mentions_are_slices_of_the_text() -> None:
    text = "1. Heart size is normal.\n2. Left basilar opacity, possibly atelectasis."

    found = list(RulesLabeler().mentions(text))

    assert [(one.observation, one.value) for one in found] == [
        ("Cardiomegaly", 0),
        ("Lung Opacity", 1),
        ("Atelectasis", -1),
    ]
    assert [one.text for one in found] == ["Heart size is normal", "opacity", "atelectasis"]
    assert all(text[one.start : one.end] == one.text for one in found)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("No edema. Clear lungs.", ["No edema", " Clear lungs"]),
        ("no edema . clear lungs .", ["no edema ", " clear lungs "]),
        ("A 1.5 cm nodule.Normal heart.", ["A 1.5 cm nodule", "Normal heart"]),
        ("1. Nodule. 2. Edema.", [" Nodule", " Edema"]),
        ("Nodule\n2) No edema", ["Nodule", "2) No edema"]),
        ("small\neffusion\n\nno edema", ["small\neffusion", "no edema"]),
        ("atelectasis vs. pneumonia", ["atelectasis vs. pneumonia"]),
        ("Is there edema? No.", ["Is there edema?", " No"]),
        (" \n . ", []),
    ],
)
def test_sentences_end_where_a_reader_stops(text: str, sentences: list[str]) -> None:
    assert [sentence for _, sentence in split_sentences(text)] == sentences


def test_a_word_glued_by_cleaning_is_two_findings() -> None:
    assert label("bibasilar atelectasisinfiltrate")["Atelectasis"] == 1
    assert label("bibasilar atelectasisinfiltrate")["Lung Opacity"] == 1


def test_what_hides_a_name_hides_no_finding() -> None:
    assert label("No XXXX pneumothorax.") == label("No ___ pneumothorax.")
    assert label("Left XXXX-a-XXXX in place.")["Support Devices"] == 1


@pytest.mark.parametrize(
    ("phrase", "line", "found"),
    [
        ("opacit*", "two opacities here", "opacities"),
        ("(air_space|airspace) disease", "air-space disease", "air-space disease"),
        ("pleural? effusion", "no effusion", "effusion"),
        ("blunted ~2 angle", "blunted left costophrenic angle", "blunted left costophrenic angle"),
        ("blunted ~2 angle", "blunted, left angle", ""),
        ("vessels ~2 engorged", "vessels are not engorged", ""),
    ],
)
def test_phrases_stretch_over_words_but_over_no_comma_and_no_denial(
    phrase: str, line: str, found: str
) -> None:
    words = Words.of(line)
    places = Phrases({"a": [phrase]}).find(words)
    spans = [(words.spans[i][0], words.spans[j - 1][1]) for i, j, _ in places]

    assert [line[start:end] for start, end in spans] == ([found] if found else [])


# ---- reports ----------------------------------------------------------------------------------


def test_aggregation_agrees_with_the_published_labeler(golden: Callable[[str], Any]) -> None:
    reference = golden("chexpert_aggregate")
    for case in reference["cases"]:
        mentions = [
            Mention(one["category"], STATUS[one["status"]], 0, len(one["text"]), one["text"])
            for one in case["annotations"]
        ]
        labels = aggregate(mentions)
        assert [labels.get(name) for name in reference["categories"]] == case["vector"], case


def test_a_report_says_what_its_sentences_do() -> None:
    text = (
        "Heart size is normal. Small left pleural effusion with adjacent opacity, atelectasis "
        "versus pneumonia. No pneumothorax. Right PICC in the SVC."
    )
    assert label(text) == {
        "Cardiomegaly": 0,
        "Lung Opacity": 1,
        "Pneumonia": -1,
        "Atelectasis": -1,
        "Pneumothorax": 0,
        "Pleural Effusion": 1,
        "Support Devices": 1,
    }


@pytest.mark.parametrize(
    "abnormality",
    [
        "scoliosis",
        "calcified granuloma",
        "emphysema",
        "hiatal hernia",
        "white-out of the left lung",
        "volume loss on the right",
        "loss of volume on the right",
        "shift of the mediastinum",
        "mediastinal shift",
        "tracheal deviation",
        "pneumopericardium",
        "pneumomediastinum",
        "pneumoperitoneum",
        "free intraperitoneal air",
        "globular heart",
    ],
)
def test_another_abnormality_vetoes_no_finding(abnormality: str) -> None:
    assert label("The lungs are clear.") == {NO_FINDING: 1}
    assert label(f"The lungs are clear. There is a {abnormality}.") == {}
    assert label(f"The lungs are clear. No {abnormality}.") == {NO_FINDING: 1}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Perihilar haze.", {"Lung Opacity": 1}),
        ("Cardiothoracic ratio above normal.", {"Cardiomegaly": 1}),
        ("The mediastinum is shifted to the left.", {}),
        ("The mediastinum is not shifted.", {NO_FINDING: 1}),
        ("No mediastinal shift or volume loss.", {NO_FINDING: 1}),
    ],
)
def test_a_sign_is_abnormal_unless_denied(text: str, labels: dict[str, int]) -> None:
    assert label(text) == labels


def test_heart_failure_leaves_cardiomegaly_open() -> None:
    assert label("Congestive heart failure.") == {"Edema": 1, "Cardiomegaly": -1}
    assert label("No heart failure.") == {"Edema": 0, NO_FINDING: 1}


def test_a_study_without_a_report_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="study 'a7' has no report"):
        list(RulesLabeler().annotate([Study("a7", (), ())]))


def test_importing_it_imports_no_torch() -> None:
    code = "import rrg_knowledge.rules, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- any text ---------------------------------------------------------------------------------

_WORDS: Final = (  # noqa: SIM905
    "no or and but with without is are not seen may possible versus normal enlarged stable small "
    "left the heart mediastinum lungs clear effusion pneumothorax opacity atelectasis edema nodule "
    "pneumonia fracture catheter xxxx resolved cannot exclude , . ; /"
).split()
reports = st.lists(st.sampled_from(_WORDS), max_size=25).map(" ".join)


@given(reports)
@settings(max_examples=150, deadline=None)
def test_case_and_spaces_change_nothing(report: str) -> None:
    assert label(report.upper()) == label(report)
    assert label("  " + report.replace(" ", " \t ") + "\n") == label(report)


@given(st.one_of(reports, st.text(max_size=80)))
@settings(max_examples=150, deadline=None)
def test_saying_it_twice_changes_nothing(report: str) -> None:
    assert label(f"{report}\n\n{report}") == label(report)


@given(st.one_of(reports, st.text(max_size=200)))
@settings(max_examples=300, deadline=None)
def test_any_text_has_known_labels_and_true_slices(text: str) -> None:
    for mention in RulesLabeler().mentions(text):
        assert mention.observation in OBSERVATIONS
        assert mention.value in (1, 0, -1)
        assert 0 <= mention.start < mention.end <= len(text)
        assert text[mention.start : mention.end] == mention.text
    labels = label(text)
    assert set(labels) <= set(OBSERVATIONS)
    assert set(labels.values()) <= {1, 0, -1}
    assert labels.get(NO_FINDING, 1) == 1


@given(reports, st.sampled_from(sorted(CLEANERS)))
@settings(max_examples=100, deadline=None)
def test_cleaned_reports_are_read_too(report: str, rule: str) -> None:
    assert set(label(clean(report, rule))) <= set(OBSERVATIONS)
