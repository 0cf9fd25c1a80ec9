"""Wordings of what is found inside the lungs, with adjectives true of the drawing."""

from .wording import DEGREE, EXTENT, Wording

LUNGS: tuple[Wording, ...] = (
    Wording(
        "Lung Lesion",
        kind="nodule",
        present=(
            "there is a nodule/o@a in the {place}",
            "{at} nodule/o@a",
            "a rounded/>o nodule/o@a projects over the {place}",
            "a well-circumscribed/>o nodular/>o lesion/o@a is visible in the {place}",
        ),
    ),
    Wording(
        "Lung Lesion",
        kind="mass",
        present=(
            "there is a mass/o@a in the {place}",
            "{at} mass/o@a",
            "a lobulated/>o mass/o@a occupies the {place}",
            "a sharply/>o2 marginated/o2>o masslike/>o lesion/o@a lies in the {place}",
        ),
    ),
    Wording(
        "Lung Opacity",
        severity=EXTENT,
        present=(
            "there is a {severity} opacity/o@a in the {place}",
            "{severity} {at} opacity/o@a",
            "a {severity} hazy/>o opacity/o@a projects over the {place}",
            "{severity} area of ground-glass/>o opacification/o@a in the {place}",
            "{severity} veil-like/>o airspace/>o disease/o@a of the {place}",
        ),
        uncertain=(
            "possible {severity} opacity/o@a in the {place}",
            "a {severity} {at} opacity/o@a cannot be excluded",
            "there may be a {severity} infiltrate/o@a in the {place}",
            "questionable {severity} hazy/>o opacity/o@a over the {place}",
        ),
    ),
    Wording(
        "Edema",
        severity=DEGREE,
        present=(
            "there is {severity} pulmonary/a edema/o@a",
            "{severity} interstitial/a edema/o@a is present",
            "bilateral/>a perihilar/a haziness/o2@a~o is consistent with {severity} edema/o",
            "septal/a lines/o2@a~o and cephalized/o3@a2~o vessels/a2 indicate {severity} "
            "pulmonary/a3 edema/o@a3",
            "{severity} pulmonary/>a vascular/a congestion/o@a with batwing/o2~o haze/o3~o",
        ),
        uncertain=(
            "possible {severity} pulmonary/a edema/o@a",
            "{severity} interstitial/a edema/o@a cannot be excluded",
            "prominent/o2+@a~o interstitial/>a markings/a may represent {severity} edema/o",
            "vascular/a redistribution/o2+@a~o raises the question of {severity} pulmonary/a2 "
            "edema/o@a2",
        ),
    ),
    Wording(
        "Consolidation",
        present=(
            "there is consolidation/o@a in the {place}",
            "{at} consolidation/o@a",
            "dense/>o consolidation/o@a with air/>o2 bronchograms/o2@a in the {place}",
            "the {place} is consolidated/o@a",
            "homogeneous/>o consolidation/o@a replaces the {place}",
        ),
        uncertain=(
            "possible consolidation/o@a in the {place}",
            "{at} consolidation/o@a cannot be excluded",
            "there may be faint/>o consolidation/o@a in the {place}",
            "hazy/>o consolidation/o@a is suspected in the {place}",
        ),
    ),
    Wording(
        "Pneumonia",
        present=(
            "{at} pneumonia/o@a",
            "findings/o2@a~o in the {place} are consistent with pneumonia/o@a",
            "there is patchy/>o bronchopneumonia/o@a in the {place}",
            "ill-defined/>o2 infectious/>o2 changes/o2@a~o of pneumonia/o@a are seen in the "
            "{place}",
            "multiple/>o2 coalescing/>o2 foci/o2@a~o in the {place} are compatible with "
            "pneumonia/o@a",
        ),
        uncertain=(
            "possible {at} pneumonia/o@a",
            "findings/o2+@a~o in the {place} may represent pneumonia/o@a",
            "{at} pneumonia/o@a cannot be excluded",
            "patchy/>o2 changes/o2+@a~o in the {place} are suspicious for pneumonia/o@a",
            "appearance/o2+@a~o of the {place} raises concern for pneumonia/o@a",
        ),
    ),
    Wording(
        "Atelectasis",
        kind="linear",
        present=(
            "there is linear/>o atelectasis/o@a in the {place}",
            "{at} linear/>o atelectasis/o@a",
            "bandlike/>o2 densities/o2@a~o in the {place} reflect subsegmental/>o atelectasis/o@a",
            "platelike/>o atelectasis/o@a is noted at the {place}",
            "parallel/>o2 streaks/o2@a~o of discoid/>o atelectasis/o@a cross the {place}",
        ),
        uncertain=(
            "possible linear/>o atelectasis/o@a in the {place}",
            "{at} linear/>o atelectasis/o@a is suspected",
            "bandlike/>o2 densities/o2+@a~o in the {place} may represent subsegmental/>o "
            "atelectasis/o@a",
            "questionable platelike/>o atelectasis/o@a at the {place}",
        ),
    ),
    Wording(
        "Atelectasis",
        kind="volume loss",
        present=(
            "there is atelectasis/o@a with volume/>o2 loss/o2@a in the {place}",
            "{at} atelectasis/o@a with volume/>o2 loss/o2@a",
            "volume/>o2 loss/o2@a~o and a shifted/o3@a2~o fissure/a2 in the {place} reflect "
            "atelectasis/o@a",
            "wedge-shaped/>o collapse/o@a of the {place}",
        ),
        uncertain=(
            "possible atelectasis/o@a with volume/>o2 loss/o2@a in the {place}",
            "volume/>o2 loss/o2+@a~o in the {place} may represent atelectasis/o@a",
            "partial/>o collapse/o@a of the {place} cannot be excluded",
            "{at} atelectasis/o@a with volume/>o2 loss/o2@a is suspected",
        ),
    ),
)
