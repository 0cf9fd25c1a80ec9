"""The phrase tables together, by region of the chest."""

from dataclasses import dataclass

from .case import Finding
from .phrases_chest import BONES, HEART
from .phrases_devices import DEVICES
from .phrases_lungs import LUNGS
from .phrases_normal import BONES_NORMAL, HEART_NORMAL, LUNGS_NORMAL, PLEURA_NORMAL
from .phrases_pleura import PLEURA
from .wording import Normal, Wording


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the chest that reports treat in one go: its findings, then what is normal in it."""

    wordings: tuple[Wording, ...]
    normals: tuple[Normal, ...] = ()

    @property
    def observations(self) -> tuple[str, ...]:
        """The observations of the region, in the order in which they are spoken of."""
        return tuple(dict.fromkeys(wording.observation for wording in self.wordings))


REGIONS: dict[str, Region] = {
    "heart": Region(HEART, HEART_NORMAL),
    "lungs": Region(LUNGS, LUNGS_NORMAL),
    "pleura": Region(PLEURA, PLEURA_NORMAL),
    "bones": Region(BONES, BONES_NORMAL),
    "devices": Region(DEVICES),
}

ORDERS: tuple[tuple[str, ...], ...] = (
    ("heart", "lungs", "pleura", "bones", "devices"),
    ("lungs", "pleura", "heart", "bones", "devices"),
    ("devices", "heart", "lungs", "pleura", "bones"),
    ("devices", "lungs", "pleura", "heart", "bones"),
)
"""The orders of the regions, each half as frequent as the one before it."""

_WORDINGS: dict[tuple[str, str | None, bool], Wording] = {
    (wording.observation, wording.kind, wording.bilateral): wording
    for region in REGIONS.values()
    for wording in region.wordings
}


def wording_of(finding: Finding) -> Wording:
    """The wording for a finding's observation, kind and number of sides."""
    bilateral = finding.side == "bilateral"
    for key in ((finding.observation, finding.kind, both) for both in (bilateral, False)):
        if key in _WORDINGS:
            return _WORDINGS[key]
    known = ", ".join(str(key) for key in _WORDINGS if key[0] == finding.observation)
    raise AssertionError(f"no wording for {finding}; of {finding.observation} there are {known}")
