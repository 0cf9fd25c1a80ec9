"""How far a report can be believed, and what that is worth."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from rrgcore.auroc import weighted_auroc
from rrgcore.prediction.confidence import (
    FEWEST,
    Confidence,
    auroc_interval,
    fit_confidence,
    measure_confidence,
)


def sample(count: int, seed: int = 0) -> tuple[list[float], list[bool]]:
    """Log-probabilities, and whether reports are wrong, more often the less likely they are."""
    rng = np.random.default_rng(seed)
    totals = -rng.gamma(4, 4, count)
    wrong = rng.random(count) < 1 / (1 + np.exp(2 + 0.2 * totals))
    return totals.tolist(), wrong.tolist()


def test_the_fit_is_that_of_logistic_regression() -> None:
    totals, wrong = sample(300)
    found = fit_confidence(totals, wrong)
    theirs = LogisticRegression(C=1e6, tol=1e-10).fit(np.array(totals)[:, None], ~np.array(wrong))

    assert isinstance(found, Confidence)
    assert found.slope == pytest.approx(theirs.coef_[0, 0], rel=1e-2)
    assert found.intercept == pytest.approx(theirs.intercept_[0], rel=1e-2)


def test_it_is_the_share_of_reports_that_are_right() -> None:
    found = fit_confidence(*sample(2000))
    totals, wrong = sample(2000, seed=1)

    assert isinstance(found, Confidence)
    believed = np.array([found.of(total) for total in totals])
    for low, high in ((0.0, 0.4), (0.4, 0.7), (0.7, 1.0)):
        chosen = (believed >= low) & (believed < high)
        assert believed[chosen].mean() == pytest.approx(
            1 - np.array(wrong)[chosen].mean(), abs=0.07
        )


@pytest.mark.parametrize("total", [-1e9, -3.0, 0.0, 1e9])
def test_it_is_a_number_from_0_to_1(total: float) -> None:
    assert 0 <= Confidence(1.0, 2.0).of(total) <= 1


def test_reports_that_are_told_apart_without_fail_can_be_fitted() -> None:
    found = fit_confidence([-1.0] * 20 + [-50.0] * 20, [False] * 20 + [True] * 20)

    assert isinstance(found, Confidence)
    assert found.of(-1.0) > 0.95 > 0.05 > found.of(-50.0)


@pytest.mark.parametrize("wrong", [FEWEST - 1, 100 - FEWEST + 1, 0, 100])
def test_too_few_of_one_kind_tell_nothing(wrong: int) -> None:
    found = fit_confidence([-1.0] * 100, [True] * wrong + [False] * (100 - wrong))

    assert f"{100 - wrong} name the findings right and {wrong} do not" in str(found)


def test_auroc_is_scikit_learn_s_with_ties_and_counts() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 9, 80) / 2, rng.random(80) < 0.3
    counts = rng.integers(0, 4, (5, 80)).astype(float)

    for row, found in zip(counts, weighted_auroc(scores, truth, counts), strict=True):
        expected = roc_auc_score(truth, scores, sample_weight=row)
        assert found == pytest.approx(expected)
    assert weighted_auroc(scores, np.zeros(80, bool), np.ones(80)) == 0.5


def test_what_is_measured_has_an_interval_and_simpler_scores_beside_it() -> None:
    totals, wrong = sample(200)
    confidences = [Confidence(2.0, 0.2).of(total) for total in totals]
    found = measure_confidence(confidences, wrong, {"words": [-total for total in totals]})
    value = found["AUROC"]

    assert value["low"] < value["value"] < value["high"]
    assert value["value"] == pytest.approx(roc_auc_score(wrong, [-c for c in confidences]))
    assert found["AUROC of simpler scores"]["words"] == pytest.approx(value["value"])
    assert (found["reports"], found["wrong"]) == (200, sum(wrong))
    assert auroc_interval([0.0, 1.0] * 20, [False, True] * 20).value == 1
