"""Finding F1 as a metric: reports parsed back through the grammar that wrote the references."""

from collections.abc import Sequence
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float

from rrgcore.scoring import Metric, Pair, ReadsFindings, Scores, Terms

from .finding_f1 import finding_counts
from .parse import parse_findings


@final
class PhantomFindings(Metric, ReadsFindings):
    """F1 of the positive findings in generated reports, micro over (observation, side).

    "finding F1 (exact)" asks for zone, severity and kind too. It reads the grammar's own sentences,
    so it means something for phantoms only.
    """

    exact: ClassVar[bool] = True

    def findings(self, pairs: Sequence[Pair]) -> list[tuple[frozenset[str], frozenset[str]]]:
        """Return the observations of each report, their sides left out."""
        return [(_named(pair.prediction), _named(pair.reference)) for pair in pairs]

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        """Score a corpus."""
        predictions, references = [p.prediction for p in pairs], [p.reference for p in pairs]
        terms = {
            name: Terms(
                np.array(finding_counts(predictions, references, exact=exact), float), _micro_f1
            )
            for name, exact in (("finding F1", False), ("finding F1 (exact)", True))
        }
        return Scores(
            {name: float(each.value(each.rows.sum(0))) for name, each in terms.items()},
            "positive findings parsed back from the phantom grammar, micro average over the "
            f"corpus; {len(pairs)} pairs",
            terms=terms,
        )


def _micro_f1(sums: Float[np.ndarray, "*draws 3"]) -> Float[np.ndarray, "*draws"]:
    """Return 2 · right / (written + true); 1 where there is nothing to find and nothing found."""
    said = sums[..., 1] + sums[..., 2]
    f1: Float[np.ndarray, "*draws"] = np.asarray(
        np.where(said == 0, 1.0, 2 * sums[..., 0] / np.maximum(said, 1))
    )
    return f1


def _named(report: str) -> frozenset[str]:
    return frozenset(each.observation for each in parse_findings(report) if each.positive)
