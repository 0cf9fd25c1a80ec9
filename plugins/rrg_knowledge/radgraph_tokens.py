"""Words of a sentence with the part that each plays beside its neighbours."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from rrg_knowledge.radgraph_words import COMPOUNDS, DEVICES, NORMAL, Part, part_of

_IMAGING: Final = frozenset(
    "view views radiograph radiographs radiography film films x-ray x-rays xray x-xxxx "  # noqa: SIM905
    "image images imaging projection projections exam examination study ct scan pain xxxx".split()
)
"""After them a word of place is no finding's: "chest radiograph", "lateral view"."""
_NAMING: Final = frozenset(
    "visualized visible imaged remaining main central dependent transverse descending ascending "  # noqa: SIM905
    "median midshaft major minor horizontal oblique inner outer both either hemi".split()
)
"""Sides that say nothing where no place follows."""
_ORDINAL: Final = re.compile(r"\d+(st|nd|rd|th)|first|second|third|fourth|\w+th")
_NUMBER: Final = re.compile(r"\d+(\.\d+)?")
_WHENCE: Final = frozenset("above below from proximal distal beyond superior".split())  # noqa: SIM905


@final
@dataclass(frozen=True, slots=True)
class Token:
    """One word, or the words of one entity; `end` is inclusive."""

    text: str
    start: int
    end: int
    part: Part | None


def read_tokens(words: Sequence[str]) -> list[Token]:
    """Return tokens of words in lower case, with the part that each plays beside its neighbours."""
    tokens = list(_join(words))
    parts = [token.part for token in tokens]
    for i in reversed(range(len(tokens))):  # what follows decides first
        parts[i] = _part_here(tokens, parts, i)
    for i in range(1, len(tokens) - 1):
        if tokens[i].text in ("to", "and", "or") and _joins_adjectives(tokens, parts, i):
            parts[i] = Part.SILENT
    return [
        Token(token.text, token.start, token.end, part)
        for token, part in zip(tokens, parts, strict=True)
    ]


def _joins_adjectives(tokens: Sequence[Token], parts: Sequence[Part | None], i: int) -> bool:
    """Tell whether both words beside "to" or "and" describe the same finding."""
    if parts[i - 1] is not Part.QUALITY:
        return False
    if parts[i + 1] is Part.DEGREE:
        return tokens[i].text == "to"
    if parts[i + 1] is not Part.QUALITY:
        return False
    if tokens[i - 1].text in NORMAL or tokens[i + 1].text in NORMAL:
        return False
    return tokens[i].text == "to" or Part.FINDING in _run_after(parts, i + 2)


def _join(words: Sequence[str]) -> Iterator[Token]:
    i = 0
    while i < len(words):
        for size in (4, 3, 2):
            several = tuple(words[i : i + size])
            if len(several) == size and several in COMPOUNDS:
                yield Token("_".join(several), i, i + size - 1, COMPOUNDS[several])
                i += size
                break
            if size == 2 and _is_measure(several):
                far = words[i + 2 : i + 3]
                part = None if _WHENCE.intersection(far) else Part.QUALITY
                yield Token("_".join(several), i, i + 1, part)
                i += 2
                break
        else:
            part = part_of(words[i])
            yield Token(words[i], i, i, None if part is Part.MEASURE else part)
            i += 1


def _is_measure(words: tuple[str, ...]) -> bool:
    return (
        len(words) == 2
        and _NUMBER.fullmatch(words[0]) is not None
        and part_of(words[1]) is Part.MEASURE
    )


def _part_here(tokens: Sequence[Token], parts: Sequence[Part | None], i: int) -> Part | None:
    """Return the part of a token whose followers have theirs."""
    text, part = tokens[i].text, parts[i]
    if part is None:
        return None
    before = tokens[i - 1].text if i else ""
    after = tokens[i + 1].text if i + 1 < len(tokens) else ""
    then = parts[i + 1] if i + 1 < len(tokens) else None
    placed = then in (Part.PLACE, Part.REGION, Part.SIDE)
    match text:
        case "lines" if after in ("the", "a"):
            return None  # a verb
        case "free" if after == "of":
            return None
        case "appearance" if before in ("in", "and", "for"):
            return None
        case "sternotomy" if after.startswith("wire"):
            return Part.REGION
        case "volume" if after not in ("loss", "overload"):
            return Part.PLACE
        case "midline" if after == "sternotomy":
            return Part.SIDE
        case "worsening" | "compression" if then in (Part.QUALITY, Part.FINDING, Part.REGION):
            return Part.QUALITY
        case "airspace" | "air-space" | "air_space":
            return Part.QUALITY if Part.FINDING in _run_after(parts, i + 1) else Part.PLACE
        case "chest" if _IMAGING.intersection(token.text for token in tokens[max(i - 3, 0) : i]):
            return None
        case "visible" | "visualized" if Part.FINDING in _run_after(parts, i + 1):
            return None
        case "adjacent" if placed:
            rest = _run_after(parts, i + 1)
            return Part.QUALITY if Part.FINDING in rest else Part.SIDE
        case "central" | "venous" if _names_device(tokens, i):
            return Part.QUALITY
        case "central" if not placed:
            return Part.QUALITY
        case "body" | "bodies" if before not in ("vertebral", "vertebrae"):
            return None
    if text == "lateral" and not placed and then is None:
        return None
    if text == "findings" and before in ("these", "those", "clinical", "imaging", "above"):
        return None
    if part in (Part.SIDE, Part.PLACE, Part.REGION) and after in _IMAGING - {"xxxx"}:
        return None
    if text == "chest" and after == "xxxx":
        return None
    if part is Part.SIDE and not placed and (text in _NAMING or _ORDINAL.fullmatch(text)):
        return None
    return part


def _names_device(tokens: Sequence[Token], i: int) -> bool:
    return any(token.text in DEVICES for token in tokens[i + 1 : i + 3])


def _run_after(parts: Sequence[Part | None], i: int) -> list[Part]:
    run: list[Part] = []
    for part in parts[i:]:
        if part is None:
            break
        run.append(part)
    return run
