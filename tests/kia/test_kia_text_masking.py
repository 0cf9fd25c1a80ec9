"""Graph- and label-guided masking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg_kia.graph import GraphMasking
from rrg_kia.label import LabelMasking
from rrgcore.api import DataError, Entity, Labels, RadGraph, WordTokenizer
from rrgcore.chest import OBSERVATIONS

from .fakes import make_rngs, make_study

REPORT = "no pleural effusion . the heart is normal ."


def graph_of(report, *entities, relations=()):
    """Make a RadGraph of (label, start, end) entities; relations go from one number to another."""
    return RadGraph(
        words=tuple(report.split()),
        entities={
            str(i): Entity(
                " ".join(report.split()[start : end + 1]),
                label,
                start,
                end,
                tuple((kind, str(b)) for a, kind, b in relations if a == i),
            )
            for i, (label, start, end) in enumerate(entities)
        },
    )


def hidden_words(masking, study, *, seed=0, max_tokens=100):
    """Return the hidden words' positions, after checking what was done to them."""
    tokenizer = WordTokenizer.of_texts([study.report])
    text = masking.mask_text(study, tokenizer, make_rngs(1, seed)[0], max_tokens=max_tokens)
    assert len(text.ids) <= max_tokens
    assert text.mask.all()
    asked = text.labels != -100
    assert (text.ids[asked] == tokenizer.mask_id).all()
    restored = text.labels.where(asked, text.ids).tolist()
    assert restored == tokenizer.encode(study.report, max_tokens=max_tokens)
    return {position - 1 for position in asked.nonzero()[:, 0].tolist()}


@st.composite
def reports_with_entities(draw):
    words = draw(st.lists(st.sampled_from([".", "lung", "opacity", "no"]), min_size=1, max_size=15))
    spans = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["OBS-DP", "OBS-DA", "ANAT-DP"]),
                st.integers(0, len(words) - 1),
                st.integers(0, 2),
            ),
            max_size=4,
        )
    )
    fit = [(label, start, min(start + extra, len(words) - 1)) for label, start, extra in spans]
    return " ".join(words), fit


@given(reports_with_entities(), st.integers(0, 5))
def test_graph_masking_hides_entity_words_and_nothing_else(case, seed):
    report, entities = case
    study = make_study(report=report, graph=graph_of(report, *entities))
    hidden = hidden_words(GraphMasking(fallback=0.0), study, seed=seed)
    covered = {word for _, start, end in entities for word in range(start, end + 1)}
    assert hidden <= covered
    assert bool(hidden) == bool(entities)


@given(reports_with_entities(), st.integers(0, 5), st.integers(2, 12))
def test_with_a_fallback_something_is_hidden_in_every_report_however_short(case, seed, cut):
    report, entities = case
    study = make_study(report=report, graph=graph_of(report, *entities))
    hidden = hidden_words(GraphMasking(), study, seed=seed, max_tokens=cut)
    assert bool(hidden) == (cut > 2)


def test_a_sentence_loses_its_observations_or_its_anatomy_never_both():
    study = make_study(
        report=REPORT,
        graph=graph_of(
            REPORT, ("ANAT-DP", 1, 1), ("OBS-DA", 2, 2), ("ANAT-DP", 5, 5), ("OBS-DP", 7, 7)
        ),
    )
    seen = {frozenset(hidden_words(GraphMasking(), study, seed=i)) for i in range(60)}
    assert seen == {frozenset(s) for s in ({1, 5}, {1, 7}, {2, 5}, {2, 7})}


def test_located_at_spares_words_that_only_modify():
    report = "small left opacity ."
    graph = graph_of(
        report,
        ("OBS-DP", 0, 0),
        ("ANAT-DP", 1, 1),
        ("OBS-DP", 2, 2),
        relations=[(0, "modify", 2), (2, "located_at", 1)],
    )
    study = make_study(report=report, graph=graph)
    masking = GraphMasking(entities="located_at")
    assert {frozenset(hidden_words(masking, study, seed=i)) for i in range(30)} == {
        frozenset({1}),
        frozenset({2}),
    }


def test_the_fallback_hides_its_share_of_the_words():
    report = " ".join(["word"] * 40)
    study = make_study(report=report, graph=graph_of(report))
    shares = [len(hidden_words(GraphMasking(), study, seed=i)) / 40 for i in range(200)]
    assert np.mean(shares) == pytest.approx(0.15, abs=0.01)


