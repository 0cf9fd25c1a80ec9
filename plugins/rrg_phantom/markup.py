"""Annotated phrases: plain text in which the words of a RadGraph entity carry their part in it.

A token is `word` or `word/mark`. The mark of an entity is a key (`a…` anatomy, `o…` observation),
an optional status (`+` present, `-` absent, `?` uncertain) and relations: `@a` located at, `>o`
modifies, `~o` suggestive of. Keys are local to the phrase; an entity without a key is a modifier of
its target's sort and status. An underscore keeps words in one entity:

    possible small/>o right/>a pleural/a effusion/o@a
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

Relation = Literal["located_at", "modify", "suggestive_of"]
Status = Literal["present", "uncertain", "absent"]

_RELATIONS: dict[str, Relation] = {"@": "located_at", ">": "modify", "~": "suggestive_of"}
_OBSERVATION_LABELS: dict[str, str] = {"+": "OBS-DP", "?": "OBS-U", "-": "OBS-DA"}
_FLAGS: dict[Status, str] = {"present": "+", "uncertain": "?", "absent": "-"}
_MARK = re.compile(r"(?P<key>[ao]\d?)?(?P<flag>[-+?])?(?P<relations>(?:[@>~][ao]\d?)*)")
_ARTICLE_BEFORE_VOWEL = re.compile(r"(?<!\S)a (?=[aeiou])")


@dataclass(frozen=True, slots=True)
class Entity:
    """A RadGraph v1 entity; `start_ix` and `end_ix` are inclusive word indices."""

    key: str
    tokens: str
    label: str
    start_ix: int
    end_ix: int
    relations: tuple[tuple[Relation, str], ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words of a sentence, without its full stop, and its entities, keyed from 1."""

    words: tuple[str, ...]
    entities: tuple[Entity, ...]


@cache
def read_markup(phrase: str, status: Status) -> Sentence:
    """The sentence of a phrase whose slots are filled; `status` is that of unflagged observations.

    Cached: phrases come from finite tables. `a` becomes `an` before a vowel.
    """
    words: list[str] = []
    marked: list[tuple[int, int, re.Match[str]]] = []
    for token in _ARTICLE_BEFORE_VOWEL.sub("an ", phrase).split():
        text, slash, mark = token.partition("/")
        start = len(words)
        words += text.split("_")
        if slash:
            match = _MARK.fullmatch(mark)
            assert match, (
                f"the mark of {token!r} in {phrase!r} is not one of key, status, relations"
            )
            marked.append((start, len(words) - 1, match))
    numbers = {m["key"]: str(i) for i, (_, _, m) in enumerate(marked, start=1) if m["key"]}
    flags = {m["key"]: m["flag"] for _, _, m in marked if m["key"]}
    entities = tuple(
        Entity(
            key=str(i),
            tokens=" ".join(words[start : end + 1]),
            label=_label(match, flags, _FLAGS[status]),
            start_ix=start,
            end_ix=end,
            relations=tuple(
                (_RELATIONS[kind], numbers[target])
                for kind, target in re.findall(r"([@>~])([ao]\d?)", match["relations"])
            ),
        )
        for i, (start, end, match) in enumerate(marked, start=1)
    )
    return Sentence(tuple(words), entities)


def _label(match: re.Match[str], flags: dict[str, str | None], default: str) -> str:
    key = match["key"] or match["relations"][1:]
    return "ANAT-DP" if key[0] == "a" else _OBSERVATION_LABELS[flags[key] or default]
