"""A file of decoded images of one size, mapped into memory: a header, a record an image, pixels.

    bytes 0 to 63     what the file is: size, how many images it has room for, who writes it
    bytes 64 to 71    how many images it holds
    from 128          a record an image: the keys by which it is found, a checksum of its pixels
    from a whole page the pixels, an image after the other, never written again

An image counts from the moment at which the number at 64 says so, which is written last: what was
being written when a process died is not there. Only processes of one machine write to a file, one
at a time (see `rrgcore.images.cache_folder.locked`); anybody reads, without a lock. What power
failure or a bad disk made of it is found by checksums.
"""

import mmap
import os
import socket
import struct
import uuid
from dataclasses import dataclass
from errno import ENOENT
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final, final

import numpy as np
from jaxtyping import UInt8

SUFFIX: Final = ".images"
KEY: Final = 16
"""Bytes of a key, and of a checksum."""

_MAGIC: Final = b"rrg images v1\r\n\0"
_HEADER: Final = struct.Struct("<16sII16s")
_COUNT_AT: Final = 64
_RECORDS_AT: Final = 128
_RECORD: Final = 3 * KEY
_PAGE: Final = 4096


class Damaged(OSError):
    """A file that is not what its header says, or has none."""


@final
@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself."""

    size: int
    room: int
    """How many images it has room for."""
    writer: bytes
    count: int
    """How many it holds."""

    @property
    def is_ours(self) -> bool:
        """Whether this machine may write to it."""
        return self.writer == this_machine()


def load_keys(path: Path, start: int = 0) -> tuple[Header, list[tuple[bytes, bytes]]]:
    """Read a header, and the keys of the images from one on: the content of each, and how its file
    looked. Raises Damaged and OSError.
    """
    with path.open("rb", buffering=0) as file:
        header = _read_header(file.read(_RECORDS_AT), os.fstat(file.fileno()).st_size)
        count = max(0, header.count - start)
        records = os.pread(file.fileno(), count * _RECORD, _RECORDS_AT + start * _RECORD)
    starts = range(0, len(records), _RECORD)
    return header, [(records[at : at + KEY], records[at + KEY : at + 2 * KEY]) for at in starts]


@final
class Segment:
    """A file that is used: while it is open, or any of its pixels is held, nobody removes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not mark(file, exclusive=False) or not os.fstat(file).st_nlink:
                raise FileNotFoundError(ENOENT, "is being removed", str(path))
            header = _read_header(os.pread(file, _RECORDS_AT, 0), os.fstat(file).st_size)
            # holds a descriptor of its own, and with it the mark, until nobody needs the pixels
            length = file_bytes(header.size, header.room)
            self._map = mmap.mmap(file, length, access=mmap.ACCESS_READ)
        except ValueError as error:  # cut off just now
            raise Damaged(str(error)) from error
        finally:
            os.close(file)
        self.size, self.room = header.size, header.room
        count, start = self.room * self.size**2, _pixels_at(self.room)
        self._pixels = np.frombuffer(self._map, dtype=np.uint8, count=count, offset=start).reshape(
            self.room, self.size, self.size
        )

    def keys(self, slot: int) -> tuple[bytes, bytes]:
        """Return by what an image is found: its content, and how its file looked."""
        at = _RECORDS_AT + slot * _RECORD
        return self._map[at : at + KEY], self._map[at + KEY : at + 2 * KEY]

    def pixels(self, slot: int) -> UInt8[np.ndarray, "h w"]:
        """Return an image where it lies; it cannot be written to."""
        image: UInt8[np.ndarray, "h w"] = self._pixels[slot]
        return image

    def is_whole(self, slot: int) -> bool:
        """Whether an image's pixels are those that were written for its content."""
        at = _RECORDS_AT + slot * _RECORD
        content, written = self._map[at : at + KEY], self._map[at + 2 * KEY : at + 3 * KEY]
        return checksum(content, self._pixels[slot]) == written

    def add(self, content: bytes, file: bytes, pixels: UInt8[np.ndarray, "h w"]) -> int | None:
        """Write an image, under the folder's lock; return its slot, or None where none is free.

        Raises OSError where the disk takes no more: the image is then not there.
        """
        # opened anew, which on a network file system is when others' writes are seen, and closed,
        # which is when ours are sent
        writable = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            slot = _number(os.pread(writable, 8, _COUNT_AT))
            if slot >= self.room:
                return None
            _write(writable, pixels.tobytes(), _pixels_at(self.room) + slot * self.size**2)
            record = content + file + checksum(content, pixels)
            _write(writable, record, _RECORDS_AT + slot * _RECORD)
            _write(writable, (slot + 1).to_bytes(8, "little"), _COUNT_AT)
        finally:
            os.close(writable)
        return slot

    def name_file(self, slot: int, file: bytes) -> None:
        """Note how the file of an image looks now. Raises OSError.

        No lock is needed: half of a key finds nothing.
        """
        writable = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            _write(writable, file, _RECORDS_AT + slot * _RECORD + KEY)
        finally:
            os.close(writable)


def make_segment(path: Path, *, size: int, room: int) -> None:
    """Make an empty file for this machine, under the lock: it takes no space until it is filled.

    Raises OSError.
    """
    beside = path.with_suffix(".new")
    header = _HEADER.pack(_MAGIC, size, room, this_machine())
    file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        _write(file, header + _sealed(header), 0)
        os.ftruncate(file, file_bytes(size, room))
    finally:
        os.close(file)
    os.rename(beside, path)


def file_bytes(size: int, room: int) -> int:
    """Return how long a file for so many images is."""
    return _pixels_at(room) + room * size**2


def room_in(size: int, most: int) -> int:
    """Return how many images a file of at most so many bytes has room for; at least one."""
    return max(1, (most - _RECORDS_AT - _PAGE) // (size**2 + _RECORD))


def checksum(content: bytes, pixels: UInt8[np.ndarray, "h w"]) -> bytes:
    """Return a checksum of pixels that says whose they are, too."""
    return blake2b(np.ascontiguousarray(pixels).data, key=content, digest_size=KEY).digest()


@cache
def this_machine() -> bytes:
    """Return what tells this machine, until it starts again, from others that share a disk.

    Two that wrote to one file could each miss what the other wrote: their memory is not one.
    """
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:  # not on Linux
        name = f"{socket.gethostname()}\0{uuid.getnode()}"
    return blake2b(name.encode(), digest_size=KEY).digest()


def mark(file: int, *, exclusive: bool) -> bool:
    """Mark a file as in use, or as ours alone; whether that could be had. Gone when it is closed.

    On a file system without such marks, files can be used, and none is anybody's alone.
    """
    import fcntl  # not on Windows, where nothing is kept

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return not exclusive
    return True


def _read_header(data: bytes, length: int) -> Header:
    if len(data) < _RECORDS_AT:
        raise Damaged("there is no header")
    magic, size, room, writer = _HEADER.unpack_from(data)
    if magic != _MAGIC or data[_HEADER.size : _COUNT_AT][:8] != _sealed(data[: _HEADER.size]):
        raise Damaged("its header is of something else")
    if length != file_bytes(size, room):
        raise Damaged("it is cut off")
    return Header(size, room, writer, min(_number(data[_COUNT_AT : _COUNT_AT + 8]), room))


def _sealed(header: bytes) -> bytes:
    return blake2b(header, digest_size=8).digest()


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _pixels_at(room: int) -> int:
    return -(-(_RECORDS_AT + room * _RECORD) // _PAGE) * _PAGE


def _write(file: int, data: bytes, at: int) -> None:
    """Write all of it: a disk that is nearly full takes a part and says so only the next time."""
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written
