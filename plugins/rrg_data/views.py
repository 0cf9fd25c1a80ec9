"""What archives call the views of a chest X-ray."""

from rrgcore.chest import View

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
