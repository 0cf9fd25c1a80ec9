"""Phrases that two reports share, by hand."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrgcore.insight.matching import both_sides, match_phrases, share_matched, words_of


def phrases(first, second, **options):
    return [
        (first[slice(*match.first_at)], second[slice(*match.second_at)])
        for match in match_phrases(first, second, **options)
    ]


def test_the_longest_run_wins_and_its_words_are_used_up():
    found = phrases("small left pleural effusion seen", "a small left pleural effusion")
    assert found == [("small left pleural effusion", "small left pleural effusion")]


def test_case_and_punctuation_do_not_matter():
    found = phrases(
        "The Heart is normal, without effusion.", "the heart (is) normal without EFFUSION"
    )
    assert found == [
        ("The Heart is normal, without effusion", "the heart (is) normal without EFFUSION")
    ]


def test_a_hyphen_parts_words_and_a_decimal_point_does_not():
    assert [word.key for word in words_of("right-sided, 2.5 cm")] == ["right", "sided", "2.5", "cm"]
    assert phrases("a right-sided mass", "right sided mass") == [
        ("right-sided mass", "right sided mass")
    ]


def test_a_run_of_empty_words_is_no_phrase():
    assert phrases("there is no edema", "there is no nodule") == []
    assert phrases("there is no edema", "there is no edema") != []


def test_a_phrase_ends_with_its_sentence():
    found = phrases("lungs are clear . heart is large .", "lungs are clear . heart is large .")
    assert [first for first, _ in found] == ["lungs are clear", "heart is large"]


def test_of_repeated_phrases_each_is_matched_once():
    found = match_phrases("no effusion . no effusion .", "no effusion .")
    assert [(match.first, match.second) for match in found] == [((0, 2), (0, 2))]


def test_shorter_phrases_than_least_are_left_out():
    assert phrases("pleural effusion", "pleural effusion", least=3) == []
    with pytest.raises(ValueError, match="at least one word"):
        match_phrases("a", "a", least=0)


def test_what_another_run_took_leaves_the_rest_of_a_phrase():
    first = "dense consolidation in the right lung base . right lung base opacity"
    second = "consolidation in the right lung base opacity"
    assert phrases(first, second) == [
        ("consolidation in the right lung base", "consolidation in the right lung base")
    ]


def test_ids_pair_the_pieces_of_both_reports():
    one, two = both_sides("heart is large . no effusion", "no effusion ; heart is large")
    assert one == [("heart is large", 0), (" . ", None), ("no effusion", 1)]
    assert two == [("no effusion", 1), (" ; ", None), ("heart is large", 0)]


def test_the_share_of_matched_words():
    first = "heart is large . lungs are clear"
    spans = [match.first for match in match_phrases(first, "heart is large")]
    assert share_matched(first, spans) == 0.5
    assert share_matched("", []) == 0


WORDS = st.lists(st.sampled_from(["a", "the", "lung", "left", ".", "2.5", "x-ray"]), max_size=14)


@settings(deadline=None, max_examples=50)
@given(WORDS, WORDS)
def test_spans_never_overlap_and_say_the_same_words_on_both_sides(first, second):
    first, second = " ".join(first), " ".join(second)
    matches = match_phrases(first, second)
    ours, theirs = words_of(first), words_of(second)
    for match in matches:
        assert [word.key for word in ours[slice(*match.first)]] == [
            word.key for word in theirs[slice(*match.second)]
        ]
    for side in ("first", "second"):
        spans = sorted(getattr(match, side) for match in matches)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert ["".join(piece for piece, _ in side) for side in both_sides(first, second)] == [
        first,
        second,
    ]
