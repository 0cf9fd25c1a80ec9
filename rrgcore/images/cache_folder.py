"""Where decoded images are kept between runs, how much that may take, and who may write.

    <folder>/images/<size>-<transform>/<when>-<who>.images
    <folder>/images/.lock

The folder is RRG_CACHE; else the user's own for caches, which is nobody else's to read: what is in
it may show patients.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from rrgcore.errors import UserError
from rrgcore.images.segment import SUFFIX, load_keys, mark

PLACE: Final = "RRG_CACHE"
"""The environment variable: a folder, or `off`."""
SPARE: Final = 1 << 30
"""Bytes of the disk that are left free, for checkpoints and everybody else."""
PATIENCE: Final = 5.0
"""Seconds to wait for who writes; writing an image takes a thousandth of one."""

_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Decoded images of rrg: rrg data cache\n"
"""What tells programs that make backups to pass a folder over (bford.info/cachedir)."""


def image_folder() -> Path | None:
    """Return where images are kept; None where that is nowhere."""
    said = os.environ.get(PLACE, "")
    if said.lower() == "off" or sys.platform == "win32":
        return None
    if said:
        return Path(os.path.abspath(os.path.expanduser(said))) / "images"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    # a relative one is to be ignored, says the standard; so is a home that is not known
    return Path(home) / "rrg" / "images" if os.path.isabs(home) else None


def make_folder(folder: Path) -> None:
    """Make the folder of images, for its owner alone where it was not there. Raises OSError."""
    if not folder.is_dir():
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(exist_ok=True)
    tag = folder / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_text(_TAG, encoding="ascii")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process, and one thread of it, write at a time.

    Who dies lets go. Raises OSError where there can be no lock, and TimeoutError, which is one,
    where somebody holds it and does not move.
    """
    import fcntl

    # a new description each time: threads, and processes that were forked, must not share one
    file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"another process holds {folder / '.lock'}") from None
                time.sleep(0.0005)
        yield
    finally:
        os.close(file)


@final
@dataclass(frozen=True, slots=True)
class Kept:
    """A file of images."""

    path: Path
    bytes: int
    """What it may come to take, which is what counts against a bound."""
    taken: int
    """What it takes now."""
    used: float
    """When a process last used it."""


def kept(folder: Path) -> list[Kept]:
    """List the files of images, the one least recently used first."""
    found = []
    for path in folder.glob(f"*/*{SUFFIX}"):
        with suppress(OSError):  # another process has just removed it
            about = path.stat()
            found.append(Kept(path, about.st_size, about.st_blocks * 512, about.st_mtime))
    return sorted(found, key=lambda each: (each.used, each.path))


def make_room(folder: Path, wanted: int, limit: int) -> str | None:
    """Remove files, under the lock, until so many more bytes keep within a limit; say why not, if
    they do not.

    What was not used for longest goes first; what a process uses stays. Raises OSError.
    """
    for path in folder.glob("*/*.new"):  # of a process that died
        path.unlink(missing_ok=True)
    there = kept(folder)
    total = sum(each.bytes for each in there)
    for each in there:
        if total + wanted <= limit:
            break
        if remove(each.path):
            total -= each.bytes
    if total + wanted > limit:
        return f"what is in use leaves none within the {limit / 1e9:g} GB that it may take"
    if shutil.disk_usage(folder).free < wanted + SPARE:
        return f"its disk is nearly full: {SPARE / 1e9:.1f} GB are left free"
    return None


def remove(path: Path) -> bool:
    """Remove a file of images, unless a process uses it; whether it is gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not mark(file, exclusive=True):
            return False
        path.unlink(missing_ok=True)
    except OSError:  # a disk that may only be read
        return False
    finally:
        os.close(file)
    return True


def clear_folder(folder: Path) -> tuple[int, int]:
    """Remove what no process uses; return how many bytes are gone, and how many files are left.

    Raises UserError where that cannot be done.
    """
    if not folder.is_dir():
        return 0, 0
    try:
        with locked(folder):
            there = kept(folder)
            left = [each for each in there if not remove(each.path)]
            for each in folder.iterdir():
                with suppress(OSError):  # it is a file, or others are in it
                    each.rmdir()
    except OSError as error:
        raise UserError(f"{folder} cannot be emptied ({error.strerror or error})") from error
    return sum(each.taken for each in there) - sum(each.taken for each in left), len(left)


@final
@dataclass(frozen=True, slots=True)
class Room:
    """What is kept for one size and one way of decoding."""

    name: str
    size: int
    images: int
    bytes: int
    used: float


def rooms(folder: Path) -> list[Room]:
    """Sum up what is kept, the most recently used first; damaged files hold no image."""
    found: dict[str, Room] = {}
    for each in kept(folder):
        name = each.path.parent.name
        before = found.get(name, Room(name, 0, 0, 0, 0.0))
        size, images = before.size, 0
        with suppress(OSError):
            header, _ = load_keys(each.path)
            size, images = header.size, header.count
        found[name] = Room(
            name,
            size,
            before.images + images,
            before.bytes + each.taken,
            max(before.used, each.used),
        )
    return sorted(found.values(), key=lambda room: -room.used)
