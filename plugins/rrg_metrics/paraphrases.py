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
from jaxtyping import Bool, Int, UInt64

_LONGEST = 7
"""Words of the table's longest phrases."""
_PORTION = 1 << 20
_KEPT = b"abcdefghijklmnopqrstuvwxyz0123456789 \n"
_PLAIN = bytes(byte if byte in _KEPT else 0x80 for byte in range(256))
"""Letters, digits and spaces stay; every other byte becomes one that no text has."""
_ODD = np.uint64(0x8080808080808080)
_PADDING = b"\0" * 16
_FIRST = np.array([(1 << 8 * length) - 1 for length in range(9)], dtype=np.uint64)
"""What to keep of eight bytes for the first so many."""
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)

Places = Int[np.ndarray, " phrases"]


def select_paraphrases(table: Path, texts: Iterable[str]) -> bytes:
    """Return a table, compressed like the given one, of the paraphrases that the texts can use.

    An entry is kept where each of its phrases begins, for 16 characters, as some words of the
    texts do; also where a sign is among those, since METEOR may set it apart from words. Nothing
    that may match is left out: it cuts texts at signs and joins nothing. What is kept besides
    changes nothing.
    """
    known = _beginnings(texts)
    kept: list[bytes] = []
    for lines, ends in _whole_entries(table):
        plain = lines.translate(_PLAIN) + _PADDING
        begins = np.concatenate([[0], ends[:-1] + 1])
        # an entry is three lines: a probability and the two phrases
        entries = np.flatnonzero(_known(plain, begins[1::3], ends[1::3], known))
        second = 3 * entries + 2
        entries = entries[_known(plain, begins[second], ends[second], known)]
        kept += [lines[begins[3 * i] : ends[3 * i + 2] + 1] for i in entries.tolist()]
    return gzip.compress(b"".join(kept), 1)


def _beginnings(texts: Iterable[str]) -> Bool[np.ndarray, " numbers"]:
    """Return which numbers the beginnings of the texts' phrases have."""
    spaced = "\n".join(re.sub("[^a-z0-9]+", " ", text.lower()).strip() for text in texts)
    plain = spaced.encode() + b"\n"
    gaps = np.flatnonzero(np.isin(np.frombuffer(plain, np.uint8), np.frombuffer(b" \n", np.uint8)))
    begins = np.concatenate([[0], gaps[:-1] + 1])
    # where each word's text ends: a phrase stays in one
    breaks = np.flatnonzero(np.frombuffer(plain, np.uint8) == ord("\n"))
    text_ends = breaks[np.searchsorted(breaks, begins)]
    known = np.zeros(1 << 24, dtype=bool)
    for words in range(min(_LONGEST, len(begins))):
        count = len(begins) - words
        within = gaps[words:] <= text_ends[:count]
        low, high = _head(plain + _PADDING, begins[:count][within], gaps[words:][within])
        known[_number(low, high)] = True
    return known


def _known(
    plain: bytes, begins: Places, ends: Places, known: Bool[np.ndarray, " numbers"]
) -> Bool[np.ndarray, " phrases"]:
    low, high = _head(plain, begins, ends)
    return known[_number(low, high)] | ((low | high) & _ODD != 0)


def _head(
    plain: bytes, begins: Places, ends: Places
) -> tuple[UInt64[np.ndarray, " phrases"], UInt64[np.ndarray, " phrases"]]:
    """Return the first eight bytes of each phrase, and the eight after them; 0 after its end."""
    eights = np.ndarray(len(plain) - 7, "<u8", plain, strides=(1,))
    lengths = ends - begins
    low = eights[begins] & _FIRST[np.minimum(lengths, 8)]
    high = eights[begins + 8] & _FIRST[np.clip(lengths - 8, 0, 8)]
    return low, high


def _number(
    low: UInt64[np.ndarray, " phrases"], high: UInt64[np.ndarray, " phrases"]
) -> UInt64[np.ndarray, " phrases"]:
    """Return a number of 24 bits; that two phrases may share one does no harm."""
    return (low * _MIX[0] ^ high * _MIX[1]) >> np.uint64(40)


def _whole_entries(table: Path) -> Iterator[tuple[bytes, Places]]:
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
