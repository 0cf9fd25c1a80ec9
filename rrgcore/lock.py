"""A folder, or a file, that one process at a time writes into: the others see that it does."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, final

from rrgcore.disk import make_folder, refusal
from rrgcore.errors import RunError
from rrgcore.files import lock_file

LOCK = ".lock"
UNFOLLOWED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""A lock may be a stranger's: a link is not followed, and a pipe not waited for."""
LOOKS = 10
"""Times that a folder is tried to be held: whoever looks whether it is in use holds it a moment."""
BETWEEN = 0.03
"""Seconds between two of them."""


@final
class FolderLock:
    """What is locked in a folder while a process writes there; the system lets go of it where that
    process is killed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / LOCK

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from writing here; raises RunError where one does already.

        The folder is made if need be, and where nothing is written into it, it is taken away again.
        """
        made = [each for each in (self.folder, *self.folder.parents) if not each.exists()]
        try:
            with self._locked() as file:
                try:
                    yield
                finally:
                    let_go(file, self.path)
        finally:
            for each in made:
                with suppress(OSError):
                    each.rmdir()  # where something is in it, it stays

    @property
    def in_use(self) -> bool:
        """Whether a process holds it, as far as may be seen: another user's lock that cannot be
        looked at is taken for one.
        """
        try:
            with _opened(self.path, os.O_RDONLY) as file:
                return not lock_file(file, shared=True)
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def _locked(self) -> IO[bytes]:
        """Return the locked file by which the folder, made if need be, is held."""
        try:
            file = take(self.path)
        except OSError as error:
            if self.path.is_symlink():
                raise RunError(
                    f"{self.path} is a link, and a run's lock is none: remove it"
                ) from error
            why = RunError(f"{self.folder} cannot be written ({error})")
            raise refusal(error, self.path) or why from error
        if file is None:
            raise RunError(f"{self.folder} is in use: another rrg is running in it")
        return file


def take(path: Path) -> IO[bytes] | None:
    """Return a lock that nobody else holds until it is closed, its folder made if need be, or None
    where somebody does; raises OSError.
    """
    for look in range(1, LOOKS + 1):
        try:
            make_folder(path.parent)
            file = _opened(path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # who held the folder has taken it away just now
            if look == LOOKS:
                raise
        else:
            # or the lock alone, between our opening and our locking it
            if lock_file(file) and _is_lock(file, path):
                return file
            file.close()
        time.sleep(BETWEEN)
    return None


def let_go(file: IO[bytes], path: Path) -> None:
    """Take a lock away that is held; not another's, who made its folder anew."""
    if _is_lock(file, path):
        path.unlink(missing_ok=True)


def _is_lock(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that is there."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    return False


def _opened(path: Path, flags: int) -> IO[bytes]:
    """Open a lock, and leave what is in it as it is."""
    return open(os.open(path, flags | UNFOLLOWED, 0o666), "rb", buffering=0)
