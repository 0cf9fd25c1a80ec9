"""Precision, recall and F1 of labels, each under a policy that is part of its name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Literal, final, get_args

import numpy as np
from jaxtyping import Float, Int8

from rrgcore.annotations import Labels
from rrgcore.chest import OBSERVATIONS
from rrgcore.scoring import Terms

Measure = Literal["P", "R", "F1"]
Count = Literal[14, 5]
Average = Literal["micro", "macro", "example", "weighted"]
Uncertain = Literal["positive", "negative", "ignored"]

COMPETITION: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Pleural Effusion",
)
"""The five tasks of CheXpert's competition (Irvin et al., 2019)."""

_COLUMNS: Mapping[Count, Sequence[int]] = {
    14: range(len(OBSERVATIONS)),
    5: [OBSERVATIONS.index(name) for name in COMPETITION],
}

_CELLS = 3 * len(OBSERVATIONS)
_OWN = tuple(product(get_args(Count), get_args(Measure)))
"""The scores of each report by itself, in the order of their columns."""


@final
@dataclass(frozen=True, slots=True)
class Policy:
    """What stands between labels and one number; as a text, the number's name."""

    measure: Measure
    observations: Count
    average: Average
    uncertain: Uncertain

    def __str__(self) -> str:
        return f"{self.measure} ({self.observations}, {self.average}, uncertain {self.uncertain})"


def policies(
    *,
    measures: Sequence[Measure] = get_args(Measure),
    observations: Sequence[Count] = get_args(Count),
    averages: Sequence[Average] = get_args(Average),
    uncertain: Sequence[Uncertain] = get_args(Uncertain),
) -> Iterator[Policy]:
    """Iterate over policies; P, R and F1 of one stand together."""
    for count in observations:
        for average in averages:
            for treatment in uncertain:
                for measure in measures:
                    yield Policy(measure, count, average, treatment)


def encode(labels: Sequence[Labels]) -> Int8[np.ndarray, "pairs observations"]:
    """Return 1 for positive, -1 for uncertain and 0 for the rest, in the order of OBSERVATIONS.

    What is not mentioned is as negative as what is denied.
    """
    rows = [[each.values.get(name, 0) for name in OBSERVATIONS] for each in labels]
    return np.array(rows, dtype=np.int8).reshape(len(labels), len(OBSERVATIONS))


@final
class Outcomes:
    """What encoded predictions and references share, under one treatment of the uncertain.

    "ignored" leaves out a cell, a pair's observation, where either of the two is uncertain.
    """

    def __init__(
        self,
        prediction: Int8[np.ndarray, "pairs observations"],
        reference: Int8[np.ndarray, "pairs observations"],
        uncertain: Uncertain,
    ) -> None:
        positive = (-1, 1) if uncertain == "positive" else (1,)
        predicted, true = np.isin(prediction, positive), np.isin(reference, positive)
        self.left_out = np.zeros_like(true)
        if uncertain == "ignored":
            self.left_out = (prediction == -1) | (reference == -1)
            predicted, true = predicted & ~self.left_out, true & ~self.left_out
        counts = np.stack([predicted & true, predicted, true], axis=1).astype(np.float64)
        own = [
            _score(measure, *np.moveaxis(counts[..., _COLUMNS[count]].sum(axis=-1), 1, 0))
            for count, measure in _OWN
        ]
        self.rows: Float[np.ndarray, "pairs cells"] = np.concatenate(
            [counts.reshape(len(counts), _CELLS), np.stack([*own, np.ones(len(counts))], axis=1)],
            axis=1,
        )
        """Of each pair: which observations are positive in both, in the prediction and in the
        reference; its own P, R and F1; and 1.

        One array for all scores, so that whoever resamples pairs draws and sums once.
        """
        self.sums: Float[np.ndarray, " cells"] = self.rows.sum(axis=0)

    def terms(self, policy: Policy) -> Terms:
        """Return what a score is made of."""
        if policy.average == "example":
            column = _CELLS + _OWN.index((policy.observations, policy.measure))
            return Terms(self.rows, partial(_mean, column=column))
        columns = _COLUMNS[policy.observations]
        value = partial(_corpus, measure=policy.measure, average=policy.average, columns=columns)
        return Terms(self.rows, value)

    def observations(self) -> dict[str, Any]:
        """Return each observation's own scores and counts, as JSON."""
        both, predicted, true = _by_observation(self.sums)
        scores = {each: _score(each, both, predicted, true) for each in get_args(Measure)}
        left_out = self.left_out.sum(axis=0)
        return {
            name: {
                **{measure: float(values[i]) for measure, values in scores.items()},
                "support": int(true[i]),
                "predicted": int(predicted[i]),
                "left out": int(left_out[i]),
            }
            for i, name in enumerate(OBSERVATIONS)
        }


def _corpus(
    sums: Float[np.ndarray, "*draws cells"],
    *,
    measure: Measure,
    average: Average,
    columns: Sequence[int],
) -> Float[np.ndarray, "*draws"]:
    counts = _by_observation(sums)[..., columns]
    if average == "micro":
        counts = counts.sum(axis=-1, keepdims=True)
    both, predicted, true = np.moveaxis(counts, -2, 0)
    scores = _score(measure, both, predicted, true)
    if average == "weighted":
        shares = _ratio(true, np.broadcast_to(true.sum(axis=-1, keepdims=True), true.shape))
        return np.asarray((scores * shares).sum(axis=-1))
    return np.asarray(scores.mean(axis=-1))


def _mean(sums: Float[np.ndarray, "*draws cells"], *, column: int) -> Float[np.ndarray, "*draws"]:
    return np.asarray(sums[..., column] / sums[..., -1])


def _by_observation(
    cells: Float[np.ndarray, "*draws cells"],
) -> Float[np.ndarray, "*draws 3 observations"]:
    return cells[..., :_CELLS].reshape(*cells.shape[:-1], 3, len(OBSERVATIONS))


def _score(
    measure: Measure,
    both: Float[np.ndarray, "*any"],
    predicted: Float[np.ndarray, "*any"],
    true: Float[np.ndarray, "*any"],
) -> Float[np.ndarray, "*any"]:
    match measure:
        case "P":
            return _ratio(both, predicted)
        case "R":
            return _ratio(both, true)
        case "F1":
            return _ratio(2 * both, predicted + true)


def _ratio(
    above: Float[np.ndarray, "*any"], below: Float[np.ndarray, "*any"]
) -> Float[np.ndarray, "*any"]:
    """Divide; what is undefined is 0, as scikit-learn's zero_division=0 has it."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
