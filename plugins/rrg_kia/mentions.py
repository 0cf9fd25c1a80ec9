"""Which landmarks a report mentions, by matching whole words (KIA, §3.2)."""

import re
from typing import final

from rrg_kia.atlas import Atlas


@final
class Mentions:
    """Finds an atlas's landmarks in text.

    The longest phrase wins and its words are used up: "right lung base" is the base, not the lung.
    A word that names no side means both, unless a side stands right before it ("left pleural
    effusion").
    """

    def __init__(self, atlas: Atlas) -> None:
        self._meant: dict[str, tuple[str, ...]] = {}
        for name in atlas.patches:
            for phrase in (name, *atlas.aliases.get(name, ())):
                self._meant[phrase] = tuple(dict.fromkeys((*self._meant.get(phrase, ()), name)))
        self._sideless = dict(atlas.sideless)
        parts = [f"(?P<phrase>{_any_of(self._meant)})"]
        if self._sideless:
            side = r"(?:(?P<side>right|left)(?:[-\s]sided)?\s+)?"
            parts.append(f"{side}(?P<word>{_any_of(self._sideless)})")
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")

    def __call__(self, report: str) -> frozenset[str]:
        """Return the landmarks that a report mentions, denied or not."""
        found: set[str] = set()
        for match in self._pattern.finditer(report.lower()):
            if phrase := match["phrase"]:
                found.update(self._meant[" ".join(phrase.split())])
            else:
                meant, side = self._sideless[" ".join(match["word"].split())], match["side"]
                of_side = [name for name in meant if side and name.startswith(side)]
                found.update(of_side or meant)
        return frozenset(found)


def _any_of(phrases: dict[str, tuple[str, ...]]) -> str:
    """Return a pattern of any phrase, the longest first, with any white space between its words."""
    longest = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    return "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest)
