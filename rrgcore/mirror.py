"""The text of a mirrored image: left and right exchanged, or a reason why that would be no truth.

Two questions, kept apart. `mirrored_text` exchanges every word of side, wherever it stands, one
word for one: twice is the identity, and indices of words stay valid. `obstacle` says whether a
report may be exchanged so at all. It knows English, and would rather refuse than guess: a "left"
that may be a verb, an "R" that may be anything, anatomy that exists on one side only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

Why = Literal["one-sided", "unclear"]


@final
@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a text from being mirrored."""

    why: Why
    words: str


def mirrored_text(text: str) -> str:
    """Exchange left and right, leftward, LLL and RLL, dextro- and levoscoliosis, their case kept.

    Every word that has a counterpart is exchanged: ask `obstacle` first.
    """
    return _WORD.sub(lambda found: _other(found[0]) or found[0], text)


def mirrored_name(name: str) -> str:
    """Exchange the sides in a name or phrase, but for anatomy that keeps its name wherever it lies
    ("right atrium").
    """
    return name if _NAMES.search(name) else mirrored_text(name)


def obstacle(text: str) -> Obstacle | None:
    """Return what keeps a report from being mirrored truthfully, or None."""
    if found := _ONE_SIDED.search(text):
        return Obstacle("one-sided", " ".join(found[0].lower().split()))
    if found := _FOREIGN.search(text):
        return Obstacle("unclear", found[0])
    words = list(_WORD.finditer(text))
    for at, word in enumerate(words):
        lower = word[0].lower()
        if lower in ("left", "right"):
            clear = _other(word[0]) is not None and _names_a_side(text, words, at)
        elif lower in _OTHER or lower in _LETTERS or _CURVED.fullmatch(lower):
            clear = _other(word[0]) is not None  # its case may be none that is kept
        else:
            clear = not _SIDE.search(lower) or _HARMLESS.fullmatch(lower) is not None
        if not clear:
            start, end = (words[max(at - 1, 0)].start(), words[min(at + 1, len(words) - 1)].end())
            return Obstacle("unclear", " ".join(text[start:end].split()))
    return None


_WORD = re.compile(r"\w+")
_SIDE = re.compile("left|right")
_SIDES = ("left", "right")

_PAIRS = (
    ("left", "right"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("leftmost", "rightmost"),
    ("leftsided", "rightsided"),
    ("lefthand", "righthand"),
    ("lul", "rul"),
    ("lll", "rll"),
    ("luz", "ruz"),
    ("lmz", "rmz"),
    ("llz", "rlz"),
    ("luq", "ruq"),
    ("llq", "rlq"),
    ("lij", "rij"),
)
_OTHER = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_CURVED = re.compile(r"(dextro|levo)((?:scolio|curv|conv|rot)\w*|)")
"""Curvature and rotation of the spine, and the prefix where it stands alone."""

_LETTERS = ("l", "r", "lt", "rt")
"""Sides perhaps; or a lumbar vertebra, "r/o", radiotherapy."""

_HARMLESS = re.compile(r"bright\w*|upright|clefts?|outright|copyright\w*|wright")

_FOREIGN = re.compile(
    r"\b(?:izquierd|derech|gauche|droit|esquerd|direit|sinistr|destr[oaie]\b|link(?:s|e[rsnm]?)\b"
    r"|recht(?:s|e[rsnm]?)\b)\w*|[左右]",
    re.IGNORECASE,
)
"""Sides in other languages, recognised only to leave such a report alone."""

_A_SIDE = r"(?:left|right)(?:[-\s]+sided)?\s+"
_KEEPS_ITS_NAME = (
    # the right lung has a middle lobe, the left one a lingula
    rf"middle\s+lob\w+|{_A_SIDE}middle|middle(?:\s+(?:and|or)\s+|\s*/\s*)lower",
    # a chamber or vessel of the heart is called left or right wherever it lies
    rf"{_A_SIDE}(?:atri|ventric|coronary|aort|circumflex|anterior\s+desc)\w*",
)
_LIES_ON_ITS_SIDE = (
    r"rml|lml|lingul\w+|(?:minor|horizontal)\s+fissures?|azyg\w+|paratracheal\s+strip\w+",
    rf"{_A_SIDE}(?:heart|cardiac)",
    r"la|ra|lv|rv|lvh|rvh|lvot|rvot|lvad|rvad|lad|lca|rca|lima|rima|lbbb|rbbb",
    # the veins on the right in which catheters end
    r"svc|ivc|ven(?:a|ae)\s+cav\w+|cavo[-\s]*atrial|atrio[-\s]*caval",
    r"liver|hepat\w+|gall(?:bladder|stones?)|chole\w+|splee?n\w*|stomach|gastric",
    r"situs|heterotax\w+|dextrocard\w+|levocard\w+|dextropos\w+|kartagener\w*|scimitar",
    # oblique views
    r"lao|rao|lpo|rpo",
    # what de-identification took: the middle lobe, the minor fissure, the superior vena cava
    rf"{_A_SIDE}(?:xxxx|_+)\s+(?:lobe|fissure)\w*|superior\s+(?:xxxx|_+)",
)


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(patterns)})\b", re.IGNORECASE)


