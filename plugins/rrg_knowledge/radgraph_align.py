"""A document of RadGraph laid on the words of the report that it was made of."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, Literal

from rrgcore.annotations import Entity, RadGraph
from rrgcore.errors import DataError
from rrgcore.graph_words import graph_words

Punctuation = Literal["same", "ignored"]

_LABEL: Final = re.compile(r"(ANAT|OBS)-(DP|DA|U)")


def plain(text: str, punctuation: Punctuation) -> str:
    """Return what two texts must have in common: no spaces, no case, perhaps no punctuation."""
    return "".join(map(_key, text.split())) if punctuation == "same" else _letters(text)


def align_document(
    document: Any, report: str, *, study: str, punctuation: Punctuation = "same"
) -> RadGraph:
    """Return a document's entities on the report's own words.

    RadGraph parts words at stops and commas, radgraph-xl at hyphens; each entity gets the words
    that hold its characters, counted from the start. Two entities of one word of the report keep
    it both. Where punctuation is ignored, an entity that is nothing else is left out. Raises
    DataError unless both texts are the same but for spaces and case (and punctuation).
    """
    try:
        graph = RadGraph.from_json(document)
    except DataError as error:
        raise DataError(f"study {study}: {error}") from error
    for key, entity in graph.entities.items():
        if not _LABEL.fullmatch(entity.label):
            raise DataError(
                f"study {study}: entity {key} ('{entity.tokens}') has the label '{entity.label}'; "
                "RadGraph's are ANAT-DP, OBS-DP, OBS-DA, OBS-U, radgraph-xl's "
                "'Observation::definitely present' and its like"
            )
    words = tuple(report.split())
    shown = _key if punctuation == "same" else _letters
    ours, theirs = [shown(word) for word in words], [shown(word) for word in graph.words]
    if not any(ours) and "".join(theirs) in ("", "none"):  # how RadGraph reads an empty report
        return RadGraph(words, {})
    said = RadGraph(tuple(filter(None, theirs)), graph.entities)
    graph_words(said, " ".join(filter(None, ours)), study=study)
    ends, begins = [*accumulate(map(len, ours))], [0, *accumulate(map(len, theirs))]
    spans = {
        key: _span(ends, begins[entity.start], begins[entity.end + 1])
        for key, entity in graph.entities.items()
        if begins[entity.start] < begins[entity.end + 1]
    }
    return RadGraph(
        words,
        {
            key: Entity(
                tokens=" ".join(words[start : end + 1]),
                label=graph.entities[key].label,
                start=start,
                end=end,
                relations=tuple(
                    (relation, target)
                    for relation, target in graph.entities[key].relations
                    if target in spans
                ),
            )
            for key, (start, end) in spans.items()
        },
    )


def _span(ends: Sequence[int], start: int, stop: int) -> tuple[int, int]:
    """Return the first and the last word that hold characters from `start` up to `stop`."""
    return bisect_right(ends, start), bisect_left(ends, stop)


def _key(word: str) -> str:
    return word.lower()


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))
