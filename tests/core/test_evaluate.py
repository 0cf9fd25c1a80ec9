"""Generating over a split and scoring it beside trivial baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from rrgcore.baselines import DRAWS, baseline_reports
from rrgcore.evaluate import (
    Prediction,
    distinct_share,
    generate_reports,
    score,
    score_beside_baselines,
    selected,
)
from rrgcore.interfaces import Metric
from rrgcore.job import make_accelerator
from rrgcore.probes import exchange_images
from rrgcore.session import Run
from rrgcore.studies import Studies
from rrgcore.types import Pair, Scores
from rrgcore.watch import Watcher


class SameWords(Metric):
    """The share of reports that are verbatim right."""

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        right = [pair.prediction == pair.reference for pair in pairs]
        slow = {} if quick else {"slow": 1.0}
        return Scores({"verbatim": float(np.mean(right)), **slow}, "verbatim")


METRICS: Mapping[str, Metric] = {"mine": SameWords()}


def predictions(*texts: str, references: Sequence[str] = ()) -> list[Prediction]:
    references = references or texts
    return [
        Prediction(str(i), reference, text, -1.0)
        for i, (text, reference) in enumerate(zip(texts, references, strict=True))
    ]


def test_the_most_frequent_report_is_given_to_every_study() -> None:
    found = baseline_reports(["a", "b", "b"], 4, np.random.default_rng(0))

    assert found["most frequent report"] == [["b", "b", "b", "b"]]


def test_of_equally_frequent_reports_the_first_is_taken() -> None:
    found = baseline_reports(["a", "b", "b", "a"], 1, np.random.default_rng(0))

    assert found["most frequent report"] == [["a"]]


def test_random_reports_are_drawn_twenty_times_from_the_training_reports() -> None:
    draws = baseline_reports(["a", "b", "c"], 50, np.random.default_rng(0))["random report"]

    assert len(draws) == DRAWS == 20
    assert all(set(draw) == {"a", "b", "c"} for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 20


def test_a_baseline_of_several_draws_is_their_mean() -> None:
    """Of training reports a and b, each draw has about half of the a's right."""
    pairs = predictions(*["x"] * 400, references=["a"] * 400)
    scores, baselines = score_beside_baselines(pairs, ["a", "b", "b"], METRICS, seed=0)

    assert scores["mine"].values["verbatim"] == 0
    assert baselines["most frequent report"]["mine"].values["verbatim"] == 0
    assert baselines["random report"]["mine"].values["verbatim"] == pytest.approx(1 / 3, abs=0.02)


def test_what_has_no_reference_is_not_scored_and_neither_are_its_baselines() -> None:
    pairs = predictions("a", "x", "y", references=["a", "", " ."])

    assert score(pairs, METRICS)["mine"].values["verbatim"] == 1
    scores, baselines = score_beside_baselines(pairs, ["a"], METRICS, seed=0)
    assert scores["mine"].values["verbatim"] == 1
    assert baselines["most frequent report"]["mine"].values["verbatim"] == 1


def test_baselines_are_the_same_for_the_same_seed() -> None:
    pairs = predictions(*"abcd")
    once, again, other = (
        score_beside_baselines(pairs, list("abcd"), METRICS, seed=seed)[1] for seed in (1, 1, 2)
    )

    assert once == again
    assert once != other


def test_a_quick_score_leaves_out_what_is_slow() -> None:
    assert score(predictions("a"), METRICS, quick=True)["mine"].values.keys() == {"verbatim"}
    assert score(predictions("a"), METRICS)["mine"].values.keys() == {"verbatim", "slow"}


def test_the_deciding_score_is_found_in_whichever_metric_has_it() -> None:
    scores = {"a": Scores({"x": 1.0}, ""), "b": Scores({"y": 2.0}, "")}

    assert selected(scores, "y") == 2.0
    assert selected(scores, "z") is None


def test_distinct_reports_are_a_share() -> None:
    assert distinct_share(predictions("a", "b", "a", "a")) == 0.5
    assert distinct_share([]) == 0


def test_every_study_gets_another_ones_images(finished: Run) -> None:
    studies = Studies(finished.plan)["test"]
    changed = exchange_images(studies, seed=0)

    assert [study.id for study in changed] == [study.id for study in studies]
    assert [study.report for study in changed] == [study.report for study in studies]
    assert all(a.images != b.images for a, b in zip(studies, changed, strict=True))
    assert {s.images for s in changed} == {s.images for s in studies}


def generated(run: Run, batch_size: int, **changes: Any) -> list[Prediction]:
    plan = run.plan
    model = run.model()
    loader = Studies(plan).loader(model, "test", training=False, batch_size=batch_size)
    watcher = Watcher()
    return generate_reports(model, loader, plan.generation, make_accelerator(plan), watcher, "")


def test_reports_are_written_in_the_order_of_the_studies_and_scored_whole(finished: Run) -> None:
    studies = Studies(finished.plan)["test"]
    found = generated(finished, 3)

    assert [p.id for p in found] == [study.id for study in studies]
    assert [p.reference for p in found] == [study.report for study in studies]
    assert all(p.logprob < 0 for p in found)


def test_what_is_written_does_not_depend_on_the_batch(finished: Run) -> None:
    one, four = generated(finished, 1), generated(finished, 4)

    assert [p.prediction for p in one] == [p.prediction for p in four]
    assert [p.logprob for p in one] == pytest.approx([p.logprob for p in four], abs=1e-5)


def test_a_model_is_left_in_the_mode_it_was_in(finished: Run) -> None:
    plan, model = finished.plan, finished.model()
    loader = Studies(plan).loader(model, "val", training=False)
    for training in (True, False):
        model.train(training)
        accelerator = make_accelerator(plan)
        generate_reports(model, loader, plan.generation, accelerator, Watcher(), "")
        assert model.training is training
