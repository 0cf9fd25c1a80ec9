"""The annotator `nearest_by_run`."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from rrg_knowledge.learned_elsewhere import read_provenance
from rrg_knowledge.nearest_index import (
    ReportIndex,
    check_count,
    entries_of,
    join_reports,
    own_report,
)
from rrgcore.annotations import NearestReport
from rrgcore.errors import DataError
from rrgcore.folder import ARTEFACTS, TRAINING
from rrgcore.provenance import Artefact
from rrgcore.study import Study
from rrgcore.supply import Annotator, HoldsArtefacts, Workbench

if TYPE_CHECKING:
    from rrg_knowledge.run_embedding import Asked, RunEmbedding


@final
class NearestByRun(Annotator, HoldsArtefacts):
    """argmax_j ⟨v(X), w(R_j)⟩ over the training reports R_j: the nearest in the joint space of
    another run's model, as CXR-RePaiR finds it with a CLIP.

    `run` is its folder, `objective` what embeds there (KIA's `irc`; it need not be named where
    there is only one). With `matching` (KIA's `irm`) the best `candidates` are ranked again by the
    odds that text and image belong together. A study with a report gets its own, as in training.
    For k > 1 the texts are joined, all different if `dedupe`.

    That run must not have been trained on what this one is to predict: its folder says on what it
    was, and one that does not say is used only if `trusted`. What is asked of it, its model with
    one checkpoint, is kept with the run that asks.

    Endo et al., "Retrieval-Based Chest X-Ray Report Generation Using a Pre-trained Contrastive
    Language-Image Model", ML4H 2021 (CmEAA, A.1).
    """

    writes: ClassVar[type] = NearestReport
    keeps_studies: ClassVar[bool] = True

    def __init__(
        self,
        *,
        run: str,
        objective: str | None = None,
        matching: str | None = None,
        candidates: int = 16,
        k: int = 1,
        dedupe: bool = True,
        trusted: bool = False,
    ) -> None:
        check_count(k)
        if matching is not None and candidates < k:
            raise ValueError(f"`candidates` is {candidates}; expected at least `k`, {k}")
        self.run = Path(run).expanduser()
        self.objective = objective
        self.matching = matching
        self.candidates = candidates
        self.k = k
        self.dedupe = dedupe
        self.trusted = trusted
        self._kept: Path | None = None
        self._bench: Workbench | None = None
        self._embedding: RunEmbedding | None = None
        self._index: ReportIndex | None = None

    def read_given(self) -> None:
        """Look for the run and the names in it; raises RunError."""
        self.artefacts()
        _ = self._asked

    def keep_given(self, folder: Path) -> None:
        """Write the run's model."""
        from rrgcore.excerpt import write_excerpt

        write_excerpt(self._asked.run.folder, self._asked.checkpoint, folder)

    def load_given(self, folder: Path) -> None:
        """Ask that model from now on."""
        self._kept = folder

    def artefacts(self) -> Sequence[Artefact]:
        """Return the run, with the studies that it was trained on."""
        learned = read_provenance((self._kept or self.run) / ARTEFACTS / TRAINING)
        return [Artefact(f"the run {self.run}", learned, self.trusted)]

    def equip(self, bench: Workbench) -> None:
        """Take the images."""
        self._bench = bench

    def fit(self, studies: Sequence[Study]) -> None:
        """Embed the training reports, each text once."""
        entries = [entry for entry, _ in entries_of(studies)]
        row_of = {text: i for i, text in enumerate(dict.fromkeys(e.text for e in entries))}
        vectors = self._model.embed_reports(list(row_of), self._workbench.track)
        rows = np.array([row_of[entry.text] for entry in entries])
        self._index = ReportIndex(entries, vectors, rows, "cosine")

    def save(self, folder: Path) -> None:
        """Write the index."""
        self._fitted.save(folder)

    def load(self, folder: Path) -> None:
        """Read the index; raises DataError."""
        self._index = ReportIndex.load(folder)

    def annotate(self, studies: Iterable[Study]) -> Iterator[NearestReport]:
        """Yield a study's own report, else the nearest; raises DataError for one without image."""
        asked = list(studies)
        title = "looking for the nearest reports"
        for study in self._workbench.track(asked, title, len(asked)):
            yield own_report(study) or self._find(study)

    def fingerprint(self) -> str:
        """Return whose space it is, and among how many."""
        among = f" among {len(self._index.entries):,} reports" if self._index else ""
        asked = self._asked
        again = f", then {self.matching} of {self.candidates}" if self.matching else ""
        return f"nearest_by_run {self.run.name} ({asked.objective}{again}){among}"

    def _find(self, study: Study) -> NearestReport:
        if not study.images:
            raise DataError(f"study '{study.id}' has no image to find a report by")
        image = self._model.encode(study, self._workbench.open)
        vector = self._model.embed_image(image)
        if self.matching is None:
            return self._fitted.find(study, vector, count=self.k, dedupe=self.dedupe)
        best = self._fitted.rank(study, vector, count=self.candidates, dedupe=self.dedupe)
        odds = self._model.match(image, [entry.text for entry, _ in best])
        order = sorted(range(len(best)), key=lambda i: -round(odds[i], 6))
        return join_reports([best[i] for i in order[: self.k]])

    @cached_property
    def _asked(self) -> "Asked":
        from rrg_knowledge.run_embedding import Asked

        return Asked.of(self._kept or self.run, self.objective, self.matching)

    @property
    def _model(self) -> "RunEmbedding":
        if self._embedding is None:
            from rrg_knowledge.run_embedding import RunEmbedding

            self._embedding = RunEmbedding(self._asked, self._workbench.device)
        return self._embedding

    @property
    def _workbench(self) -> Workbench:
        assert self._bench is not None, "an annotator is equipped before it works"
        return self._bench

    @property
    def _fitted(self) -> ReportIndex:
        assert self._index is not None, "an index is made, or loaded, before it is asked"
        return self._index
