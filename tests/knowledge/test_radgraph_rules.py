"""`radgraph_rules`, sentence by sentence, and against the exact graphs of phantoms."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg_knowledge.radgraph_rules import RadGraphRules
from rrg_knowledge.radgraph_words import FINDINGS, NORMAL, PLACES, QUALITIES, REGIONS, SIDES
from rrgcore.annotations import RadGraph
from rrgcore.errors import DataError
from rrgcore.graph_words import graph_words
from rrgcore.testing import make_study

from .graded_radgraph import grade_phantoms

SIGNS = {"ANAT-DP": "", "OBS-DP": "+", "OBS-DA": "-", "OBS-U": "?"}
ARROWS = {"located_at": "@", "modify": ">", "suggestive_of": "~"}


def shown(text: str) -> str:
    """The entities of a text: `+` present, `-` absent, `?` uncertain; @ at, > of, ~ suggests."""
    graph = RadGraphRules().read(text)
    return " ".join(
        SIGNS[entity.label]
        + entity.tokens.replace(" ", "_")
        + "".join(ARROWS[kind] + graph.entities[to].tokens for kind, to in entity.relations)
        for entity in graph.entities.values()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the golden document of KIA's masking
        ("No pleural effusion .", "pleural -effusion@pleural"),
        (
            "Small left basilar opacity .",
            "+Small>opacity left>basilar basilar +opacity@basilar",
        ),
        ("Heart size is normal .", "Heart size>Heart +normal@Heart"),
        # where it is
        (
            "there is a nodule in the right upper lobe .",
            "+nodule@lobe right>lobe upper>lobe lobe",
        ),
        (
            "degenerative changes thoracic spine .",
            "+degenerative>changes +changes@spine thoracic>spine spine",
        ),
        (
            "opacity at the medial aspect of the left base .",
            "+opacity@base medial>aspect aspect>base left>base base",
        ),
        (
            "right base pleural effusion .",
            "right>base base pleural +effusion@base@pleural",
        ),
        ("left-sided chest tube .", "left-sided +chest>tube +tube@left-sided"),
        ("the tip of the line is in the svc .", "+tip>line@svc +line svc"),
        # what is said of a place
        (
            "the heart and mediastinum are within normal limits .",
            "heart mediastinum +within_normal_limits@heart@mediastinum",
        ),
        (
            "normal cardiac and mediastinal contours .",
            "+normal@cardiac@contours cardiac mediastinal>contours contours",
        ),
        ("mildly enlarged heart .", "+mildly>enlarged +enlarged@heart heart"),
        ("the heart is not enlarged .", "heart -enlarged@heart"),
        ("heart normal lungs clear .", "heart +normal@heart lungs +clear@lungs"),
        (
            "silhouette is normal in size and contour .",
            "silhouette +normal@silhouette size>silhouette contour>silhouette",
        ),
        ("lungs are clear bilaterally .", "lungs +clear@lungs bilaterally>lungs"),
        ("lungs are clear of airspace disease .", "lungs +clear@lungs -airspace>disease -disease"),
        # what is denied or doubted
        (
            "no focal consolidation pleural effusion or pneumothorax .",
            "-focal>consolidation -consolidation pleural -effusion@pleural -pneumothorax",
        ),
        ("possible left effusion .", "left ?effusion@left"),
        (
            "opacities may represent atelectasis or pneumonia .",
            "+opacities~atelectasis~pneumonia ?atelectasis ?pneumonia",
        ),
        (
            "no opacity to suggest pneumonia .",
            "-opacity~pneumonia -pneumonia",
        ),
        # words that are none of it
        ("pa and lateral views of the chest .", ""),
        ("chest radiograph of 5 may .", ""),
        ("8 mm nodule .", "+8_mm>nodule +nodule"),
        ("tip 4 cm above the carina .", "+tip@carina carina"),
        ("", ""),
        (" .", ""),
    ],
)
def test_a_sentence_is_read(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_a_report_counts_its_words_over_all_sentences() -> None:
    graph = RadGraphRules().read("the lungs are clear . no effusion .")

    assert graph.words == ("the", "lungs", "are", "clear", ".", "no", "effusion", ".")
    assert {key: (e.tokens, e.start, e.end) for key, e in graph.entities.items()} == {
        "1": ("lungs", 1, 1),
        "2": ("clear", 3, 3),
        "3": ("effusion", 6, 6),
    }


def test_marks_are_set_apart_and_numbers_stay_whole() -> None:
    graph = RadGraphRules().read("Scarring/atelectasis, 2.5 cm; well-defined.")

    assert " ".join(graph.words) == "Scarring / atelectasis , 2.5 cm ; well-defined ."


def test_words_that_cleaning_glued_are_one_finding() -> None:
    assert shown("bibasilar scarringatelectasis .") == ("bibasilar +scarringatelectasis@bibasilar")


LISTS = (PLACES, REGIONS, SIDES, FINDINGS, QUALITIES, NORMAL)
OTHERS = (
    "tip size bilaterally clear lungs no not and or of in with is the may represent . , : to 2.5 "
    "cm but otherwise volume loss tube central midline airspace adjacent left-sided to 4 mm"
)
words = st.sampled_from([word for each in LISTS for word in sorted(each)[::9]] + OTHERS.split())


@given(st.lists(words, max_size=14).map(" ".join) | st.text(max_size=40))
def test_any_text_has_a_graph_on_its_own_words(text: str) -> None:
    graph = RadGraphRules().read(text)

    assert graph_words(graph, text, study="any") == graph.words
    assert RadGraph.from_json(graph.to_json()).entities == graph.entities
    covered = [i for e in graph.entities.values() for i in range(e.start, e.end + 1)]
    assert len(covered) == len(set(covered))
    for entity in graph.entities.values():
        assert entity.tokens == " ".join(graph.words[entity.start : entity.end + 1])
        for kind, target in entity.relations:
            other = graph.entities[target]
            assert other is not entity
            assert kind != "located_at" or (not entity.is_anatomy and other.is_anatomy)
            assert kind != "modify" or entity.is_anatomy == other.is_anatomy
            assert kind != "suggestive_of" or not (entity.is_anatomy or other.is_anatomy)


def test_phantoms_are_read_nearly_without_error() -> None:
    scores = grade_phantoms(100, seed=4096)

    assert scores["entities"].f1 >= 0.98
    assert scores["located_at"].f1 >= 0.97
    assert scores["modify"].f1 >= 0.97
    assert scores["suggestive_of"].f1 >= 0.90


def test_a_study_without_report_is_refused() -> None:
    with pytest.raises(DataError, match=r"study 'a' has no report; `radgraph_rules`"):
        list(RadGraphRules().annotate([make_study("a", report=None, annotations={})]))


@pytest.mark.slow
def test_every_real_report_has_a_graph_on_its_own_words(shared: Path) -> None:
    from .mesh import load_tagged

    archive = shared / "data" / "iu_xray" / "NLMCXR_reports_trainval.tgz"
    if not archive.is_file():
        pytest.skip(f"no reports: {archive} is absent")
    for odd in (False, True):
        for row in load_tagged(archive, odd=odd):
            graph = RadGraphRules().read(row.text)
            assert graph_words(graph, row.text, study="any") == graph.words
            assert graph.entities, row.text
