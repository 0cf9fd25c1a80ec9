"""Images decoded and resized once, for every epoch, run and process: kept on disk, mapped into
memory.

An image is found by the content of its file, and by how it is decoded. Reading and hashing a file
whenever one pixel of it is wanted would cost more than it saves, so that a file which looks as it
did when it was hashed (path, size, inode, times of change) is taken to be the same. The time at
which its inode changed cannot be set back, as the other one can; a file that changed within the
last two seconds is hashed again the next time, as it may change once more unseen.

Nothing here fails a run: without a disk that takes them, images are decoded each time.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, Literal, NamedTuple, final

import numpy as np
from jaxtyping import UInt8

from rrgcore.images.cache_folder import (
    PLACE,
    image_folder,
    locked,
    make_folder,
    make_room,
    remove,
)
from rrgcore.images.cache_keys import UNKNOWN, content_key, looks_of, transform
from rrgcore.images.reading import decode_image, load_bytes, resize
from rrgcore.images.segment import (
    SUFFIX,
    Damaged,
    Header,
    Segment,
    file_bytes,
    load_keys,
    make_segment,
    room_in,
    this_machine,
)

SEGMENTS: Final = 64
"""How many files a full cache is made of, about: what goes when another needs room is one."""
SMALLEST: Final = 4 << 20
"""Bytes of the first file, and of the second."""


PAUSE: Final = 60.0
"""Seconds for which nothing is kept after somebody has held the lock too long."""


class Found(NamedTuple):
    """An image, and where it is kept; nowhere where there was no room."""

    at: int | None
    pixels: UInt8[np.ndarray, "h w"]


@final
class DiskCache:
    """Images of one size, kept in a folder that takes at most `limit` bytes, whoever uses it.

    Several threads may use it, and others of other processes at the same time. `note` hears, once,
    why images are no longer kept.
    """

    def __init__(self, folder: Path, *, size: int, limit: int, note: Callable[[str], None]) -> None:
        self.folder = folder
        self.size = size
        self.limit = limit
        self._note = note
        self._own = folder / f"{size}-{transform(size)}"
        self._files: list[_File] = []
        self._numbers: dict[str, int] = {}
        """Names of files to their places in the list."""
        self._at: dict[bytes, int] = {}
        """Keys, of contents and of how files look, to where an image is."""
        self._lock = Lock()
        self._gave_up = False
        self._later = 0.0
        """When it is tried again to keep an image, by the clock of `time.monotonic`."""

    def __getitem__(self, at: int) -> UInt8[np.ndarray, "h w"]:
        """Return an image by where it is kept; it cannot be written to."""
        segment, slot = self._place(at)
        return segment.pixels(slot)

    def read(self, path: Path) -> Found:
        """Return the image of a file, as `resize(read_image(path), size)` would: from the cache
        where it is there, and put into it where it is not. Raises DataError.
        """
        looks = looks_of(path)
        if looks != UNKNOWN and (at := self._find(looks)) is not None:
            return Found(at, self[at])
        # looked at first: what is written to it from now on makes it look different
        data = load_bytes(path)
        content = content_key(data)
        if (at := self._find(content)) is not None:
            self._rename(at, looks)
            return Found(at, self[at])
        pixels = resize(decode_image(data, name=str(path)), self.size)
        return Found(self._keep(content, looks, pixels), pixels)

    # ---- finding ----------------------------------------------------------------------------

    def _find(self, key: bytes) -> int | None:
        """Return where an image is; its pixels have been checked."""
        if (at := self._at.get(key)) is None:
            with self._lock:
                self._refresh()
            if (at := self._at.get(key)) is None:
                return None
        try:
            segment, slot = self._place(at)
        except OSError:  # it was removed since, or damaged
            self._at.pop(key, None)
            return None
        if segment.is_whole(slot):
            return at
        for each in segment.keys(slot):
            self._at.pop(each, None)
        return None

    def _place(self, at: int) -> tuple[Segment, int]:
        """Return the file of an image, which is in use from then on, and its slot in it."""
        file, slot = self._files[at >> 32], at & 0xFFFFFFFF
        if file.segment is None:
            with self._lock:
                file.use()
        assert file.segment is not None, "a file that cannot be used raises"
        return file.segment, slot

    def _refresh(self) -> None:
        """Learn what was added since, by this process or by another; the newest counts."""
        try:
            names = sorted(name for name in os.listdir(self._own) if name.endswith(SUFFIX))
        except OSError:
            return
        for name in names:
            if name not in self._numbers:
                self._numbers[name] = len(self._files)
                self._files.append(_File(self._own / name))
            number = self._numbers[name]
            file = self._files[number]
            known = file.known
            for slot, keys in enumerate(file.learn(self.size), start=known):
                for key in keys:
                    if key != UNKNOWN:
                        self._at[key] = number << 32 | slot

    # ---- keeping ----------------------------------------------------------------------------

    def _keep(self, content: bytes, looks: bytes, pixels: UInt8[np.ndarray, "h w"]) -> int | None:
        """Put an image into the cache; return where it is, or None where it cannot be kept."""
        if self._gave_up or time.monotonic() < self._later:
            return None
        try:
            with self._lock:
                make_folder(self.folder)
                with locked(self.folder):
                    self._refresh()
                    if content not in self._at and (why := self._append(content, looks, pixels)):
                        self._give_up(f"{self.folder} has no room for more: {why}")
                        return None
                    self._refresh()
        except TimeoutError as error:  # a slow disk may be well again, and is not waited for often
            if not self._later:
                self._note(f"{error}: decoded images are not kept for a minute")
            self._later = time.monotonic() + PAUSE
            return None
        except OSError as error:
            self._give_up(f"{self.folder} cannot be written ({error.strerror or error})")
            return None
        return self._find(content)

    def _append(self, content: bytes, looks: bytes, pixels: UInt8[np.ndarray, "h w"]) -> str | None:
        """Write an image to a file that has room, or to a new one; say why not, if it cannot be."""
        for file in reversed(self._files):
            if file.header is None or not file.header.is_ours or file.known >= file.header.room:
                continue
            with suppress(FileNotFoundError, Damaged):  # somebody emptied the cache
                if file.use().add(content, looks, pixels) is not None:
                    return None
        # what is there, doubled each time, so that a few images do not ask for much
        there = sum(file.length for file in self._files)
        room = room_in(self.size, min(self.limit // SEGMENTS, max(SMALLEST, there)))
        if why := make_room(self.folder, file_bytes(self.size, room), self.limit):
            return why
        self._own.mkdir(exist_ok=True)
        path = self._own / f"{time.time_ns():020d}-{this_machine().hex()[:8]}{SUFFIX}"
        make_segment(path, size=self.size, room=room)
        Segment(path).add(content, looks, pixels)
        return None

    def _rename(self, at: int, looks: bytes) -> None:
        """Note how the file of an image looks now, so that it need not be hashed again."""
        segment, slot = self._place(at)
        header = self._files[at >> 32].header
        if looks == UNKNOWN or header is None or not header.is_ours:
            return
        if segment.keys(slot)[1] != looks:
            with suppress(OSError):  # it is hashed again, then
                segment.name_file(slot, looks)
            self._at[looks] = at

    def _give_up(self, why: str) -> None:
        if not self._gave_up:
            self._gave_up = True
            self._note(
                f"decoded images are not kept from now on: {why}. Those that are not there yet are "
                f"decoded each time. {PLACE} names another folder, data.cache how many GB it may "
                "take; data.cache=off does without"
            )


@final
class _File:
    """A file of the cache, as far as it is known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Header | None = None
        self.known = 0
        """How many of its images were learned of."""
        self.segment: Segment | None = None
        """Mapped into memory, from when an image of it is first wanted."""
        self._gone = False

    @property
    def length(self) -> int:
        """Its bytes, filled or not."""
        return 0 if self.header is None else file_bytes(self.header.size, self.header.room)

    def learn(self, size: int) -> list[tuple[bytes, bytes]]:
        """Return the keys of the images that were added since; what is damaged is removed."""
        if self._gone or (self.header is not None and self.known >= self.header.room):
            return []
        try:
            self.header, keys = load_keys(self.path, self.known)
            if self.header.size != size:
                raise Damaged("it holds images of another size")
        except Damaged:
            self._gone = True
            remove(self.path)
            return []
        except OSError:
            self._gone = True
            return []
        self.known += len(keys)
        return keys

    def use(self) -> Segment:
        """Map it into memory; raises OSError."""
        if self.segment is None:
            self.segment = Segment(self.path)
            with suppress(OSError):  # on a disk that may only be read
                os.utime(self.path)  # the one that was used last goes last
        return self.segment


def unheard(text: str) -> None:
    """Pass a note over, where nobody listens."""


def open_disk_cache(
    gigabytes: float | Literal[False], *, size: int, note: Callable[[str], None] = unheard
) -> DiskCache | None:
    """Return this user's cache, in which nothing is looked at yet; None where there is to be none.

    No gigabytes are none.
    """
    folder = image_folder() if gigabytes else None
    limit = round(gigabytes * 1e9)
    return None if folder is None else DiskCache(folder, size=size, limit=limit, note=note)
