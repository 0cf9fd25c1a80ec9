"""Which things of a data set are the same: eight bytes a thing, whatever its size."""

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from typing import final

import numpy as np
from jaxtyping import UInt64


@final
class Same:
    """Remembers hashes of things under numbers, and tells which are equal.

    Hashes are of 64 bits: among all 377,110 images of MIMIC-CXR, two different ones are taken for
    the same with a probability of four in a thousand million.
    """

    def __init__(self) -> None:
        self._numbers = array("I")
        self._keys = array("Q")

    def add(self, number: int, thing: bytes | str) -> None:
        """Remember a thing; numbers come in ascending order, and need not follow on each other."""
        data = thing.encode("utf-8", "surrogatepass") if isinstance(thing, str) else thing
        self.add_key(number, key_of(data))

    def add_key(self, number: int, key: int) -> None:
        """Remember a thing that `key_of` was asked about already."""
        self._numbers.append(number)
        self._keys.append(key)

    def __len__(self) -> int:
        return len(self._keys)

    def groups(self) -> Iterator[list[int]]:
        """Yield the numbers of things that are equal, two or more, by their first."""
        keys, numbers = np.asarray(self._keys), np.asarray(self._numbers)
        order = np.argsort(keys, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(keys[order]) != 0, True)) + 1
        starts = np.append(0, ends[:-1])
        wide = np.flatnonzero(ends - starts > 1)
        groups = [order[starts[i] : ends[i]] for i in wide]
        for group in sorted(groups, key=lambda group: int(group[0])):
            yield numbers[group].tolist()

    def distinct(self, among: range) -> int:
        """Count the different things under these numbers."""
        return len(np.unique(self._of(among)))

    def found(self, these: range, among: range) -> int:
        """Count those under these numbers that are equal to one under the others."""
        return int(np.isin(self._of(these), self._of(among)).sum())

    def _of(self, among: range) -> UInt64[np.ndarray, " _among"]:
        numbers = np.asarray(self._numbers)
        inside = (numbers >= among.start) & (numbers < among.stop)
        return np.asarray(self._keys).view(np.uint64)[inside]


def key_of(data: bytes | memoryview) -> int:
    """Hash some bytes."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
