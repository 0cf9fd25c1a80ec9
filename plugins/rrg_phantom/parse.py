"""Reading a report of the grammar back into statements, by its key words, sentence by sentence.

Made for generated text: no sentence has to be one that the grammar can write. What is recognised is
kept, and a sentence without a known observation yields nothing.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

from .case import CATALOGUE, Severity, Side, Zone
from .markup import Status
from .phrases_devices import UNSIDED
from .statement import Statement
from .wording import ADVERB, DEGREE, EXTENT, SIZE

Name = TypeVar("Name", bound=str)


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b")


_KINDS: dict[str, dict[str, re.Pattern[str]]] = {
    "Lung Lesion": {
        "nodule": _words(r"nodul\w+"),
        "mass": _words("mass", "masses", "masslike"),
    },
    "Atelectasis": {
        "volume loss": _words("volume", "collapse"),
        "linear": _words("linear", "bandlike", "platelike", "discoid", "subsegmental"),
    },
    "Pleural Other": {
        "thickening": _words("thickening"),
        "plaque": _words("plaques?"),
    },
    "Fracture": {
        "rib": _words("ribs?"),
        "clavicle": _words(r"clavic\w+"),
    },
    "Support Devices": {
        "pacemaker": _words("pacemaker", "pacing"),
        "central venous catheter": _words("central (?:venous )?catheter", "central line"),
        "endotracheal tube": _words("endotracheal tube", "intubated"),
        "enteric tube": _words("(?:enteric|nasogastric|feeding) tube"),
        "sternal wires": _words("(?:sternal|sternotomy|cerclage) wires"),
        "chest tube": _words("(?:chest|thoracostomy) tube", "pleural drain"),
    },
}

_MENTIONS: dict[str, re.Pattern[str]] = {
    "Enlarged Cardiomediastinum": _words(
        r"mediastin\w+ .*?(?:widen|broaden)\w+", r"(?:widen|broaden)\w+ .*?mediastin\w+"
    ),
    "Cardiomegaly": _words(
        "cardiomegaly",
        r"(?:heart|cardiac) .*?(?:enlarge|increase)\w+",
        r"enlarge\w+ .*?(?:heart|cardiac)",
    ),
    "Lung Lesion": _words(r"nodul\w+", "mass", "masses", "masslike", "lesions?"),
    "Lung Opacity": _words(
        "opacity", "opacities", "opacification", "infiltrates?", "airspace disease"
    ),
    "Edema": _words("edema", "congestion"),
    "Consolidation": _words(r"consolidat\w+"),
    "Pneumonia": _words("pneumonia", "bronchopneumonia"),
    "Atelectasis": _words(r"atelecta\w+", "collapse"),
    "Pneumothorax": _words("pneumothorax", "pneumothoraces"),
    "Pleural Effusion": _words("effusions?", "fluid"),
    "Pleural Other": _words("thickening", "plaques?"),
    "Fracture": _words(r"fractur\w+"),
    "Support Devices": _words(*(p.pattern for p in _KINDS["Support Devices"].values())),
}

_NORMAL = _words(
    "normal", "unremarkable", "clear", "intact", "sharp", "sharply defined", "no .*abnormality"
)
_REMAINDER = _words("otherwise", "remaining", "remainder")
_NORMAL_PARTS: dict[str, re.Pattern[str]] = {
    "Enlarged Cardiomediastinum": _words(r"(?:cardio)?mediastin\w+"),
    "Cardiomegaly": _words("heart", "cardiac", "cardiomediastinal"),
    "Lung Opacity": _words("lungs"),
    "Edema": _words("vascularity", "vasculature"),
    "Pleural Effusion": _words("costophrenic", "hemidiaphragms"),
    "Fracture": _words("osseous", "bones", "bony", "ribs"),
}
"""What is denied where a part of the chest is called normal."""

_NEGATION = _words("no", "not", "without", "free of", "negative for")
_UNCERTAINTY = _words(
    "possibl[ey]",
    r"question\w*",
    "may",
    "could",
    "suspected",
    "suspicious",
    "concern",
    "cannot be excluded",
)

_SIDE = _words(r"(?P<bilateral>bilateral|both|bibasilar)", "(?P<right>right)", "(?P<left>left)")
_ZONES: dict[Zone, re.Pattern[str]] = {
    "apical": _words("apical", "apex"),
    "upper": _words("upper"),
    "mid": _words("mid", "middle"),
    "lower": _words("lower", "bases?", "basilar", "bibasilar"),
}
_SEVERITIES: dict[Severity, re.Pattern[str]] = {
    severity: _words(
        *(
            words.partition("/")[0]
            for table in (SIZE, DEGREE, EXTENT, ADVERB)
            for words in table[severity]
        )
    )
    for severity in SIZE
}


def parse_findings(text: str) -> frozenset[Statement]:
    """Everything that a report says of the 13 observations; a sentence ends at a full stop.

    Fields are kept only where they make sense for the observation (`CATALOGUE`).
    """
    return frozenset(
        statement for sentence in text.lower().split(".") for statement in _read(sentence)
    )


def _read(sentence: str) -> Iterator[Statement]:
    negation = _NEGATION.search(sentence)
    said: Status = "uncertain" if _UNCERTAINTY.search(sentence) else "present"
    found = False
    for observation, pattern in _MENTIONS.items():
        if mention := pattern.search(sentence):
            if negation and negation.start() < mention.end():
                yield Statement(observation, "absent")
            else:
                found = True
                yield _positive(observation, said, sentence)
    if not found and _NORMAL.search(sentence) and not _REMAINDER.search(sentence):
        for observation, part in _NORMAL_PARTS.items():
            if part.search(sentence):
                yield Statement(observation, "absent")


def _positive(observation: str, status: Status, sentence: str) -> Statement:
    options = CATALOGUE[observation]
    kind = _first(_KINDS.get(observation, {}), sentence)
    side: Side | None = None
    if options.sides and (kind is None or kind not in UNSIDED):
        side = _side(sentence)
    zone = _first(_ZONES, sentence)
    severity = _first(_SEVERITIES, sentence)
    return Statement(
        observation,
        status,
        side=side if side in options.sides else None,
        zone=zone if zone in options.zones else None,
        severity=severity if severity in options.severities else None,
        kind=kind,
    )


def _side(sentence: str) -> Side | None:
    """The first side named: a device on the left may end in the right atrium."""
    match = _SIDE.search(sentence)
    return cast(Side, match.lastgroup) if match else None


def _first(patterns: Mapping[Name, re.Pattern[str]], sentence: str) -> Name | None:
    return next((name for name, pattern in patterns.items() if pattern.search(sentence)), None)
