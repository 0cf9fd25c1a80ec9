"""The papers' AVG.Δ: one figure for a row of an ablation, against another row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

NLG = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "METEOR", "CIDEr")
"""Every score of natural language generation that KIA names (§4.2), as its Table 1 has them."""
LEAST = 5e-5
"""A reference below it is printed as 0.0000: a change relative to it says nothing."""


@final
@dataclass(frozen=True, slots=True)
class Definition:
    """What a paper's average change is an average of."""

    columns: Sequence[str]
    """The table's, unless others are asked for."""
    over: Sequence[str] | None
    """What is averaged; None for the columns that the table has."""
    about: str


DEFINITIONS: Mapping[str, Definition] = {
    "cmeaa": Definition(
        ("BLEU-1", "BLEU-4", "ROUGE-L"), None, "the mean relative change of the columns"
    ),
    "kia": Definition(NLG, NLG, "the mean relative change of all NLG metrics"),
}
"""CmEAA, Table 3 and §3.3; KIA, Table 3 and §4.4 (docs/ablations.md has the evidence)."""


def average_change(
    ours: Mapping[str, float], reference: Mapping[str, float], metrics: Sequence[str]
) -> float | None:
    """Return the mean over metrics of (ours − reference) / reference; None where it has no value.

    That is where a row lacks one of the metrics, or the reference's is 0 as it is printed.
    """
    if not metrics or any(m not in ours or reference.get(m, 0.0) < LEAST for m in metrics):
        return None
    return sum(ours[m] / reference[m] - 1 for m in metrics) / len(metrics)