def test_a_radgraph_of_another_text_is_refused_by_the_study_s_name():
    study = make_study("s50414267", REPORT, graph=graph_of("no pleural effusions ."))
    with pytest.raises(DataError, match=r"study s50414267: RadGraph was run on another text") as e:
        hidden_words(GraphMasking(), study)
    assert "From word 2 the report has 'effusion . the heart', RadGraph 'effusions .'" in str(
        e.value
    )


LOSSLESS = "a 2.5 cm left-sided nodule . no effusion ."
V1 = "a 2 . 5 cm left-sided nodule . no effusion ."
XL = "a 2 . 5 cm left - sided nodule . no effusion ."


@pytest.mark.parametrize("spaced", [V1, XL], ids=["radgraph", "radgraph-xl"])
def test_a_radgraph_may_set_stops_and_hyphens_apart_and_its_words_are_hidden(spaced):
    words = spaced.split()
    nodule, effusion = words.index("nodule"), words.index("effusion")
    graph = graph_of(
        spaced, ("OBS-DP", 1, 3), ("OBS-DP", nodule, nodule), ("OBS-DA", *[effusion] * 2)
    )
    tokenizer = WordTokenizer.of_texts([spaced])
    text = GraphMasking().mask_text(
        make_study(report=LOSSLESS, graph=graph), tokenizer, make_rngs(1)[0], max_tokens=100
    )
    asked = text.labels != -100
    restored = tokenizer.decode(text.labels.where(asked, text.ids).tolist())
    assert restored.split() == words
    assert [words[at - 1] for at in asked.nonzero()[:, 0]] == ["2", ".", "5", "nodule", "effusion"]


def test_the_point_of_a_number_ends_no_sentence():
    """Its observations and its anatomy are on both sides of the point."""
    report = "nodule of 2 . 5 cm in lung . clear"
    graph = graph_of(report, ("OBS-DP", 0, 0), ("ANAT-DP", 7, 7))
    study = make_study(report=report, graph=graph)
    seen = {frozenset(hidden_words(GraphMasking(), study, seed=i)) for i in range(30)}
    assert seen == {frozenset({0}), frozenset({7})}


def test_what_differs_in_more_than_spaces_is_shown_where_it_begins_to():
    study = make_study("s1", LOSSLESS, graph=graph_of("a 2 . 5 cm left - sided mass ."))
    with pytest.raises(DataError) as e:
        GraphMasking().mask_text(study, WordTokenizer(words=[]), make_rngs(1)[0], max_tokens=100)
    assert "From word 4 the report has 'nodule . no effusion', RadGraph 'mass .'" in str(e.value)
    assert "only its spaces may differ" in str(e.value)


@given(
    st.dictionaries(st.sampled_from(OBSERVATIONS), st.sampled_from([1, 0, -1])),
    st.sampled_from(["absent", "present"]),
    st.sampled_from(["alphabetical", "shuffled"]),
)
def test_label_masking_asks_for_14_statuses(values, uncertain, order):
    tokenizer = WordTokenizer(words=LabelMasking.words)
    masking = LabelMasking(uncertain=uncertain, order=order)
    text = masking.mask_text(
        make_study(labels=Labels(values)), tokenizer, make_rngs(1)[0], max_tokens=100
    )
    asked = text.labels != -100
    said = [tokenizer.decode([i]) for i in text.labels[asked].tolist()]
    assert len(said) == 14
    assert tokenizer.unk_id not in text.ids
    expected = [v == 1 or (v == -1 and uncertain == "present") for v in values.values()]
    assert said.count("present") == sum(expected)
    assert said.count("absent") == 14 - sum(expected)


def test_a_shuffled_label_report_says_the_same_in_another_order():
    tokenizer = WordTokenizer(words=LabelMasking.words)
    study = make_study(labels=Labels({"Edema": 1}))
    texts = [
        LabelMasking(order="shuffled").mask_text(study, tokenizer, rng, max_tokens=100)
        for rng in make_rngs(5)
    ]
    for text in texts:
        full = text.labels.where(text.labels != -100, text.ids).tolist()
        assert "edema is present" in tokenizer.decode(full)
    assert len({tuple(text.ids.tolist()) for text in texts}) == 5


def test_a_label_report_that_is_cut_loses_its_last_observations():
    tokenizer = WordTokenizer(words=LabelMasking.words)
    text = LabelMasking().mask_text(
        make_study(labels=Labels({})), tokenizer, make_rngs(1)[0], max_tokens=20
    )
    assert len(text.ids) == 20
    assert text.ids[-1] == tokenizer.sep_id
    assert (text.labels != -100).sum() == 3
