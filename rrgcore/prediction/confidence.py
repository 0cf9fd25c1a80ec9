"""How far a report can be believed: the probability that the model gives to it, as it turned out on
validation studies, and what that is worth on others.

Of what was tried (docs/predict.md), the log-probability of the whole report is as good as any
combination of what the model says of its tokens, and two numbers are all there is to fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Final, final

import numpy as np

from rrgcore.auroc import weighted_auroc
from rrgcore.scoring.significance import DRAWS, Interval, middle, resamples

FEWEST: Final = 10
"""Validation reports that are right, and that are wrong, from which a confidence can be fitted."""
STEPS: Final = 50
RIDGE: Final = 1e-3
"""Keeps the fit finite where log-probabilities part right from wrong without fail."""


@final
@dataclass(frozen=True, slots=True)
class Confidence:
    """P(right) = 1 / (1 + exp(−(intercept + slope · log P(report))))."""

    intercept: float
    slope: float

    def of(self, total: float) -> float:
        """Return the confidence in a report by its log-probability, the sum over its tokens."""
        return 1 / (1 + exp(-float(np.clip(self.intercept + self.slope * total, -500, 500))))


def fit_confidence(totals: Sequence[float], wrong: Sequence[bool]) -> Confidence | str:
    """Fit the two numbers by maximum likelihood; returns why that cannot be done, where it cannot.

    `wrong` are the reports that miss or invent a finding.
    """
    right = len(wrong) - sum(wrong)
    if min(right, sum(wrong)) < FEWEST:
        return (
            f"of {len(wrong)} validation reports {right} name the findings right and {sum(wrong)} "
            f"do not; {FEWEST} of each are needed"
        )
    values, aims = np.array(totals, dtype=np.float64), 1.0 - np.array(wrong, dtype=np.float64)
    mean, scale = float(values.mean()), float(values.std()) or 1.0
    design = np.stack([np.ones_like(values), (values - mean) / scale], axis=1)
    weights = np.zeros(2)
    for _ in range(STEPS):  # Newton's method, which may step too far where all are told apart
        chances = 1 / (1 + np.exp(-np.clip(design @ weights, -50, 50)))
        gradient = design.T @ (aims - chances) - RIDGE * weights
        curvature = (design.T * (chances * (1 - chances))) @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        length = np.abs(step).max()
        weights = weights + step * min(1.0, 1 / max(length, 1e-12))
        if length < 1e-10:
            break
    slope = float(weights[1]) / scale
    return Confidence(float(weights[0]) - slope * mean, slope)


def auroc_interval(scores: Sequence[float], wrong: Sequence[bool], *, seed: int = 0) -> Interval:
    """Return the AUROC of scores for "this report is wrong", with its bootstrap interval."""
    values, truth = np.array(scores, dtype=np.float64), np.array(wrong, dtype=bool)
    drawn = np.concatenate(
        [weighted_auroc(values, truth, counts) for counts in resamples(len(values), DRAWS, seed)]
    )
    low, high = middle(drawn)
    return Interval(float(weighted_auroc(values, truth, np.ones(len(values)))), low, high)


def measure_confidence(
    confidences: Sequence[float],
    wrong: Sequence[bool],
    beside: Mapping[str, Sequence[float]],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what scores.json says of a confidence: its AUROC for "this report misses or invents a
    finding", that of simpler scores `beside` it, each higher where the report is the more doubtful,
    and how near it is to the share of right reports.
    """
    found = auroc_interval([-confidence for confidence in confidences], wrong, seed=seed)
    truth = np.array(wrong, dtype=bool)
    return {
        "AUROC": {"value": found.value, "low": found.low, "high": found.high},
        "reports": len(wrong),
        "wrong": int(truth.sum()),
        "mean confidence": float(np.mean(confidences)),
        "AUROC of simpler scores": {
            name: float(weighted_auroc(np.array(scores, float), truth, np.ones(len(truth))))
            for name, scores in beside.items()
        },
    }
