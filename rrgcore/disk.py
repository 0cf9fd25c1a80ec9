"""The disk: what it refuses, in a sentence, and what it is to keep even if power fails."""

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rrgcore.errors import UserError, WriteError

REASONS: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space is left on the device", "Make room there"),
    errno.EDQUOT: ("the disk quota is used up", "Make room there"),
    errno.EFBIG: ("it would be larger than a file may be (ulimit -f)", "Raise that limit"),
    errno.EROFS: ("the file system is read-only", "Make it writable"),
    errno.EIO: ("the device failed (input/output error)", "See to the device"),
}
"""Why a write fails though nothing is wrong with what is written, and what helps."""
ONLY_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Those of them that reading never meets."""
CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""What a file system says that keeps folders by itself."""
MANY = 64
"""Files above which the whole system is asked to write first: one by one they are slower."""


@contextmanager
def writing(path: Path, *, needed: int | None = None) -> Iterator[None]:
    """Raise WriteError for whatever the disk refuses in here, where nothing else is read or
    written than this file; `needed` are its bytes.
    """
    try:
        yield
    except Exception as error:
        number = _number(error)
        if number is None:
            raise
        raise _write_error(path, number, str(error), needed) from error


def refusal(error: BaseException, path: Path | None = None) -> WriteError | None:
    """Return the WriteError that an error amounts to; None where it is another matter.

    The file is named where the system says which it was; `path` is where it was, as far as the
    caller knows.
    """
    if isinstance(error, WriteError):
        return error
    number = _number(error)
    if number not in ONLY_WRITES:
        return None
    name = getattr(error, "filename", None)
    return _write_error(Path(name) if name else path, number, str(error), None)


def moved(error: WriteError, source: Path, target: Path, more: int) -> WriteError:
    """Return the error of a file in a folder that was to take another name, and of which `more`
    bytes were written already; what it says to be free is so now.
    """
    if error.path is None or not error.path.is_relative_to(source):
        return error
    path = target / error.path.relative_to(source)
    needed = None if error.needed is None else error.needed + more
    return _write_error(path, error.number, error.reason, needed)


def _write_error(path: Path | None, number: int, text: str, needed: int | None) -> WriteError:
    reason, remedy = REASONS.get(number, (text, "Put that right"))
    amounts = [] if needed is None else [f"{size_of(needed)} needed"]
    if number == errno.ENOSPC and path is not None:
        amounts.append(f"{size_of(_free(path))} free")
    what = (
        f"{path} could not be written"
        if path is not None
        else ("something outside the run could not be written (what this command prints, perhaps)")
    )
    return WriteError(
        f"{what}: {reason}" + (f" ({', '.join(amounts)})" if amounts else ""),
        remedy=remedy,
        path=path,
        number=number,
        reason=text,
        needed=needed,
    )


def _number(error: BaseException) -> int | None:
    """Return the system's number of an error, which libraries in Rust give in their text."""
    if isinstance(error, OSError):
        return error.errno
    if isinstance(error, UserError) or not isinstance(error, Exception):
        return None
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found.group(1)) if found else None


def _free(path: Path) -> int:
    whole = path.absolute()
    there = next(parent for parent in (whole, *whole.parents) if parent.exists())
    return shutil.disk_usage(there).free


def size_of(count: int) -> str:
    """Write a number of bytes as one would say it: 812 kB, 1.4 GB."""
    if count < 1000:
        return f"{count} bytes"
    value, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 99.5 or unit == "kB" else f"{value:.1f} {unit}"


# ---- what is still there after power failed -------------------------------------------------


def make_folder(path: Path) -> None:
    """Make a folder, and those above it."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def put_in_place(file: Path, target: Path) -> None:
    """Give a file that is written its name, whatever has that name now."""
    # else the new name may reach the disk before the text does, and the file is empty
    sync_file(file)
    os.replace(file, target)
    sync_folder(target.parent)


def sync_tree(folder: Path) -> None:
    """Have everything below a folder written to the disk; links are not followed. Raises WriteError
    with the file that the disk refuses: a device may fail only now.
    """
    found = list(os.walk(folder, topdown=False))
    if sum(len(files) for _, _, files in found) > MANY and hasattr(os, "sync"):
        os.sync()
    for parent, _, files in found:
        for name in files:
            if not (path := Path(parent, name)).is_symlink():
                with writing(path):
                    sync_file(path)
        with writing(Path(parent)):
            sync_folder(Path(parent))


def sync_file(path: Path) -> None:
    """Have a file written to the disk."""
    # Windows syncs only what it may write
    _sync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Have the names in a folder written to the disk, where a file system has that done."""
    if os.name == "nt":
        return
    try:
        _sync(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
