"""What a report says of each observation, held against its reference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, final

from rrgcore.annotations import Labels
from rrgcore.chest import OBSERVATIONS
from rrgcore.errors import UserError
from rrgcore.registry import Registry
from rrgcore.scoring.by_name import LABELERS
from rrgcore.study import Study
from rrgcore.supply import Annotator

Outcome = Literal["found", "missed", "invented"]
OUTCOMES: Mapping[Outcome, str] = {
    "missed": "the reference says it is there, the generated report does not",
    "invented": "the generated report says it is there, the reference does not",
    "found": "both say that it is there",
}
_SAYS = {1: "says it is there", 0: "denies it", -1: "leaves it open", None: "does not mention it"}


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """An observation that one of the two reports says is there."""

    observation: str
    outcome: Outcome
    why: str


def labelled(
    registry: Registry, pairs: Sequence[tuple[str, str]]
) -> tuple[list[list[Finding]], str]:
    """Return the findings of each pair of a reference and a generated report, and who labelled.

    Raises UserError where no labeler is at hand that needs neither options nor weights.
    """
    name = LABELERS[0]
    labeler = cast(Annotator, registry.get("annotator", name)())
    if labeler.writes is not Labels:
        raise UserError(f"the annotator '{name}' writes {labeler.writes.__name__}, no labels")
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    studies = [Study(str(number), (), (), text) for number, text in enumerate(texts)]
    labels = dict(zip(texts, labeler.annotate(studies), strict=True))
    found = [list(_between(labels[one].values, labels[two].values)) for one, two in pairs]
    return found, labeler.fingerprint()


def f1(findings: Sequence[Finding]) -> float:
    """Return one report's F1 over observations; 0 where neither report has any."""
    found = sum(finding.outcome == "found" for finding in findings)
    return 2 * found / (len(findings) + found) if findings else 0.0


def _between(reference: Mapping[str, int], generated: Mapping[str, int]) -> Iterator[Finding]:
    """Yield what either says is there; the uncertain counts as not there, as in the headline of
    clinical efficacy.
    """
    for name in OBSERVATIONS:
        true, said = reference.get(name), generated.get(name)
        if true == 1 and said == 1:
            yield Finding(name, "found", OUTCOMES["found"])
        elif true == 1:
            yield Finding(name, "missed", f"the generated report {_SAYS[said]}")
        elif said == 1:
            yield Finding(name, "invented", f"the reference {_SAYS[true]}")
