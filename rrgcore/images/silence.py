"""Warnings of those who decode files, held back: they quote what they read, or tell of a byte that
nobody can mend.
"""

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, final


@contextmanager
def no_warnings() -> Iterator[None]:
    """Hold back warnings, for as long as any thread reads."""
    if _OF_THREADS:
        with _ignored():
            yield
    else:
        with _IGNORED.held():
            yield


@final
class Shared:
    """A state of the process that many threads want at once: the first of them enters it, and the
    last one leaves it, so that what was before is not restored under another's feet.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._holders = 0
        self._state = ExitStack()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Enter it, or join those who have."""
        with self._lock:
            if not self._holders:
                self._state.enter_context(self._make())
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._state.close()


@contextmanager
def _ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


_IGNORED = Shared(_ignored)
_OF_THREADS: Final = bool(getattr(sys.flags, "context_aware_warnings", False))
"""Whether each thread has warnings of its own, as Python 3.14 may be told."""
