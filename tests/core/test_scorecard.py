"""Scores beside what they must be read beside: baselines, leakage, intervals."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu

from rrgcore.scoring import Metric, Pair, Scores, mean_terms
from rrgcore.scoring.baselines import DRAWS, LARGE, Baseline, best_constant, make_baselines
from rrgcore.scoring.leakage import leakage
from rrgcore.scoring.scorecard import fit_metrics, flat, make_scorecard, score, selected


class SameWords(Metric):
    """The share of reports that are verbatim right."""

    def __init__(self) -> None:
        self.training: list[str] = []

    def fit(self, training: Sequence[str]) -> None:
        self.training = list(training)

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        right = [float(pair.prediction == pair.reference) for pair in pairs]
        slow = {} if quick else {"slow": 1.0}
        terms = {"verbatim": mean_terms(right)}
        return Scores({"verbatim": float(np.mean(right)), **slow}, "verbatim", terms=terms)


METRICS = {"mine": SameWords()}


def pairs(*texts: str, references: Sequence[str] = ()) -> list[Pair]:
    both = zip(texts, references or texts, strict=True)
    return [Pair(str(i), text, reference) for i, (text, reference) in enumerate(both)]


def baselines(
    training: Sequence[str], count: int, validation: Sequence[str] = ()
) -> dict[str, Baseline]:
    return make_baselines(training, [], count, np.random.default_rng(0))


def test_the_most_frequent_report_is_given_to_every_study() -> None:
    found = baselines(["a", "b", "b"], 4)["most frequent report"]

    assert found.draws == [["b", "b", "b", "b"]]
    assert found.about == "of training, 2 of 3: b"


def test_of_equally_frequent_reports_the_first_is_taken() -> None:
    assert baselines(["a", "b", "b", "a"], 1)["most frequent report"].draws == [["a"]]


def test_random_reports_are_drawn_twenty_times_from_the_training_reports() -> None:
    draws = baselines(["a", "b", "c"], 50)["random report"].draws

    assert len(draws) == DRAWS == 20
    assert all(set(draw) == {"a", "b", "c"} for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 20


def test_of_a_large_split_fewer_draws_are_as_steady() -> None:
    assert len(baselines(["a", "b"], LARGE // 4)["random report"].draws) == 4


SENTENCES = [
    "the lungs are clear .",
    "no pleural effusion or pneumothorax .",
    "heart size is normal .",
    "there is a large left pleural effusion .",
]
report = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4).map(" ".join)


@given(st.lists(report, min_size=2, max_size=12), st.lists(report, max_size=6))
def test_the_best_constant_is_the_one_that_the_real_scorer_finds_best(
    training: list[str], validation: list[str]
) -> None:
    """Of the candidates, none has a higher BLEU-4 as the answer to every report."""
    every = [*training, *validation]
    chosen = best_constant(every, training, np.random.default_rng(0))

    def bleu(text: str) -> float:
        references = {i: [reference] for i, reference in enumerate(every)}
        answers = {key: [text] for key in references}
        return float(Bleu(4).compute_score(references, answers, verbose=0)[0][3])

    assert chosen in training
    assert bleu(chosen) == pytest.approx(max(map(bleu, training)), rel=1e-6, abs=1e-6)


def test_the_constant_is_chosen_without_the_reports_it_is_scored_with() -> None:
    """The test split would like "c c c c c"; training and validation never saw it win."""
    card = make_scorecard(
        pairs("x", "x", references=["c c c c c"] * 2),
        METRICS,
        training=["a a a a a", "b b b b b", "b b b b b", "c c c c c"],
        validation=["a a a a a", "a a a a a"],
    )

    assert card.about["best constant report"].endswith("a a a a a")
    assert card.baselines["best constant report"]["mine"].values["verbatim"] == 0


def test_a_baseline_of_several_draws_is_their_mean() -> None:
    """Of training reports a and b, each draw has about a third of the a's right."""
    card = make_scorecard(
        pairs(*["x"] * 400, references=["a"] * 400), METRICS, training=["a", "b", "b"]
    )

    assert card.scores["mine"].values["verbatim"] == 0
    assert card.baselines["most frequent report"]["mine"].values["verbatim"] == 0
    random = card.baselines["random report"]["mine"].values["verbatim"]
    assert random == pytest.approx(1 / 3, abs=0.02)


