"""How many examples are tried, and what holds for each: no other exception than one of ours, in
good time, in little memory, with a message that can be printed.
"""

import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, settings

from rrgcore.errors import RecipeError, UserError
from rrgcore.plugins import Discovered, discover

TIMES: Final = int(os.environ.get("RRG_FUZZ") or 0)
"""Times as many as in the usual run, and other ones each time; 0 for the usual run."""
LONGEST_MESSAGE: Final = 20_000
"""Characters."""

tried: Counter[str] = Counter()
refused: Counter[str] = Counter()
"""Examples by target, and how many of them were refused."""


@cache
def installed() -> Discovered:
    """Return the plugins, discovered once; no fixture, which hypothesis would print whole."""
    return discover()


def examples(few: int) -> settings:
    """Return hypothesis' settings: so many examples in the usual run, the same every time."""
    return settings(
        max_examples=few * TIMES or few,
        derandomize=not TIMES,
        deadline=None,  # hypothesis only looks at the clock afterwards; `bounded` interrupts
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def attempt(
    target: str,
    call: Callable[[], Any],
    *,
    kind: type[UserError] = UserError,
    names: str | Path | None = None,
    whole: bool = False,
    seconds: float = 30,
    megabytes: int = 1024,
) -> str | None:
    """Call what reads an example; return what it was refused with, or None.

    Fails for any exception but `kind`, for one that does not name what it is about, for a refusal
    of what is `whole`, and beyond the bounds of time and memory.
    """
    tried[target] += 1
    try:
        with bounded(seconds, megabytes):
            call()
    except kind as error:
        refused[target] += 1
        refusal = error
    else:
        return None
    check_message(refusal, names)
    assert not whole, f"nothing was wrong with it: {refusal}"
    return str(refusal)


def check_message(error: UserError, names: str | Path | None = None) -> None:
    """Assert that a message can be printed, has an end, and names the file."""
    text = str(error)
    assert text.strip(), "the message is empty"
    assert len(text) <= LONGEST_MESSAGE, f"the message has {len(text):,} characters"
    text.encode()  # half a surrogate pair would stop whoever prints it
    assert "\0" not in text, "the message holds a NUL"
    if names is not None:
        assert str(names) in text, f"the message does not name {names}: {text[:500]}"
    if isinstance(error, RecipeError):
        for problem in error.problems:
            assert (
                problem.address or problem.line or problem.file or "cannot be read" in problem.text
            )


@contextmanager
def bounded(seconds: float, megabytes: int) -> Iterator[None]:
    """Interrupt what takes longer, and refuse what takes more memory at its peak."""

    def stop(*_: object) -> None:
        raise _TookTooLong

    before = {which: signal.signal(which, stop) for which in (signal.SIGALRM, signal.SIGPROF)}
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = _memory("VmRSS")
    if used is not None:
        # far beyond the bound: it only keeps the machine alive
        resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + 6 * 2**30, hard))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    # its own time, since the machine may be busy; and the clock's, since it may wait for ever
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
    try:
        yield
    except _TookTooLong:
        raise AssertionError(f"took longer than {seconds} s") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for which, handler in before.items():
            signal.signal(which, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    if used is not None:
        grown = (_memory("VmHWM") - used) / 2**20
        assert grown <= megabytes, f"took {grown:,.0f} MB, more than {megabytes:,}"


class _TookTooLong(BaseException):
    """Not an Exception, which readers of broken files catch."""


def _memory(field: str) -> Any:
    """Return a figure of this process in bytes; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None
