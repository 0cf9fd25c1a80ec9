"""Which words of a text name an observation, as positions that attention can be asked at."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import final

from rrgcore.chest import OBSERVATIONS
from rrgcore.supply import Mention

_STATUS = re.compile(r"(?:^|[,.;:])\s*([^,.;:]+?)\s+is\s+(\S+)\s*(?=[,.;:]|$)")
_NAMES = {name.lower(): name for name in OBSERVATIONS}


@final
class Named:
    """The observations that a text says are there, or may be, and the words that name each."""

    def __init__(self, words: Sequence[str], mentions: Iterable[Mention]) -> None:
        self._spans: list[tuple[int, int]] = []
        at = 0
        for word in words:
            self._spans.append((at, at + len(word)))
            at += len(word) + 1
        self.words = tuple(words)
        found = [mention for mention in mentions if mention.value]
        self.naming: dict[str, list[int]] = {}
        """Observation to the words of all its mentions."""
        self.sentence: dict[str, list[int]] = {}
        """Observation to all words of the sentences that name it."""
        for mention in found:
            named = self._words(mention.start, mention.end)
            self.naming.setdefault(mention.observation, []).extend(named)
            around = self._around(named)
            self.sentence.setdefault(mention.observation, []).extend(around)
        for each in (self.naming, self.sentence):
            for name, numbers in each.items():
                each[name] = sorted(set(numbers))

    @classmethod
    def of(
        cls, words: Sequence[str], mentions: Callable[[str], Iterable[Mention] | None]
    ) -> "Named | None":
        """Ask who can tell; None where nobody can."""
        found = mentions(" ".join(words))
        return None if found is None else cls(words, found)

    def _words(self, start: int, end: int) -> list[int]:
        return [i for i, (first, last) in enumerate(self._spans) if first < end and last > start]

    def _around(self, named: Sequence[int]) -> list[int]:
        """Return the words of the sentence but for its stop."""
        if not named:
            return []
        first, last = named[0], named[-1]
        while first > 0 and not _ends(self.words[first - 1]):
            first -= 1
        while last < len(self.words) - 1 and not _ends(self.words[last]):
            last += 1
        return [i for i in range(first, last + 1) if any(map(str.isalnum, self.words[i]))]


def statuses(words: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return the status word of each observation that a text states as "… is STATUS" (KIA's label
    report): where it stands, and what it says.
    """
    text = " ".join(words)
    starts, at = {}, 0
    for number, word in enumerate(words):
        starts[at] = number
        at += len(word) + 1
    found = {}
    for stated in _STATUS.finditer(text):
        name = _NAMES.get(stated[1].lower())
        if name is not None and stated.start(2) in starts:
            found[name] = (starts[stated.start(2)], stated[2])
    return found


def _ends(word: str) -> bool:
    return word.endswith((".", ";", "!", "?"))
