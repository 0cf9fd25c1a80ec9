"""What the words between two phrases do: "in the", "is", "may represent"."""

import re
from typing import Final, Literal

from rrg_knowledge.radgraph_phrases import Phrase

Gap = Literal["break", "suggests", "join", "touch", "of", "at", "with", "verb", "other"]

_BREAK: Final = re.compile(r"[;:]|\b(?:but|although|however|while|whereas|though|except)\b")
_SUGGESTS: Final = re.compile(
    r"\b(?:(?:may|might|could|can|would) (?:also )?(?:represent|reflect|indicate|suggest|be|relate|"
    r"correspond)|consistent with|compatible with|in keeping with|suggest\w*|suspicious for|"
    r"suspicion (?:for|of)|concern\w* (?:for|of|regarding)|worrisome for|question of|"
    r"represent(?:s|ing)?|reflect(?:s|ing)?|indicat(?:e|es|ing|ive of)|confirm(?:s|ing)?|due to|"
    r"secondary to|(?:most |more )?likely|probably|possibly|blunted by|by)\b"
)
_ARTICLES: Final = frozenset(
    "the a an its his her this these that those any some xxxx patient patients".split()  # noqa: SIM905
)
_JOINS: Final = frozenset(("and", "or", "nor", ",", "/", "andor", "as", "well", "versus", "vs"))
_AT: Final = frozenset(
    "in at on over within along near around about above below beneath under behind through "  # noqa: SIM905
    "throughout across into onto between beyond overlying overlies overlie obscuring obscures "
    "obscure occupies occupying replaces replacing crosses cross lines lining involving involves "
    "towards toward against inside to projecting projects surrounding affecting abutting".split()
)
_AREAS: Final = frozenset(
    "level area areas vicinity remainder part parts most much all both each noted seen "  # noqa: SIM905
    "identified present".split()
)
"""Words for a place that are no entity: "at the level of the carina"."""
_VERBS: Final = frozenset(
    "is are was were be been has have had remains remain appears appear appearing shows show "  # noqa: SIM905
    "demonstrates demonstrate reveals reveal contains contain seems seem again".split()
)


def read_gap(text: str, phrase: Phrase, *, begins: bool) -> Gap:
    """Name what stands before a phrase; `begins`: it is the first."""
    if _BREAK.search(text):
        return "break"
    words = text.split()
    left = [word for word in words if word not in _ARTICLES]
    if not begins and phrase.kind == "finding" and _SUGGESTS.search(text):
        return "suggests"
    if not left:
        return "touch"
    if set(left) <= _JOINS | {"no"} and left[-1] != "well":
        return "join"
    if phrase.kind == "place":
        if left == ["of"]:
            return "of"
        if left[-1] == "for" and len(left) == 1:
            return "at"  # "normal for size"
        if left[-1] in _AT or (left[-1] == "of" and left[-2] in _AREAS | _AT):
            return "at"
    if left[-1] == "of":
        return "of" if len(left) == 1 else "verb" if "free" in left else "other"
    if "with" in left:
        return "with"
    if left[-1] == "in" and phrase.kind == "quality":
        return "at"
    return "verb" if _VERBS.intersection(left) else "other"
