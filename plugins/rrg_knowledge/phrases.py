"""A small language of phrases, and how many of them are looked for at once.

effusion            the word
opacit*             any word that begins so
(left|air_space)    one of these; `_` stands for a space
the?  (a|the)?      it may be absent
~3                  up to three words, but no comma, and none of `no`, `not`, `without`, `but`
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, final

from rrg_knowledge.sentences import Words

_PART: Final = re.compile(r"~(?P<gap>\d)|(?:\((?P<any>[^)]*)\)|(?P<word>[^?\s]+))(?P<optional>\?)?")
_GAP: Final = r"(?:(?!(?:no|not|without|but) )\w+ )"


@final
class Phrases:
    """Phrases by name, ready to be found in sentences.

    Where several begin at the same word, the one of most words wins, and its words are used up.
    """

    def __init__(self, phrases: Mapping[str, Sequence[str]]) -> None:
        rows = [(phrase, name) for name, many in phrases.items() for phrase in many]
        rows.sort(key=lambda row: _size(row[0]), reverse=True)
        by_letter: dict[str, list[tuple[str, str]]] = {}
        for phrase, name in rows:
            for letter in _first_letters(phrase):
                by_letter.setdefault(letter, []).append((_pattern(phrase), name))
        self._names = {
            letter: [name for _, name in patterns] for letter, patterns in by_letter.items()
        }
        self._by_letter = {
            letter: re.compile("|".join(f"({pattern})" for pattern, _ in patterns))
            for letter, patterns in by_letter.items()
        }

    def find(self, words: Words) -> Iterator[tuple[int, int, str]]:
        """Yield first word, the word after the last, and name of each phrase, from the left."""
        line, starts, count = words.line, words.starts, len(words.starts)
        i = 0
        while i < count:
            letter = line[starts[i]]
            pattern = self._by_letter.get(letter)
            match = pattern.match(line, starts[i]) if pattern else None
            if match is None:
                i += 1
                continue
            assert match.lastindex is not None, "every phrase is a group"
            first, stop = i, match.end()
            while i < count and starts[i] < stop:
                i += 1
            yield first, i, self._names[letter][match.lastindex - 1]


def _pattern(phrase: str) -> str:
    """Return a pattern of words that a space follows each; it has no group that captures."""
    pattern = ""
    for part in _PART.finditer(phrase):
        if part["gap"]:
            pattern += f"{_GAP}{{0,{part['gap']}}}"
        else:
            either = "|".join(
                re.escape(word).replace(r"\*", r"\w*").replace("_", " ") for word in _choices(part)
            )
            pattern += f"(?:(?:{either}) ){part['optional'] or ''}"
    return pattern


def _first_letters(phrase: str) -> set[str]:
    letters: set[str] = set()
    for part in _PART.finditer(phrase):
        assert not part["gap"], f"`{phrase}` begins with a gap"
        letters.update(word[0] for word in _choices(part))
        if not part["optional"]:
            break
    return letters


def _choices(part: re.Match[str]) -> list[str]:
    return part["word"].split() if part["word"] else part["any"].split("|")


def _size(phrase: str) -> tuple[int, int, int]:
    """Return how many words a phrase has at least, how many parts, how many letters."""
    parts = list(_PART.finditer(phrase))
    needed = sum(not part["gap"] and not part["optional"] for part in parts)
    return needed, len(parts), len(phrase)
