"""The annotator `observe`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, final

from rrg_knowledge.asked_labeler import labeler_or_rules
from rrgcore.annotations import Labels, NearestReport, Probabilities
from rrgcore.chest import OBSERVATIONS
from rrgcore.provenance import Artefact
from rrgcore.study import Study
from rrgcore.supply import Annotator, HoldsArtefacts, Workbench, artefacts_of


@final
class ObserveByRule(Annotator, HoldsArtefacts):
    """y_o = 1 where the report affirms o or leaves it open, 0 where it denies it; where it says
    nothing of o, 1 if p_o ≥ `threshold`, else no label.

    The report is the study's own in training, and elsewhere that of the training study nearest to
    it; `labeler` reads it (`rules` unless said). Each label says where it is from: "report",
    "report of <study>" or "probability 0.93". Observations are decided one by one: No Finding may
    stand beside a finding.

    It stands where CmEAA, A.1, asks GPT-4 with the same probabilities and report, needs no network,
    and counts uncertain as positive, as A.1 does.
    """

    writes: ClassVar[type] = Labels
    reads: ClassVar[tuple[type, ...]] = (Probabilities, NearestReport)

    def __init__(self, *, labeler: Annotator | None = None, threshold: float = 0.5) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"`threshold` is {threshold}; expected a probability above 0")
        self.labeler = labeler_or_rules(labeler)
        self.threshold = threshold

    def artefacts(self) -> Sequence[Artefact]:
        """Return the labeler's."""
        return artefacts_of(self.labeler)

    def equip(self, bench: Workbench) -> None:
        """Hand it to the labeler."""
        self.labeler.equip(bench)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        """Yield labels, the source of each beside it."""
        asked = list(studies)
        # a labeler that goes by id is asked for the study whose report it is
        read = [Study(s[NearestReport].study, (), (), s[NearestReport].text) for s in asked]
        for study, said in zip(asked, self.labeler.annotate(read), strict=True):
            yield self._decide(study, said)

    def fingerprint(self) -> str:
        """Return the rule, and who reads the report."""
        return f"observe: {self.labeler.fingerprint()}, else p at least {self.threshold:g}"

    def _decide(self, study: Study, said: Labels) -> Labels:
        likely = study[Probabilities].values
        values: dict[str, int] = {}
        sources: dict[str, str] = {}
        for name in OBSERVATIONS:
            if (value := said.values.get(name)) is not None:
                values[name] = int(value != 0)
                sources[name] = source_of_report(study)
            elif (p := likely.get(name)) is not None and p >= self.threshold:
                values[name] = 1
                sources[name] = f"probability {p:.2f}"
        return Labels(values, sources)


def source_of_report(study: Study) -> str:
    """Say whose report stands in for a study's: "report" where it is its own."""
    nearest = study[NearestReport]
    return "report" if nearest.study == study.id else f"report of {nearest.study}"
