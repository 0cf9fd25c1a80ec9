"""The contract of a metric."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from rrgcore.scoring import Metric, Pair, Scores
from rrgcore.testing.subject import Subject


def check_metric(s: Subject) -> None:
    """Check that right answers score best, and that order, company and haste change no number."""
    metric: Metric = s.build()
    reports = [study.report or "" for study in s.studies]
    s.expect(len(set(reports)) > 1, "give studies that differ in their reports")
    same = _pairs(reports, reports)
    wrong = _pairs(reports, [*reports[1:], reports[0]])
    # often, so that no word of theirs is rare
    with s.trying("fit"):
        metric.fit(reports * 10)
    with s.trying("score"):
        best, other = metric.score(same), metric.score(wrong)
    for scores in (best, other):
        _check_scores(s, scores)
    for name in best.values.keys() & other.values.keys():
        s.expect(
            best.values[name] >= other.values[name] - 1e-9,
            f"'{name}' is {best.values[name]:.4g} for predictions that equal their references and "
            f"{other.values[name]:.4g} for others; a higher value must be better, since the best "
            "checkpoint is chosen by it",
        )
    s.expect(
        best.fingerprint == metric.score(same).fingerprint,
        "its fingerprint changes from one call to the next",
    )
    half = len(wrong) // 2
    _check_same(
        s, other, metric.score([*wrong[half:], *wrong[:half]]), "another order of the pairs"
    )
    with s.trying("score with quick=True"):
        quick = metric.score(wrong, quick=True)
    more = sorted(quick.values.keys() - other.values.keys())
    s.expect(not more, f"quick=True computes more than the whole: {', '.join(more)}")
    _check_same(s, quick, other, "score with quick=True")
    with s.trying("score_all"):
        both = metric.score_all({"best": same, "other": wrong})
    s.expect(
        list(both) == ["best", "other"],
        f"score_all of the systems best and other returns {list(both)}",
    )
    _check_same(s, both["best"], best, "score_all")


def _pairs(references: Sequence[str], predictions: Sequence[str]) -> list[Pair]:
    return [
        Pair(f"study-{number}", prediction, reference)
        for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True))
    ]


def _check_scores(s: Subject, scores: Any) -> None:
    s.expect(
        isinstance(scores, Scores), f"score returns a {type(scores).__name__}; expected Scores"
    )
    s.expect(bool(scores.values or scores.missing), "score returns no number")
    for name, value in scores.values.items():
        s.expect(
            isinstance(value, float) and isfinite(value),
            f"'{name}' is {value!r}; expected a finite float",
        )
    for name, terms in scores.terms.items():
        s.expect(name in scores.values, f"it has terms of '{name}' and no such value")
        total = float(terms.value(terms.rows.sum(0)))
        s.expect(
            abs(total - scores.values[name]) < 1e-9,
            f"the terms of '{name}' add up to {total!r}, and its value is {scores.values[name]!r}",
        )
    s.expect(
        isinstance(scores.fingerprint, str) and bool(scores.fingerprint.strip()),
        "its fingerprint is empty: say what makes the numbers comparable (tokens, averages, cuts)",
    )


def _check_same(s: Subject, one: Scores, other: Scores, what: str) -> None:
    for name in one.values.keys() & other.values.keys():
        s.expect(
            abs(one.values[name] - other.values[name]) < 1e-6,
            f"{what} makes '{name}' {one.values[name]:.6g} instead of {other.values[name]:.6g}",
        )
