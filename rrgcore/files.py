"""Files and folders that are there whole or not at all, even if power fails or the disk is full."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast
from uuid import uuid4

from rrgcore.disk import make_folder, moved, put_in_place, refusal, sync_folder, sync_tree, writing
from rrgcore.errors import RunError
from rrgcore.json_text import parse_json

WRITING, REPLACED = ".writing", ".replaced"
"""Ends of what is called so behind a dot: before it is whole, and when it gives way."""


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; it takes the name `folder` only when everything in it is on the
    disk, and what had that name goes only then. A folder into which nothing was written does not
    appear. Raises WriteError where the disk refuses it.
    """
    settle(folder)
    beside = _writing(folder)
    _remove(beside)
    try:
        make_folder(beside)
        yield beside
        if not any(beside.iterdir()):
            beside.rmdir()
            return
        sync_tree(beside)
        with writing(folder):
            if folder.exists():
                folder.rename(_replaced(folder))
            beside.rename(folder)
            sync_folder(folder.parent)
        _remove(_replaced(folder))
    except BaseException as error:
        refused = refusal(error, folder)
        written = _bytes_in(beside) if refused is not None else 0
        _remove(beside)
        settle(folder)
        if refused is None:
            raise
        raise moved(refused, beside, folder, written) from error


def settle(folder: Path) -> None:
    """Mend what was killed while it replaced a folder: what lost its name gets it back."""
    if (gone := _replaced(folder)).exists():
        if folder.exists():
            _remove(gone)
        else:
            gone.rename(folder)
            sync_folder(folder.parent)


def tidy(folder: Path) -> None:
    """Clear away what killed writes left below a folder that nobody else writes in."""
    for gone in [*folder.rglob(f".*{REPLACED}")]:
        settle(gone.with_name(gone.name[1:].removesuffix(REPLACED)))
    for beside in [*folder.rglob(f".*{WRITING}")]:
        _remove(beside)


def is_unfinished(name: str, target: str) -> bool:
    """Whether a name is that of a file which was to be called `target` when it is whole."""
    return name.startswith(f".{target}.") and name.endswith(WRITING)


def _writing(path: Path, *mark: str) -> Path:
    return path.with_name(f".{'.'.join((path.name, *mark))}{WRITING}")


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{REPLACED}")


def _remove(path: Path) -> None:
    """Take away a file or a folder, as far as the disk lets one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_text(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all; raises WriteError."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all; raises WriteError."""
    # of its own: two that write one file at the same time shall not write into each other's
    beside = _writing(path, uuid4().hex[:8])
    with writing(path, needed=len(data)):
        if path.parent.match(f".*{WRITING}"):  # which will itself be whole, and on the disk
            path.write_bytes(data)
            return
        try:
            beside.write_bytes(data)
            put_in_place(beside, path)
        except BaseException:
            _remove(beside)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is there whole or not at all; raises WriteError."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that a run has written; raises RunError where it is damaged."""
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is not there") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error})") from error
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged (it holds no JSON object)")
    return cast(dict[str, Any], found)


# ---- files that grow line by line -----------------------------------------------------------


def append_line(path: Path, line: str) -> None:
    """Add a line; what was killed, or found the disk full, in the middle of one is cut off first.
    Raises WriteError.
    """
    data = f"{line}\n".encode()
    with writing(path, needed=len(data)), path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.truncate(_end_of_lines(path))
        file.write(data)


def whole_lines(path: Path) -> list[str]:
    """Return the lines of a file that were written to their end; none where there is no file."""
    if not path.is_file():
        return []
    # not splitlines(), which also cuts at characters that JSON leaves in a string
    try:
        return [line.decode() for line in path.read_bytes().split(b"\n")[:-1]]
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error})") from error


def read_objects(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON objects, one a line; raises RunError naming the line that is damaged."""
    found: list[dict[str, Any]] = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            entry = parse_json(line)
        except ValueError as error:
            raise RunError(f"{path}, line {number}: {error}") from error
        if not isinstance(entry, dict):
            raise RunError(f"{path}, line {number}: is no JSON object")
        found.append(entry)
    return found


def cut_lines(path: Path, count: int) -> None:
    """Leave the first lines of a file, at most so many, and no piece of one; needs no room."""
    if not path.is_file():
        return
    end = _end_of_lines(path, count)
    with writing(path):
        os.truncate(path, end)


def _end_of_lines(path: Path, count: int | None = None) -> int:
    """Return how many bytes the whole lines are long, or the first so many of them."""
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number == count or not line.endswith(b"\n"):
                break
            end += len(line)
    return end


# ---- one at a time --------------------------------------------------------------------------


def lock_file(file: IO[Any], *, shared: bool = False) -> bool:
    """Lock a file until it is closed; the system lets go of it when a process dies. What is
    `shared` may be so by several, and only keeps others from having it alone.
    """
    try:
        import fcntl  # not on Windows
    except ImportError:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