_NAMES = _any_of(_KEEPS_ITS_NAME)
_ONE_SIDED = _any_of((*_KEEPS_ITS_NAME, *_LIES_ON_ITS_SIDE))

_NOT_AN_ADJECTIVE = re.compile(
    "a|about|above|across|after|again|all|along|also|alone|an|and|any|around|as|at|away|back|be|"
    "been|before|behind|below|beneath|between|but|by|can|cannot|could|down|due|during|for|from|"
    "had|has|have|here|if|in|into|is|it|its|just|may|might|near|next|no|not|now|of|off|on|only|"
    "onto|or|out|over|should|since|so|than|that|the|then|there|these|this|through|to|under|until|"
    "up|was|were|when|where|which|while|will|with|within|without|would"
)
"""Words that no adjective stands before: what precedes them is a noun ("the left is"), a verb
("left in place") or an adverb ("right above").
"""
_BEFORE_A_NOUN = re.compile("the|on|to|than|from|of|toward|towards|versus|vs|both|either")
_BEFORE_A_VERB = re.compile("am|be|been|being|had|has|have|having|he|patient|she|they|was|were|who")
_STATES = re.compile("intact|open|unchanged|undisturbed|untouched|untreated|unrepaired")
_STOP = re.compile(r"[.,;:()\[\]\n]")


def _other(word: str) -> str | None:
    """Return the word of the other side in the same case; None where there is none, or the case is
    none of lower, Capital and UPPER.
    """
    lower = word.lower()
    if (other := _OTHER.get(lower)) is None:
        if (found := _CURVED.fullmatch(lower)) is None:
            return None
        other = ("levo" if found[1] == "dextro" else "dextro") + found[2]
    if word == lower:
        return other
    if word == lower.upper():
        return other.upper()
    return other.capitalize() if word == lower.capitalize() else None


def _names_a_side(text: str, words: Sequence[re.Match[str]], at: int) -> bool:
    """Tell whether a "left" or "right" is one for certain: an adjective, or a noun."""
    word = words[at][0].lower()
    (before, before_it), (after, after_it) = (
        _neighbours(text, words, at, step) for step in (-1, 1)
    )
    if word == "left" and _BEFORE_A_VERB.fullmatch(before):
        return False
    noun = _BEFORE_A_NOUN.fullmatch(before) is not None
    if after and not _NOT_AN_ADJECTIVE.fullmatch(after):
        if word == "left":
            return noun or not _STATES.fullmatch(after)
        return not after.startswith("angle")
    joined = ("and", "or", "to", "than", "versus", "vs")
    return (
        noun
        or before in _SIDES
        or (before in ("and", "or") and before_it in _SIDES)
        or (after in joined and after_it in _SIDES)
    )


def _neighbours(
    text: str, words: Sequence[re.Match[str]], at: int, step: Literal[-1, 1]
) -> tuple[str, str]:
    """Return the two words before or after one, each empty where a stop lies between."""
    found = ["", ""]
    for distance in range(2):
        here, there = at + step * distance, at + step * (distance + 1)
        if not 0 <= there < len(words):
            break
        first, second = sorted((here, there))
        if _STOP.search(text[words[first].end() : words[second].start()]):
            break
        found[distance] = words[there][0].lower()
    return found[0], found[1]
