"""Which studies are worth a picture when nobody names any."""

from collections.abc import Mapping, Sequence
from typing import Final

from rrgcore.errors import DataError
from rrgcore.insight.matching import match_phrases, share_matched
from rrgcore.insight.opened import OpenRun

SAMPLE: Final = 48
"""Studies that are looked at where no reports of the split are at hand."""
HOW: Final = (
    "of studies whose reference names a finding{among}, those of which most, a middling share and "
    "least of the reference's words stand in phrases that the written report has too"
)


def telling_studies(run: OpenRun, predictions: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return three studies and why each was chosen, the best, the middle, the worst; and how they
    were chosen, for people.

    `predictions` are reports of the split by id; without any, the first 48 studies are written.
    Where no study names a finding, or nobody can tell, all that have a reference take part. Raises
    DataError where none has.
    """
    studies = [study.id for study in run.studies() if run.reference(study.id).strip()]
    if not studies:
        raise DataError(
            "no study of the split has a report to compare with; name the studies to be drawn"
        )
    known, among = [id for id in studies if id in predictions], ""
    if not known:
        among = f", among the first {SAMPLE}" if len(studies) > SAMPLE else ""
        known = studies[:SAMPLE]
        predictions = dict(zip(known, (report.text for report in run.written(known)), strict=True))
    shares = {id: _share(run.reference(id), predictions[id]) for id in known}
    found = [id for id in known if _names_finding(run, run.reference(id))] or known
    ranked = sorted(found, key=lambda id: -shares[id])
    places = {"best": 0, "middle": len(ranked) // 2, "worst": -1}
    chosen = {ranked[at]: f"{word}, {shares[ranked[at]]:.0%}" for word, at in places.items()}
    ordered = dict(sorted(chosen.items(), key=lambda item: -shares[item[0]]))
    return ordered, HOW.format(among=among)


def _share(reference: str, prediction: str) -> float:
    return share_matched(reference, [m.first for m in match_phrases(reference, prediction)])


def _names_finding(run: OpenRun, text: str) -> bool:
    mentions = run.mentions(text)
    return bool(mentions) and any(each.value for each in mentions or ())


def most_unlike(run: OpenRun, id: str, among: Sequence[str]) -> str:
    """Return the study whose reference names the most other findings, of equals the first: whose
    report says something else of an image. Raises DataError where there is no other study.
    """
    own = _findings(run, run.reference(id))
    others = [other for other in among if other != id]
    if not others:
        raise DataError(f"there is no study beside '{id}', whose report could be given instead")
    return max(others, key=lambda other: len(own ^ _findings(run, run.reference(other))))


def _findings(run: OpenRun, text: str) -> frozenset[str]:
    return frozenset(each.observation for each in run.mentions(text) or () if each.value)
