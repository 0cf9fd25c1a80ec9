"""What a phantom patient has: the findings, before any pixel or word."""

from dataclasses import dataclass
from typing import Literal

Side = Literal["right", "left", "bilateral"]
Zone = Literal["apical", "upper", "mid", "lower"]
Severity = Literal["small", "moderate", "large"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation in one place; the picture and the report are both made from it.

    `side` is the patient's: the patient's right lies on the left of the picture. A field that makes
    no sense for the observation (the side of a large heart) is None. `certain=False` is a faint
    finding that the report calls possible (CheXpert's -1).
    """

    observation: str
    side: Side | None = None
    zone: Zone | None = None
    severity: Severity | None = None
    kind: str | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Options:
    """The values that a field of a finding may take; an empty tuple is a field without meaning.

    Kinds stand in falling order: each is drawn half as often again as the one after it.
    """

    sides: tuple[Side, ...] = ()
    zones: tuple[Zone, ...] = ()
    severities: tuple[Severity, ...] = ()
    kinds: tuple[str, ...] = ()
    may_be_uncertain: bool = True


SIDES: tuple[Side, ...] = ("right", "left")
BOTH: tuple[Side, ...] = ("right", "left", "bilateral")
ZONES: tuple[Zone, ...] = ("upper", "mid", "lower")
SEVERITIES: tuple[Severity, ...] = ("small", "moderate", "large")

CATALOGUE: dict[str, Options] = {
    "Enlarged Cardiomediastinum": Options(severities=("small", "large")),
    "Cardiomegaly": Options(severities=SEVERITIES),
    "Lung Lesion": Options(SIDES, ZONES, kinds=("nodule", "mass"), may_be_uncertain=False),
    "Lung Opacity": Options(SIDES, ZONES, severities=("small", "large")),
    "Edema": Options(severities=SEVERITIES),
    "Consolidation": Options(SIDES, ZONES),
    "Pneumonia": Options(SIDES, ZONES),
    "Atelectasis": Options(BOTH, ("lower", "mid"), kinds=("linear", "volume loss")),
    "Pneumothorax": Options(SIDES, ("apical",), severities=("small", "large")),
    "Pleural Effusion": Options(BOTH, severities=SEVERITIES),
    "Pleural Other": Options(SIDES, kinds=("thickening", "plaque")),
    "Fracture": Options(SIDES, kinds=("rib", "clavicle")),
    "Support Devices": Options(
        kinds=(
            "pacemaker",
            "sternal wires",
            "central venous catheter",
            "endotracheal tube",
            "enteric tube",
            "chest tube",
        ),
        sides=SIDES,
        may_be_uncertain=False,
    ),
}
"""Every observation but No Finding, with what can be said of it."""
