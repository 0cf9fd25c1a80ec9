"""The field's vocabulary: the 14 CheXpert observations in their orders, landmarks, views."""

from typing import Literal

View = Literal["frontal", "lateral", "unknown"]
VIEWS: tuple[View, ...] = ("frontal", "lateral", "unknown")

NO_FINDING = "No Finding"

OBSERVATIONS: tuple[str, ...] = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The 14 observations in the order of chexpert-labeler (and of CmEAA, A.1)."""

_CHEXPERT_CSV = (
    *OBSERVATIONS[:3],
    "Lung Opacity",
    "Lung Lesion",
    *OBSERVATIONS[5:],
)

ORDERS: dict[str, tuple[str, ...]] = {
    "chexpert-labeler": OBSERVATIONS,
    "chexpert-csv": _CHEXPERT_CSV,
    "chexbert": (*_CHEXPERT_CSV[1:], NO_FINDING),
    "alphabetical": tuple(sorted(OBSERVATIONS)),
}
"""Four orders are in use, so labels are addressed by name; a file's order is looked up here."""

LANDMARKS: tuple[str, ...] = (
    "right lung",
    "right apical zone",
    "right upper lung zone",
    "right mid lung zone",
    "right lower lung zone",
    "right hilar structures",
    "right costophrenic angle",
    "right cardiophrenic angle",
    "right hemidiaphragm",
    "left lung",
    "left apical zone",
    "left upper lung zone",
    "left mid lung zone",
    "left lower lung zone",
    "left hilar structures",
    "left costophrenic angle",
    "left cardiophrenic angle",
    "left hemidiaphragm",
    "trachea",
    "carina",
    "spine",
    "right clavicle",
    "left clavicle",
    "aortic arch",
    "descending aorta",
    "svc",
    "cavoatrial junction",
    "right atrium",
    "mediastinum",
    "upper mediastinum",
    "cardiac silhouette",
    "abdomen",
    "right upper abdomen",
    "left upper abdomen",
)
"""KIA's 34 landmarks: Chest ImaGenome's 36 without the two half cardiac silhouettes, which no
report names. Which 34 they are is our reading (docs/papers/kia.md, K8).
"""

_FRONTAL = {"FRONTAL", "PA", "AP", "LAO", "RAO", "LPO", "RPO", "POSTERO", "ANTERO"}
_LATERAL = {"LATERAL", "LL", "RL", "L", "SWIMMERS"}


def view_of(name: str | None) -> View:
    """Read DICOM's ViewPosition, its ViewCodeSequence or a plain word: "PA", "AP Supine", "LL",
    "XTABLE LATERAL", "postero-anterior".

    A frontal view stays one with an attribute behind it ("AP LLD": anteroposterior, patient on the
    left side); what is not known is unknown.
    """
    words = (name or "").upper().replace("_", " ").replace("-", " ").split()
    if not words:
        return "unknown"
    if words[0] in _FRONTAL:
        return "frontal"
    if words[0] in _LATERAL or words[-1] == "LATERAL":
        return "lateral"
    return "unknown"
