"""Where a sentence names an observation."""

from collections.abc import Mapping
from typing import Final

from rrg_knowledge import phrases_observations, phrases_other
from rrg_knowledge.phrases import Phrases
from rrg_knowledge.sentences import Words
from rrgcore.chest import NO_FINDING

_OBSERVATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    **{key: tuple(key.split(" + ")) for key in phrases_observations.PHRASES},
    phrases_other.ABNORMAL: (NO_FINDING,),
    phrases_other.NOTHING: (),
}
_PHRASES: Final = Phrases({**phrases_observations.PHRASES, **phrases_other.PHRASES})


def find_mentions(words: Words) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return first word, the word after the last, and observations of each finding named.

    Phrases of the same observations that touch are one finding ("endotracheal tube").
    """
    found: list[tuple[int, int, tuple[str, ...]]] = []
    for start, end, name in _PHRASES.find(words):
        observations = _OBSERVATIONS[name]
        if found and found[-1][1:] == (start, observations):
            start = found.pop()[0]
        found.append((start, end, observations))
    return found
