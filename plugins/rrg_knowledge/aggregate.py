"""From the mentions of a report to its 14 labels."""

from collections.abc import Iterable, Mapping
from typing import Final

from rrgcore.chest import NO_FINDING, OBSERVATIONS
from rrgcore.supply import Mention

POSITIVE: Final = 1
NEGATIVE: Final = 0
UNCERTAIN: Final = -1

_HEART_FAILURE: Final = ("heart failure", "chf", "cardiac failure")


def aggregate(mentions: Iterable[Mention]) -> Mapping[str, int]:
    """Return the value of each observation that was mentioned, as CheXpert decides it.

    Of several mentions, affirmed outweighs denied or open alone; but where one denies and another
    leaves open, the observation is open, even if a third affirms it. Heart failure that is not
    denied leaves Cardiomegaly open. No Finding is 1 where nothing but devices is affirmed or open,
    else absent: it is never denied.

    Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert
    Comparison", AAAI 2019; the order of precedence is that of its published labeler.
    """
    said: dict[str, set[int]] = {}
    for mention in mentions:
        said.setdefault(mention.observation, set()).add(mention.value)
        failing = mention.text.lower().endswith(_HEART_FAILURE)
        if failing and mention.value != NEGATIVE:
            said.setdefault("Cardiomegaly", set()).add(UNCERTAIN)
    labels = {name: _decide(said[name]) for name in OBSERVATIONS if name in said}
    labels.pop(NO_FINDING, None)
    abnormal = (values - {NEGATIVE} for name, values in said.items() if name != "Support Devices")
    if not any(abnormal):
        labels = {NO_FINDING: POSITIVE, **labels}
    return labels


def _decide(values: set[int]) -> int:
    if {NEGATIVE, UNCERTAIN} <= values:
        return UNCERTAIN
    return POSITIVE if POSITIVE in values else min(values)
