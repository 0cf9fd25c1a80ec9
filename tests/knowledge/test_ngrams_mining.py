"""Observation n-grams: what is counted, how it is scored, in what order it stands."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg_knowledge.ngrams_lists import count_by_length
from rrg_knowledge.ngrams_mining import associate, mine_ngrams
from rrg_knowledge.ngrams_pmi import count_together, score_literal, score_organ
from rrg_knowledge.ngrams_vocabulary import mine_vocabulary, usual_frequency
from rrg_knowledge.ngrams_words import STOP_WORDS, tidy

CLOSE = pytest.approx


# ---- the golden cases -------------------------------------------------------------------------


@pytest.fixture
def pmi(golden: Callable[[str], Any]) -> Any:
    return golden("cmeaa_pmi")


def read_case(pmi: Any) -> tuple[list[str], list[dict[str, int]], Mapping[str, int]]:
    reports = pmi["inputs"]["reports"]
    labels = [{k: int(v) for k, v in pmi["inputs"]["tags"][id].items()} for id in reports]
    return list(reports.values()), labels, pmi["expected"]["occurrence_count"]


@pytest.mark.parametrize(
    ("unit", "score", "expected"),
    [
        ("occurrences", score_organ, "organ_pmi_log2"),
        ("reports", score_literal, "literal_pmi_ln"),
    ],
)
def test_scores_are_the_golden_ones(pmi: Any, unit: Any, score: Any, expected: str) -> None:
    counts = count_together(*read_case(pmi), unit)
    found = {f"{y}@{x}": value for y, of in score(counts).items() for x, value in of.items()}
    assert found == CLOSE(pmi["expected"][expected], abs=1e-9)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("organ", "organ_ranked_with_threshold_0"), ("literal", "literal_ranked_positive")],
)
def test_lists_are_the_golden_ones(pmi: Any, method: Any, expected: str) -> None:
    lists = associate(*read_case(pmi), method)
    assert {name: list(ngrams) for name, ngrams in lists.items()} == pmi["expected"][expected]


def test_counts_are_the_golden_ones(pmi: Any) -> None:
    counts = count_together(*read_case(pmi), "reports")
    assert counts.ngrams == pmi["expected"]["document_frequency"]
    carried = {name: len(reports) for name, reports in counts.carriers.items()}
    assert carried == pmi["expected"]["observation_report_count"]


# ---- the vocabulary ---------------------------------------------------------------------------


def mine(reports: list[str], **options: Any) -> dict[str, int]:
    return mine_vocabulary(reports, **{"min_count": 0, "frequency": 0, **options})


def test_words_that_attract_each_other_stay_together() -> None:
    reports = ["pleural effusion seen .", "lungs seen .", "heart seen .", "spine seen ."]
    # ln(5·1/(1·1)) = 1.61 for "pleural effusion", ln(5·1/(1·4)) = 0.22 for "effusion seen"
    assert mine(reports, min_pmi=1.0) == {"pleural effusion": 1, "spine": 1, "lungs": 1, "heart": 1}


def test_the_last_piece_of_a_sentence_is_not_counted() -> None:
    assert mine(["heart enlarged lungs ."], min_pmi=9.0) == {"heart": 1, "enlarged": 1}
    assert mine(["lungs ."]) == {}


def test_every_occurrence_is_counted_once_a_piece_was_one_alone() -> None:
    reports = ["effusion seen . pleural effusion . pleural effusion ."]
    assert mine(reports, min_pmi=1.2)["effusion"] == 3


def test_thresholds_are_exceeded_not_reached() -> None:
    reports = ["heart large ."] * 3
    assert mine(reports, min_pmi=9.0, min_count=2, frequency=2) == {"heart": 3}
    assert mine(reports, min_pmi=9.0, min_count=3, frequency=2) == {}
    assert mine(reports, min_pmi=9.0, min_count=2, frequency=3) == {}


def test_a_piece_longer_than_allowed_is_dropped_whole() -> None:
    reports = ["lung base opacity seen .", "seen . seen . seen ."]
    assert mine(reports, longest=3) == {"lung base opacity": 1}
    assert mine(reports, longest=2) == {}


def test_what_is_left_without_stop_words_must_have_been_kept_itself() -> None:
    assert tidy("the heart") == "heart"
    together = ["the heart is large ."] * 4
    assert mine(together, min_pmi=0.1, longest=4) == {}
    assert "heart" in mine([*together, "heart seen ."], min_pmi=1.1)


@pytest.mark.parametrize(
    ("phrase", "left"),
    [
        ("the lungs are clear", "lungs are clear"),
        ("heart is in the", "heart"),
        ("size of the heart", None),
        ("no", None),
        ("no xx", None),
        ("3 views", None),
        ("t12", None),
        ("lung - base", None),
        ("lung base -", "lung base"),
        ("post-operative changes", "post-operative changes"),
        ("without", "without"),
    ],
)
def test_stop_words_go_from_the_ends(phrase: str, left: str | None) -> None:
    assert tidy(phrase) == left


def test_the_usual_frequency_is_that_of_the_published_file_and_of_the_script_for_mimic() -> None:
    assert [usual_frequency(n) for n in (2069, 222_758, 1000, 0)] == [150, 200, 72, 0]


def test_nothing_comes_of_nothing() -> None:
    assert mine_ngrams([], []) == {}
    assert mine_ngrams(["", "..."], [{"Edema": 1}, {}], frequency=0, min_count=0) == {}


# ---- the order --------------------------------------------------------------------------------


def rank_for(reports: list[str], vocabulary: list[str]) -> tuple[str, ...]:
    """Rank for an observation that all but an empty report carry."""
    labels = [{"Edema": 1} for _ in reports]
    counts = dict.fromkeys(vocabulary, 1)
    return associate([*reports, ""], [*labels, {}], counts, "organ")["Edema_True"]


def test_of_equals_more_words_then_more_letters_come_first() -> None:
    reports = ["lung opacities edema left lung base"]
    vocabulary = ["edema", "left lung", "opacities", "left lung base"]
    assert rank_for(reports, vocabulary) == ("left lung base", "left lung", "opacities", "edema")


def test_other_equals_stand_in_the_order_of_the_reports_that_spell_them() -> None:
    assert rank_for(["base", "lung"], ["lung", "base"]) == ("base", "lung")
    assert rank_for(["lung base"], ["base", "lung"]) == ("base", "lung")


def test_a_word_is_spelt_inside_another_too() -> None:
    assert rank_for(["lungs", "base", "lung"], ["base", "lung"]) == ("lung", "base")


def test_words_two_spaces_apart_are_no_ngram() -> None:
    assert rank_for(["left  lung", "lung"], ["left lung", "lung"]) == ("lung",)


# ---- what holds of any reports ----------------------------------------------------------------

WORDS = st.sampled_from(
    ["the", "lungs", "are", "clear", "no", "heart", "size", "is", "enlarged", ".", ".", "2"]
)
REPORTS = st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=12)
LABELS = st.dictionaries(st.sampled_from(["Edema", "Fracture"]), st.sampled_from([1, 0, -1]))
LOOSE = {"min_count": 0, "min_pmi": 0.3, "frequency": 0, "cleaning": "none"}
SOME = settings(max_examples=25, deadline=None)


def read_plainly(reports: list[str], min_pmi: float) -> dict[str, int]:
    """The procedure as `mine_vocabulary` tells it, word by word, nothing being too rare."""
    sentences = [part.split() for report in reports for part in report.split(".") if part.strip()]
    words = Counter(word for sentence in sentences for word in sentence)
    pairs = Counter(pair for sentence in sentences for pair in pairwise(sentence))
    pieces, everywhere = set[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for sentence in sentences:
        begin = 0
        for at, (one, other) in enumerate(pairwise(sentence), start=1):
            odds = pairs[one, other] * pairs.total() / (words[one] * words[other])
            if math.log(odds) < min_pmi:
                pieces.add(tuple(sentence[begin:at]))
                begin = at
        for begin, end in combinations(range(len(sentence) + 1), 2):
            everywhere[tuple(sentence[begin:end])] += 1
    kept = {" ".join(piece): everywhere[piece] for piece in pieces if len(piece) <= 4}
    return {
        left: kept[left] for piece in kept if (left := tidy(piece)) is not None and left in kept
    }


@SOME
@given(REPORTS, st.sampled_from([0.0, 0.3, 1.0, 9.0]))
def test_the_vocabulary_is_that_of_a_plain_reading(reports: list[str], min_pmi: float) -> None:
    found = mine(reports, min_pmi=min_pmi)
    assert found == read_plainly(reports, min_pmi)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@SOME
@given(REPORTS, st.randoms(use_true_random=False))
def test_counts_do_not_depend_on_the_order_of_reports(reports: list[str], chance: Any) -> None:
    options: Any = {"min_count": 0, "min_pmi": 0.3, "frequency": 0}
    found = mine_vocabulary(reports, **options)
    shuffled = chance.sample(reports, len(reports))
    assert list(mine_vocabulary(shuffled, **options).items()) == list(found.items())


@SOME
@given(REPORTS, st.data())
def test_no_ngram_begins_or_ends_with_a_stop_word(reports: list[str], data: Any) -> None:
    labels = [data.draw(LABELS) for _ in reports]
    options: Any = {**LOOSE, "method": data.draw(st.sampled_from(["organ", "literal"]))}
    for ngrams in mine_ngrams(reports, labels, **options).values():
        assert len(set(ngrams)) == len(ngrams)
        assert not any({ngram.split()[0], ngram.split()[-1]} & STOP_WORDS for ngram in ngrams)


@SOME
@given(REPORTS, st.data())
def test_lists_are_sorted_by_score_and_keep_none_below_zero(reports: list[str], data: Any) -> None:
    labels = [data.draw(LABELS) for _ in reports]
    vocabulary = mine_vocabulary(reports, min_count=0, min_pmi=0.3, frequency=0)
    scores = score_organ(count_together(reports, labels, vocabulary, "occurrences"))
    lists = associate(reports, labels, vocabulary, "organ")
    for observation, found in scores.items():
        ranked = [found[ngram] for ngram in lists.get(observation, ())]
        assert ranked == sorted((s for s in found.values() if s >= 0), reverse=True)


def test_pairs_are_counted_by_length() -> None:
    lists = {"Edema_True": ("edema", "lung base", "mild"), "Edema_False": ("mild",)}
    assert count_by_length(lists) == {
        "1-gram": {"pairs": 3, "n-grams": 2},
        "2-gram": {"pairs": 1, "n-grams": 1},
    }
