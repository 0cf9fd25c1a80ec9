"""Files and folders that are there whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from rrgcore.errors import RunError


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; it takes the name `folder` only when everything is written."""
    beside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        if folder.exists():
            gone = _replaced(folder)
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
            beside.rename(folder)
            shutil.rmtree(gone)
        else:
            beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def settle(folder: Path) -> None:
    """Give a folder its name back, if power failed between the two renames of `written_whole`."""
    if not folder.exists() and _replaced(folder).exists():
        _replaced(folder).rename(folder)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def write_text(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all, even if power fails."""
    beside = path.with_name(f".{path.name}.writing")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        # else the new name may reach the disk before the text does, and the file is empty
        os.fsync(file.fileno())
    os.replace(beside, path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is there whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that a run has written; raises RunError where it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is not there") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error})") from error
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged (it holds no JSON object)")
    return cast(dict[str, Any], found)


def lock_file(file: IO[str]) -> bool:
    """Lock a file until it is closed; the system lets go of it when a process dies."""
    try:
        import fcntl  # not on Windows
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
