"""The shape of the phrase tables, and the words for degree and place that they share.

Alternatives stand in falling order of use: a phrase is half as frequent as the one before it, a
word in a slot a third. The slots are `{severity}` and `{severely}` (of observation `o`), `{side}`
(of anatomy `a`), `{sided}` (an anatomy of its own), `{place}` (after `in the`) and `{at}` (before
the observation); the last three hold the anatomy `a`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .case import SIDES, Finding, Severity, Side, Zone

SIZE: Mapping[Severity, tuple[str, ...]] = {
    "small": ("small/>o", "minimal/>o", "trace/>o", "tiny/>o"),
    "moderate": ("moderate/>o", "moderate-sized/>o", "medium-sized/>o"),
    "large": ("large/>o", "massive/>o", "sizable/>o"),
}
DEGREE: Mapping[Severity, tuple[str, ...]] = {
    "small": ("mild/>o", "slight/>o", "minimal/>o"),
    "moderate": ("moderate/>o",),
    "large": ("severe/>o", "marked/>o", "gross/>o"),
}
EXTENT: Mapping[Severity, tuple[str, ...]] = {
    "small": ("small/>o", "limited/>o", "subtle/>o"),
    "moderate": ("moderate/>o",),
    "large": ("large/>o", "extensive/>o", "broad/>o"),
}
ADVERB: Mapping[Severity, tuple[str, ...]] = {
    "small": ("mildly/>o", "slightly/>o", "minimally/>o"),
    "moderate": ("moderately/>o",),
    "large": ("severely/>o", "markedly/>o", "grossly/>o"),
}

_IN_ONE_LUNG: Mapping[Zone, tuple[str, ...]] = {
    "apical": ("apex/a", "lung/>a apex/a"),
    "upper": ("upper/>a lobe/a", "upper/>a lung/a", "upper/>a lung/>a zone/a"),
    "mid": ("mid/>a lung/a", "mid/>a lung/>a zone/a", "mid/>a zone/a"),
    "lower": ("lower/>a lobe/a", "lung/>a base/a", "lower/>a lung/>a zone/a"),
}

PLACES: Mapping[tuple[Zone, Side], tuple[str, ...]] = {
    (zone, side): tuple(f"{side}/>a {words}" for words in alternatives)
    for zone, alternatives in _IN_ONE_LUNG.items()
    for side in SIDES
} | {
    ("mid", "right"): ("right/>a middle/>a lobe/a", "right/>a mid/>a lung/a"),
    ("mid", "bilateral"): ("bilateral/>a mid/>a lungs/a", "bilateral/>a mid/>a lung/>a zones/a"),
    ("lower", "bilateral"): ("bilateral/>a lung/>a bases/a", "bilateral/>a lower/>a lobes/a"),
}
"""How a lung zone is named after `in the`, in words by which landmarks are found in reports."""

PLACES_BEFORE: Mapping[tuple[Zone, Side], tuple[str, ...]] = {
    **PLACES,
    ("lower", "right"): ("right/>a lower/>a lobe/a", "right/>a basilar/a", "right/>a base/a"),
    ("lower", "left"): ("left/>a lower/>a lobe/a", "left/>a basilar/a", "left/>a base/a"),
    ("mid", "bilateral"): ("bilateral/>a mid/>a lung/a", "bilateral/>a mid/>a zone/a"),
    ("lower", "bilateral"): (
        "bibasilar/a",
        "bilateral/>a basilar/a",
        "bilateral/>a lower/>a lobe/a",
    ),
}
"""How a lung zone is named before the observation."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How one observation is worded when it is there and when it is possible.

    `kind` and `bilateral` narrow the findings that it is for; without `uncertain` phrases they are
    never uncertain.
    """

    observation: str
    present: tuple[str, ...]
    uncertain: tuple[str, ...] = ()
    kind: str | None = None
    bilateral: bool = False
    severity: Mapping[Severity, tuple[str, ...]] | None = None

    def options(self, slot: str, finding: Finding) -> tuple[str, ...]:
        """The alternatives for a slot of one of this wording's phrases."""
        match slot:
            case "severity" if self.severity and finding.severity:
                return self.severity[finding.severity]
            case "severely" if finding.severity:
                return ADVERB[finding.severity]
            case "side" if finding.side:
                return (f"{finding.side}/>a",)
            case "sided" if finding.side:
                return (f"{finding.side}-sided/a",)
            case "place" if finding.side and finding.zone:
                return PLACES[finding.zone, finding.side]
            case "at" if finding.side and finding.zone:
                return PLACES_BEFORE[finding.zone, finding.side]
        raise AssertionError(f"nothing in {finding} fills the slot {{{slot}}}")


@dataclass(frozen=True, slots=True)
class Normal:
    """What may be said of a region where something is absent.

    It is said with probability `chance` in a report without any observation of `without` and, if
    `beside` is given, with one of those, unless all that it `denies` has been denied.
    """

    phrases: tuple[str, ...]
    chance: float
    without: frozenset[str]
    denies: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
