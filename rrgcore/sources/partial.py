"""A folder in which a build works until it is finished, and which the next one goes on in."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, final

from rrgcore.disk import sync_folder, sync_tree
from rrgcore.errors import UserError
from rrgcore.files import lock_file, read_json, write_json

BEGUN, CONVERTED, LOCK = ".begun.json", ".converted", ".lock"


def partial_folder(folder: str | Path) -> Path:
    """Return where a build works until it is finished."""
    whole = Path(folder).expanduser().resolve()
    return whole.with_name(f"{whole.name}.partial")


@contextmanager
def held(beside: Path, identity: Mapping[str, Any]) -> Iterator[None]:
    """Make or go on with the folder in which the work is done, and keep other builds out of it."""
    there = {path.name for path in beside.iterdir()} if beside.is_dir() else set()
    if BEGUN not in there and there - {LOCK}:
        raise UserError(
            f"{beside} holds what no build has left there; move it away, or name another folder"
        )
    beside.mkdir(parents=True, exist_ok=True)
    with (beside / LOCK).open("w") as file:
        if not lock_file(file):
            raise UserError(f"{beside} is in use: another rrg builds in it")
        if not (beside / BEGUN).is_file():
            write_json(beside / BEGUN, identity)
        _check_same(read_json(beside / BEGUN), identity, beside)
        try:
            yield
        except BaseException:
            journal = beside / CONVERTED
            if not journal.is_file() or not journal.stat().st_size:  # nothing to go on with
                shutil.rmtree(beside, ignore_errors=True)
            raise


def _check_same(begun: Mapping[str, Any], wanted: Mapping[str, Any], beside: Path) -> None:
    differ = [
        f"{key} was {_shown(begun.get(key))}, is now {_shown(wanted.get(key))}"
        for key in dict.fromkeys((*begun, *wanted))
        if begun.get(key) != wanted.get(key)
    ]
    if differ:
        raise UserError(
            f"{beside} is of a build that was begun otherwise: {'; '.join(differ)}.\n"
            "Finish it as it was begun, or remove that folder to begin anew"
        )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"


def finish(beside: Path, folder: Path) -> None:
    """Give what is finished the name that was asked for."""
    whole = folder.resolve()
    if whole.is_dir():  # empty
        whole.rmdir()
    sync_tree(beside)
    beside.rename(whole)
    sync_folder(whole.parent)
    for name in (BEGUN, CONVERTED, LOCK):
        (whole / name).unlink(missing_ok=True)


def prune(images: Path, kept: Mapping[str, int]) -> None:
    """Take away what an interrupted build converted and this one has no use for."""
    for path in images.iterdir():
        if not (count := kept.get(path.name, 0)):
            shutil.rmtree(path)
            continue
        names = {f"{number}.png" for number in range(count)}
        for file in path.iterdir():
            if file.name not in names:
                file.unlink()


def is_whole(path: Path) -> bool:
    """Whether a PNG file has an end: power may have failed before its bytes reached the disk."""
    try:
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            return file.read(4) == b"IEND"
    except OSError:
        return False


@final
class Journal:
    """Which images were converted from what, in a build that may be gone on with."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / CONVERTED
        self._before: frozenset[str] = frozenset()

    def __enter__(self) -> "Journal":
        if self.path.is_file():
            self._before = frozenset(self.path.read_text("ascii").split())
        self._file = self.path.open("a", encoding="ascii")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        """Return how many images a build before this one converted."""
        return len(self._before)

    def has(self, path: str, origin: str) -> bool:
        """Whether a build before this one converted an image from there."""
        return self._entry(path, origin) in self._before

    def add(self, path: str, origin: str) -> None:
        """Note that an image is written, and from what."""
        if not self.has(path, origin):
            self._file.write(f"{self._entry(path, origin)}\n")
            self._file.flush()

    def _entry(self, path: str, origin: str) -> str:
        return blake2b(f"{path}\n{origin}".encode(), digest_size=8).hexdigest()
