"""Out of memory, on whatever device: recognising it, and what the error says of it."""

import errno
import re
from collections.abc import Iterator
from typing import final

from rrgcore.errors import UserError

WORDS = re.compile(
    r"out of memory|not enough memory|can(?:'t|not) allocate memory|bad_alloc|bad allocation"
    r"|STATUS_ALLOC_FAILED|unable to allocate|failed to map segment from shared object",
    re.IGNORECASE,
)
"""Of CUDA, HIP, XPU, MPS and their libraries, of torch's allocators of host memory, of C++, and of
what loads libraries.
"""

ASKED = re.compile(
    r"(?:tried to allocate|unable to allocate|requested size:) "
    r"(?P<size>\d[\d.]*) ?(?P<unit>bytes|[KMGTP]i?B)",
    re.IGNORECASE,
)
TOTAL = re.compile(r"(?P<device>GPU \d+) has a total capacity of (?P<total>\d[\d.]* [KMGT]i?B)")
FREE = re.compile(r"of which (?P<free>\d[\d.]* (?:bytes|[KMGT]i?B)) is free")
MOST = re.compile(r"max allowed: (?P<most>\d[\d.]* [KMGT]i?B)")


@final
class OutOfMemory(UserError):
    """Memory was asked for that the machine does not have; says what to change."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in an error or in what it was raised from."""
    return any(_is_shortage(each) for each in _chain(error))


def amounts(error: BaseException) -> str:
    """Say how much was asked for, of how much, where the error does; else nothing."""
    text = str(next((each for each in _chain(error) if _is_shortage(each)), error))
    said = []
    if asked := ASKED.search(text):
        size, unit = asked["size"], asked["unit"]
        whole = _size(float(size)) if unit == "bytes" else f"{size} {unit}"
        said.append(f"{whole} more were asked for")
    if total := TOTAL.search(text):
        free = FREE.search(text)
        left = f", {free['free']} of them free" if free else ""
        said.append(f"{total['device']} has {total['total']}{left}")
    if most := MOST.search(text):
        said.append(f"at most {most['most']} are allowed")
    return "; ".join(said)


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    # torch's own class is a RuntimeError; others have none of their own
    spoken = isinstance(error, (RuntimeError, ImportError, OSError))
    return spoken and WORDS.search(str(error)) is not None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Iterate over an error and its causes: a reader may have taken it for a damaged file."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"
