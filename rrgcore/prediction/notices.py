"""What whoever reads a predicted report must be told beside it."""

from dataclasses import dataclass
from typing import Literal, final

from rrgcore.prediction.laterality import contradictions
from rrgcore.prediction.priors import prior_phrases

Kind = Literal["unfamiliar", "views", "prior", "laterality", "cut", "empty"]


@final
@dataclass(frozen=True, slots=True)
class Notice:
    """One warning."""

    kind: Kind
    """unfamiliar: an image unlike those of training. views: more images than any study of training
    had. prior: a comparison with an examination that was not given. laterality: left and right that
    contradict each other. cut: the report ended for its length. empty: it has no word.
    """
    text: str


def notices_of(report: str) -> list[Notice]:
    """Return what is wrong with a report whatever its image shows."""
    found = [Notice("laterality", f"the report {text}") for text in contradictions(report)]
    if phrases := prior_phrases(report):
        said = ", ".join(f"“{phrase}”" for phrase in dict.fromkeys(phrases))
        text = f"the report compares with an earlier examination, and none was given: {said}"
        found.append(Notice("prior", text))
    if not report.strip():
        found.append(Notice("empty", "the report has no word"))
    return found
