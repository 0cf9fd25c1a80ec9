"""The part of METEOR's paraphrase table that can matter to given texts.

METEOR reads 5.3 million paraphrases before its first score, which takes longer than scoring a
corpus does. Only a pair of phrases that both stand in the texts can match, a few thousand of them,
so it is given those and scores the same.
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int

_LONGEST = 7
"""Words of the table's longest phrases."""
_RUN = re.compile("[a-z0-9]+")
_DELETED = bytes(set(range(256)) - set(b"abcdefghijklmnopqrstuvwxyz0123456789\n"))
_PORTION = 1 << 20


def select_paraphrases(table: Path, texts: Iterable[str]) -> bytes:
    """Return a table, compressed like the given one, of the paraphrases that the texts can use.

    Phrases are compared by their letters and digits alone. METEOR's normalization cuts texts at
    other characters and joins nothing, so what it may find is never left out; what is kept besides
    changes nothing.
    """
    phrases = _phrases(texts)
    kept: list[bytes] = []
    for lines, ends in _whole_entries(table):
        keys = lines.translate(None, _DELETED).split(b"\n")
        # an entry is three lines: a probability and the two phrases
        known = np.fromiter(map(phrases.__contains__, keys[1::3]), bool, len(ends) // 3)
        for entry in np.flatnonzero(known).tolist():
            if keys[3 * entry + 2] in phrases:
                begin = ends[3 * entry - 1] + 1 if entry else 0
                kept.append(lines[begin : ends[3 * entry + 2] + 1])
    return gzip.compress(b"".join(kept), 1)


def _phrases(texts: Iterable[str]) -> set[bytes]:
    """Return what any run of words in the texts spells, without what is between the words."""
    found = {b""}
    for text in texts:
        words = [match.encode() for match in _RUN.findall(text.lower())]
        spelt, begins = b"".join(words), [0]
        for word in words:
            begins.append(begins[-1] + len(word))
        found.update(
            spelt[begins[i] : end]
            for i in range(len(words))
            for end in begins[i + 1 : i + 1 + _LONGEST]
        )
    return found


def _whole_entries(table: Path) -> Iterator[tuple[bytes, Int[np.ndarray, " lines"]]]:
    """Yield some entries of the table at a time, none of them cut, and where their lines end."""
    rest = b""
    with table.open("rb") as file, ThreadPoolExecutor(1) as ahead:
        portions = _decompressed(file)
        following = ahead.submit(next, portions, None)
        while (portion := following.result()) is not None:
            # the next portion is decompressed while this one is searched
            following = ahead.submit(next, portions, None)
            lines = rest + portion
            ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
            ends = ends[: len(ends) // 3 * 3]
            cut = ends[-1] + 1 if len(ends) else 0
            rest = lines[cut:]
            if cut:
                yield lines[:cut], ends
    assert not rest, "an entry of the paraphrase table is three lines"


def _decompressed(file: IO[bytes]) -> Iterator[bytes]:
    decompress = zlib.decompressobj(wbits=31)
    while portion := file.read(_PORTION):
        yield decompress.decompress(portion)
