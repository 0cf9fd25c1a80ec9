"""Ctrl-C and SIGTERM, held back while a run stands between two states that it could go on from."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any, final

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Interrupts:
    """Remembers the first signal until it is safe to stop; the second one stops at once.

    Outside the main thread, where Python hears no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether somebody asked the run to stop."""
        self.forced = False
        """Whether it was stopped where it stood: what is in memory is not to be saved."""
        self._open = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        if current_thread() is main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

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

    def check(self) -> None:
        """Raise KeyboardInterrupt if somebody asked for it."""
        if self.asked:
            raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._open:
            self.asked = True
            raise KeyboardInterrupt
        if self.asked:
            self.forced = True
            raise KeyboardInterrupt
        self.asked = True
