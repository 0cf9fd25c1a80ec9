"""Ctrl-C, SIGTERM and a closed terminal, held back while a run stands between two states that it
could go on from.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any, final

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
"""What a terminal that is closed, or a connection that is lost, sends to what runs in it."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, *((HANGUP,) if HANGUP is not None else ()))
ECHO = 1.0
"""Seconds within which a launcher passes on a signal that its processes have heard themselves, as
where Slurm sends it to all of a job.
"""


@final
class Stopped(KeyboardInterrupt):
    """Somebody asked for the process to stop, by a signal of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_status(error: KeyboardInterrupt) -> int:
    """Return what a shell says of a process that the signal ended: 130, 143 for SIGTERM, 129 for a
    terminal that was closed.
    """
    return 128 + (error.number if isinstance(error, Stopped) else signal.SIGINT)


@final
class Interrupts:
    """Remembers the first signal until it is safe to stop; the second one stops at once, unless it
    comes within `echo` seconds.

    Outside the main thread, where Python hears no signals, it does nothing.
    """

    def __init__(self, *, echo: float = 0.0) -> None:
        self.echo = echo
        self.heard = 0
        """The number of the signal by which somebody asked the run to stop."""
        self.forced = False
        """Whether it was stopped where it stood: what is in memory is not to be saved."""
        self._open = False
        self._when = 0.0
        self._before: dict[signal.Signals, Any] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> "Interrupts":
        if current_thread() is main_thread():
            self._terminals = [stream for stream in (1, 2) if _is_terminal(stream)]
            self._before = {
                number: signal.signal(number, self._hear)
                for number in SIGNALS
                # under nohup it is ignored, and stays so
                if number != HANGUP or signal.getsignal(number) is not signal.SIG_IGN
            }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self.heard != 0

    @contextmanager
    def let_through(self, *, when: bool = True) -> Iterator[None]:
        """Stop at once in here: nothing is changed that would have to be saved."""
        if when:
            self.check()
            self._open = True
        try:
            yield
        finally:
            self._open = False

    def share(self, number: int) -> None:
        """Take a signal that one of several processes heard, 0 if none did, as heard here and now:
        what a launcher passes on when that process ends is no second one.
        """
        if number:
            self.heard, self._when = number, time.monotonic()

    def check(self) -> None:
        """Raise Stopped, a KeyboardInterrupt, if somebody asked for it."""
        if self.asked:
            raise Stopped(self.heard)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number == HANGUP:
            _speak_to_nobody(self._terminals)
        first, now = not self.asked, time.monotonic()
        if first:
            self.heard, self._when = number, now
        elif now - self._when < self.echo:
            return
        if self._open:
            raise Stopped(number)
        if not first:
            self.forced = True
            raise Stopped(number)


def _is_terminal(stream: int) -> bool:
    try:
        return os.isatty(stream)
    except OSError:
        return False


def _speak_to_nobody(streams: list[int]) -> None:
    """Let what is said into a terminal that is gone be lost: else the first word would be an error,
    before anything is saved.
    """
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nobody, stream)
    os.close(nobody)
