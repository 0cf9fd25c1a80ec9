"""Finding F1: how much of what a report should have found it did find."""

from collections.abc import Callable, Iterable, Sequence

from rrgcore.chest import OBSERVATIONS

from .parse import parse_findings
from .statement import Statement

Key = tuple[str | None, ...]


def finding_f1(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Precision, recall and F1 of the positive findings of generated reports, in [0, 1].

    Present and uncertain findings count alike, denials do not count, and a finding repeated in a
    report counts once. `finding_f1` is the micro average over (observation, side), the headline;
    `_observation` is over the observation alone, `_exact` over all fields. `finding_f1_macro` is
    the mean F1 by (observation, side) of the observations that are found at all. Without findings
    on either side every score is 1.
    """
    assert len(predictions) == len(references), "one prediction is needed for each reference"
    found = [[s for s in parse_findings(text) if s.positive] for text in predictions]
    true = [[s for s in parse_findings(text) if s.positive] for text in references]
    scores: dict[str, float] = {}
    for suffix, key in (("", _sided), ("_observation", _observation), ("_exact", _exact)):
        precision, recall, f1 = _micro(_keys(found, key), _keys(true, key))
        scores |= {
            f"finding_precision{suffix}": precision,
            f"finding_recall{suffix}": recall,
            f"finding_f1{suffix}": f1,
        }
    scores["finding_f1_macro"] = _macro(_keys(found, _sided), _keys(true, _sided))
    return scores


def finding_counts(
    predictions: Sequence[str], references: Sequence[str], *, exact: bool = False
) -> list[tuple[int, int, int]]:
    """Count each report's findings: right, written, true; F1 is 2 · right / (written + true)."""
    key = _exact if exact else _sided
    counts = []
    for prediction, reference in zip(predictions, references, strict=True):
        found, true = (
            {key(s) for s in parse_findings(text) if s.positive} for text in (prediction, reference)
        )
        counts.append((len(found & true), len(found), len(true)))
    return counts


def _observation(statement: Statement) -> Key:
    return (statement.observation,)


def _sided(statement: Statement) -> Key:
    return statement.observation, statement.side


def _exact(statement: Statement) -> Key:
    return (*_sided(statement), statement.zone, statement.severity, statement.kind)


def _keys(
    reports: Iterable[Iterable[Statement]], key: Callable[[Statement], Key]
) -> set[tuple[int, Key]]:
    return {(i, key(statement)) for i, report in enumerate(reports) for statement in report}


def _micro(found: set[tuple[int, Key]], true: set[tuple[int, Key]]) -> tuple[float, float, float]:
    if not found and not true:
        return 1.0, 1.0, 1.0
    hits = len(found & true)
    precision = hits / len(found) if found else 0.0
    recall = hits / len(true) if true else 0.0
    return precision, recall, 2 * hits / (len(found) + len(true))


def _macro(found: set[tuple[int, Key]], true: set[tuple[int, Key]]) -> float:
    f1s = []
    for observation in OBSERVATIONS:
        of_one = [{(i, k) for i, k in keys if k[0] == observation} for keys in (found, true)]
        if any(of_one):
            f1s.append(_micro(*of_one)[2])
    return sum(f1s) / len(f1s) if f1s else 1.0
