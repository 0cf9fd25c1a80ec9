"""Whether RadGraph read the report that the model is fed."""

from itertools import accumulate, takewhile

from rrgcore.annotations import RadGraph
from rrgcore.errors import DataError


def graph_words(graph: RadGraph, report: str, *, study: str) -> tuple[str, ...]:
    """Return RadGraph's words; raises DataError unless they are the report's but for the spaces."""
    words = tuple(report.split())
    if not words and not graph.entities:  # RadGraph reads an empty report as the word "None"
        return words
    texts = (words, graph.words)
    ours, theirs = ("".join(text) for text in texts)
    if ours == theirs:
        return graph.words
    alike = (a == b for a, b in zip(ours, theirs, strict=False))
    same = sum(1 for _ in takewhile(bool, alike))
    starts = [[0, *accumulate(map(len, text))] for text in texts]
    last = max(start for start in {*starts[0]} & {*starts[1]} if start <= same)
    at, there = (found.index(last) for found in starts)
    from_ours = " ".join(words[at : at + 4]) or "its end"
    from_theirs = " ".join(graph.words[there : there + 4]) or "its end"
    raise DataError(
        f"study {study}: RadGraph was run on another text than its report. From word {at} the "
        f"report has '{from_ours}', RadGraph '{from_theirs}'. Run RadGraph on the cleaned reports "
        "that the model is fed; only its spaces may differ"
    )