def test_baselines_of_the_model_stand_beside_those_of_the_data() -> None:
    nearest = {"nearest report (IRC)": Baseline([["a", "b"]], "of training")}
    card = make_scorecard(pairs("a", "b"), METRICS, training=["a"], others=nearest)

    assert next(iter(card.baselines)) == "nearest report (IRC)"
    assert card.baselines["nearest report (IRC)"]["mine"].values["verbatim"] == 1


def test_baselines_are_the_same_for_the_same_seed() -> None:
    once, again, other = (
        make_scorecard(pairs(*"abcd"), METRICS, training=list("abcd"), seed=seed).baselines
        for seed in (1, 1, 2)
    )

    assert {name: s["mine"].values for name, s in once.items()} == {
        name: s["mine"].values for name, s in again.items()
    }
    assert once["random report"]["mine"].values != other["random report"]["mine"].values


def test_without_training_reports_there_are_no_baselines_and_no_leakage_to_tell() -> None:
    card = make_scorecard(pairs("a", "b"), METRICS)

    assert card.baselines == {}
    assert card.leakage.verbatim is None


def test_a_metric_is_shown_the_training_reports() -> None:
    metric = SameWords()
    fit_metrics({"mine": metric}, ["a", "b"])

    assert metric.training == ["a", "b"]


def test_a_score_has_an_interval_where_sums_make_it() -> None:
    card = make_scorecard(pairs("a", "x", "x", "d", references=list("abcd")), METRICS)

    interval = card.intervals["mine"]["verbatim"]
    assert interval.value == 0.5
    assert 0 <= interval.low < 0.5 < interval.high <= 1
    assert "slow" not in card.intervals["mine"]
    assert card.to_json()["intervals"]["mine"]["verbatim"] == [interval.low, interval.high]


def test_a_quick_score_leaves_out_what_is_slow() -> None:
    assert score(pairs("a"), METRICS, quick=True)["mine"].values.keys() == {"verbatim"}
    assert score(pairs("a"), METRICS)["mine"].values.keys() == {"verbatim", "slow"}


def test_a_score_is_found_by_its_name_and_by_that_of_its_protocol() -> None:
    scores = {"a": Scores({"x": 1.0}, ""), "b": Scores({"x": 3.0, "y": 2.0}, "")}

    assert selected(scores, "y") == 2.0
    assert selected(scores, "x") == 1.0
    assert selected(scores, "b.x") == 3.0
    assert selected(scores, "z") is None
    assert flat(scores) == {"a.x": 1.0, "b.x": 3.0, "b.y": 2.0}


def test_leakage_counts_references_that_training_has_word_for_word() -> None:
    found = leakage(
        pairs("p", "q", "p", "p", references=["The lungs are  clear .", "b", "c", "d"]),
        ["the lungs are clear .", "c .", "e"],
    )

    assert found.verbatim == 0.25
    assert found.distinct == 0.5
    assert (found.most_frequent, found.most_frequent_share) == ("p", 0.75)
    assert found.empty == 0
    assert leakage(pairs("", "a", references=["a", "a"]), []).empty == 0.5


def test_a_metric_that_fails_is_heard() -> None:
    """Never a silent zero: what a scorer raises passes through."""

    class Broken(Metric):
        def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
            raise ZeroDivisionError("of all things")

    with pytest.raises(ZeroDivisionError, match="of all things"):
        make_scorecard(pairs("a"), {"broken": Broken()})
