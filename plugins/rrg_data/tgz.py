"""Files of a .tgz, read one after another and never unpacked to disk; nothing in it is trusted."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast, final

from rrgcore.sources import Ledger

MOST_BYTES = 1 << 31
"""Unpacked; the real archive of reports has 20 million."""


def read_members(path: Path, ledger: Ledger, *, largest: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each file in an archive; folders are passed over.

    What no archive of plain files holds is refused by name: a path that is absolute or climbs, a
    link, a device, a file of more than `largest` bytes. So is an archive that is cut off or
    damaged, after everything in front of that place was yielded.
    """
    count = 0
    try:
        with gzip.open(path) as stream:
            limited = _Limited(stream, largest)
            with tarfile.open(fileobj=cast(BinaryIO, limited), mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # else they gather
                    if (problem := _problem(member, largest)) is not None:
                        ledger.refuse(f"{path.name}: {member.name}", problem)
                    elif member.isfile():
                        data = tar.extractfile(member)
                        assert data is not None, "a plain file can be read"
                        content = data.read()
                        if len(content) < member.size:
                            raise EOFError("the archive ends within a file")
                        count += 1
                        yield member.name, content
                limited.check_end()
            while stream.read(1 << 16):  # its checksum stands at the very end
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, _Excess) as error:
        reason = "is no .tgz" if not count else f"is cut off or damaged after {count:,} files"
        ledger.refuse(path.name, f"{reason} ({error}); download it again", whole=True)


def _problem(member: tarfile.TarInfo, largest: int) -> str | None:
    parts = member.name.replace("\\", "/").split("/")
    if member.name.startswith(("/", "\\")) or ".." in parts:
        return "is a path that climbs out of the archive"
    if member.issym() or member.islnk():
        return f"is a link (to {member.linkname}); expected files"
    if member.isdir():
        return None
    if not member.isreg():
        return "is a device or a pipe; expected files"
    if member.size > largest:
        return f"has {member.size:,} bytes; expected at most {largest:,}"
    return None


class _Excess(Exception):
    """More than an archive of this kind holds."""


@final
class _Limited:
    """A stream that gives at most so many bytes at a time, and so many in all.

    `tarfile` takes the word of a header for how long it is, and reads it at once.
    """

    def __init__(self, stream: gzip.GzipFile, largest: int) -> None:
        self.stream = stream
        self.largest = largest
        self._last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.largest + tarfile.RECORDSIZE:
            raise _Excess(f"a header of {size:,} bytes")
        self._last = self.stream.read(size)
        return self._last

    def seek(self, offset: int) -> int:
        if offset > MOST_BYTES:
            raise _Excess(f"more than {MOST_BYTES:,} bytes, unpacked")
        return self.stream.seek(offset)

    def tell(self) -> int:
        return self.stream.tell()

    def check_end(self) -> None:
        """Raise EOFError without the last block, whose lack `tarfile` takes for an end."""
        if self._last != b"\0" * tarfile.BLOCKSIZE:
            raise EOFError("the end of the archive is missing")
