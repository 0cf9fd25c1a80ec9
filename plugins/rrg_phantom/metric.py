"""Finding F1 as a metric: reports parsed back through the grammar that wrote the references."""

from collections.abc import Sequence
from typing import final

from rrgcore.api import Metric, Pair, Scores

from .finding_f1 import finding_f1


@final
class PhantomFindings(Metric):
    """F1 of the positive findings in generated reports, micro over (observation, side).

    "finding F1 (exact)" asks for zone, severity and kind too. It reads the grammar's own sentences,
    so it means something for phantoms only.
    """

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        """Score a corpus."""
        found = finding_f1([p.prediction for p in pairs], [p.reference for p in pairs])
        return Scores(
            {"finding F1": found["finding_f1"], "finding F1 (exact)": found["finding_f1_exact"]},
            "positive findings parsed back from the phantom grammar, micro average over the corpus",
        )
