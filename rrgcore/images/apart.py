"""DICOM pixels decoded in a process of their own: GDCM ends the process that gives it certain
damaged files, and with it a run of a week.

Each thread of each process has one such process, which is begun at the first file that needs it,
and again after one that it did not survive.
"""

import json
import os
import subprocess
import sys
import threading
from typing import Any, Final, final

import numpy as np

SECONDS: Final = 60
"""How long a picture may take."""
HEAD: Final = 8
"""Bytes that say how long a message is."""


class Undecodable(Exception):
    """What cannot be decoded; its text is the kind of error, and quotes nothing of the file."""


def decode_apart(data: bytes) -> np.ndarray:
    """Decode the pixels of a DICOM file with GDCM, as pydicom does; raises Undecodable."""
    found = getattr(_OF_THREAD, "process", None)
    if found is None or not found.is_ours:
        found = _OF_THREAD.process = _Process()
    return found.decode(data)


@final
class _Process:
    def __init__(self) -> None:
        self._owner = os.getpid()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it was begun here, and not by the process that this one was forked from."""
        if self._owner != os.getpid() and self._child is not None:
            _OF_OTHERS.append(self._child)  # which alone may end it
            self._child = None
        return self._owner == os.getpid()

    def decode(self, data: bytes) -> np.ndarray:
        if self._child is None:
            self._child = _begin()
        # a decoder may also never come back
        clock = threading.Timer(SECONDS, self._child.kill)
        clock.start()
        try:
            send(self._child.stdin, data)
            about = json.loads(receive(self._child.stdout))
            pixels = receive(self._child.stdout)
        except (OSError, EOFError):
            self.end()
            raise Undecodable("its decoder ended, or took too long") from None
        finally:
            clock.cancel()
        if "error" in about:
            raise Undecodable(f"{about['error']} from pydicom")
        return np.frombuffer(pixels, np.dtype(about["dtype"])).reshape(about["shape"])

    def end(self) -> None:
        """End the process, if there is one; the next file begins another."""
        child, self._child = self._child, None
        if child is not None and self._owner == os.getpid():
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def __del__(self) -> None:
        self.end()


def send(pipe: Any, message: bytes) -> None:
    """Write a message and its length."""
    pipe.write(len(message).to_bytes(HEAD, "little"))
    pipe.write(message)
    pipe.flush()


def receive(pipe: Any) -> bytes:
    """Read a message; raises EOFError where the other side has ended."""
    length = int.from_bytes(_exactly(pipe, HEAD), "little")
    return _exactly(pipe, length)


def _exactly(pipe: Any, length: int) -> bytes:
    found = pipe.read(length)
    if len(found) < length:
        raise EOFError
    return bytes(found)


def _begin() -> "subprocess.Popen[bytes]":
    paths = [path for path in sys.path if path] + [os.getcwd()]
    return subprocess.Popen(
        [sys.executable, "-m", "rrgcore.images.apart_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # where its libraries quote what they read
        start_new_session=True,  # what interrupts a run is not for it: it ends with its pipe
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"},
    )


_OF_THREAD = threading.local()
_OF_OTHERS: "Final[list[subprocess.Popen[bytes]]]" = []
"""Kept, since what is forgotten is taken for one's own that was not waited for."""
