"""The annotator `nearest_by_probabilities`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, final

import numpy as np
from jaxtyping import Float

from rrg_knowledge.nearest_index import (
    Measure,
    ReportIndex,
    check_count,
    entries_of,
    own_report,
)
from rrgcore.annotations import NearestReport, Probabilities
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator

CERTAIN: Final = 1e-3
"""No probability counts as nearer to 0 or 1 than this: beyond it the logits only grow."""


@final
class NearestByProbabilities(Annotator):
    """argmin_j ‖logit p(X) − logit p(X_j)‖ over the training studies j: the report of the study
    that the classifier takes for the most like.

    A study with a report gets its own, as in training. For k > 1 the texts are joined, all
    different if `dedupe`. It needs no other run; what the classifier does not name, such as the
    side, it cannot find. It stands where CmEAA, A.1, has a CLIP.
    """

    writes: ClassVar[type] = NearestReport
    keeps_studies: ClassVar[bool] = True
    reads: ClassVar[tuple[type, ...]] = (Probabilities,)

    def __init__(self, *, measure: Measure = "l2", k: int = 1, dedupe: bool = True) -> None:
        check_count(k)
        self.measure: Measure = measure
        self.k = k
        self.dedupe = dedupe
        self._index: ReportIndex | None = None
        self._names: Sequence[str] = ()

    def fit(self, studies: Sequence[Study]) -> None:
        """Index the training reports by their studies' probabilities."""
        pairs = entries_of(studies)
        self._names = sorted(pairs[0][1][Probabilities].values)
        vectors = np.stack([self._vector(study) for _, study in pairs])
        rows = np.arange(len(pairs))
        self._index = ReportIndex([entry for entry, _ in pairs], vectors, rows, self.measure)

    def save(self, folder: Path) -> None:
        """Write the index."""
        self._fitted.save(folder)
        (folder / "observations.txt").write_text("\n".join(self._names), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read the index; raises DataError."""
        self._index = ReportIndex.load(folder)
        try:
            text = (folder / "observations.txt").read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(f"the index of reports in {folder} is damaged ({error})") from error
        self._names = text.split("\n")

    def annotate(self, studies: Iterable[Study]) -> Iterator[NearestReport]:
        """Yield a study's own report, else the nearest."""
        for study in studies:
            yield own_report(study) or self._fitted.find(
                study, self._vector(study), count=self.k, dedupe=self.dedupe
            )

    def fingerprint(self) -> str:
        """Return how nearness is measured, and among how many."""
        among = f" among {len(self._index.entries):,} reports" if self._index else ""
        return f"nearest_by_probabilities, {self.measure} of logits, k {self.k}{among}"

    @property
    def _fitted(self) -> ReportIndex:
        assert self._index is not None, "an index is made, or loaded, before it is asked"
        return self._index

    def _vector(self, study: Study) -> Float[np.ndarray, " d"]:
        values: Mapping[str, float] = study[Probabilities].values
        if sorted(values) != list(self._names):
            raise DataError(
                f"study '{study.id}' has probabilities of {', '.join(sorted(values))}; the "
                f"training studies, of {', '.join(self._names)}. One classifier is to look at all"
            )
        p = np.array([values[name] for name in self._names]).clip(CERTAIN, 1 - CERTAIN)
        logits: Float[np.ndarray, " d"] = np.log(p / (1 - p)).astype(np.float32)
        return logits
