"""The text of a mirrored image: every side exchanged, and no report that would then be untrue."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgcore.mirror import mirrored_name, mirrored_text, obstacle

SIDES = (
    "left",
    "Right",
    "LEFT",
    "leftward",
    "Rightmost",
    "LLL",
    "rul",
    "RUQ",
    "dextroscoliosis",
    "Levocurvature",
    "LeFt",
    "upright",
    "lung",
)
texts = st.lists(
    st.one_of(st.sampled_from(SIDES), st.text(max_size=6), st.sampled_from([" ", ". ", "-", "/"]))
).map("".join)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("Small left pleural effusion.", "Small right pleural effusion."),
        ("right-sided picc , left > right", "left-sided picc , right > left"),
        ("LEFT lung. Right's base", "RIGHT lung. Left's base"),
        ("rightward shift of the leftmost clip", "leftward shift of the rightmost clip"),
        (
            "LLL collapse, RUL nodule, clips in the LUQ",
            "RLL collapse, LUL nodule, clips in the RUQ",
        ),
        ("dextroscoliosis . mild Levo curvature", "levoscoliosis . mild Dextro curvature"),
        ("an upright film of a bright cleft", "an upright film of a bright cleft"),
        ("levofloxacin for pneumonia", "levofloxacin for pneumonia"),
    ],
)
def test_every_word_of_side_is_exchanged_and_its_case_kept(text: str, mirrored: str):
    assert mirrored_text(text) == mirrored
    assert mirrored_text(mirrored) == text


@given(texts)
def test_twice_is_the_identity(text: str):
    assert mirrored_text(mirrored_text(text)) == text


@given(texts)
def test_words_stay_where_they_are(text: str):
    mirrored = mirrored_text(text)
    assert len(mirrored.split()) == len(text.split())
    assert re.split(r"\w+", mirrored) == re.split(r"\w+", text)


@given(texts)
def test_words_set_apart_from_their_punctuation_are_mirrored_alike(text: str):
    """As RadGraph has them: what it calls a word is tokenized once, and the report again."""
    apart = " ".join(re.findall(r"\w+|[^\w\s]", text))
    assert "".join(mirrored_text(apart).split()) == "".join(mirrored_text(text).split())


@pytest.mark.parametrize(
    "text",
    [
        "there is a left basilar opacity",
        "opacity on the left , none on the right .",
        "The left is narrowed.",
        "left greater than right with small effusions",
        "right and left hilum",
        "right picc with its tip in the innominate vein",
        "volumes are low, more so on left.",
        "mediastinum is shifted to the left as compared to the previous examination",
        "right-sided effusion , larger than left .",
        "no comparison . heart size is normal .",
        "the effusion on the left unchanged",
        "",
    ],
)
def test_a_side_that_is_one_for_certain_is_no_obstacle(text: str):
    assert obstacle(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Right middle lobe infiltrate.", "right middle"),
        ("opacity in the middle lobe", "middle lobe"),
        ("right middle and lower lobes", "right middle"),
        ("RML pneumonia", "rml"),
        ("Lingular atelectasis", "lingular"),
        ("fluid in the minor  fissure", "minor fissure"),
        ("an azygos lobe", "azygos"),
        ("left-sided picc , tip in the SVC", "svc"),
        ("at the cavoatrial junction", "cavoatrial"),
        ("lead in the right ventricle", "right ventricle"),
        ("left atrial enlargement", "left atrial"),
        ("right aortic arch", "right aortic"),
        ("cholecystectomy clips", "cholecystectomy"),
        ("distended stomach", "stomach"),
        ("possible dextrocardia", "dextrocardia"),
        ("along the right XXXX fissure", "right xxxx fissure"),
    ],
)
def test_anatomy_of_one_side_is_an_obstacle(text: str, words: str):
    found = obstacle(f"no effusion . {text} . no pneumothorax .")
    assert found is not None
    assert (found.why, found.words) == ("one-sided", words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the drain was left in place", "was left in"),
        ("tube removed and left in the bin", "and left in"),
        ("the wound is left open", "is left open"),
        ("he has left the hospital", "has left the"),
        ("it ends right above the carina", "ends right above"),
        ("at a right angle to the rib", "a right angle"),
        ("R lung base", "R lung"),
        ("rt effusion", "rt effusion"),
        ("LEft base", "LEft base"),
        ("a midright nodule", "a midright nodule"),
        ("DextroScoliosis of the spine", "DextroScoliosis of"),
        ("derrame pleural izquierdo", "izquierdo"),
        ("左肺", "左"),
    ],
)
def test_a_word_that_may_mean_no_side_is_an_obstacle(text: str, words: str):
    found = obstacle(text)
    assert found is not None
    assert (found.why, found.words) == ("unclear", words)


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        ("left lung", "right lung"),
        ("right cardiac silhouette", "left cardiac silhouette"),
        ("right atrium", "right atrium"),
        ("right middle lobe", "right middle lobe"),
        ("aortic arch", "aortic arch"),
    ],
)
def test_a_name_keeps_its_side_where_that_is_no_place(name: str, mirrored: str):
    assert mirrored_name(name) == mirrored
