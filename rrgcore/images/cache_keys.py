"""By what a decoded image is found: what its file holds, how that file looks, how it is decoded."""

import os
import time
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from PIL import features

from rrgcore import __version__
from rrgcore.images.segment import KEY

SETTLED: Final = 2_000_000_000
"""Nanoseconds after which a file that changes again looks different, on any file system."""
UNKNOWN: Final = bytes(KEY)
"""In place of how a file looks, where that says nothing."""

_NOT_OF_PIXELS: Final = (
    "cache_folder.py",
    "cache_keys.py",
    "disk_cache.py",
    "pixels.py",
    "segment.py",
)
"""Modules beside this one that change no pixel of what is kept."""
_PACKAGES: Final = (
    "numpy",
    "pillow",
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "python-gdcm",
)
_CODECS: Final = ("jpg", "jpg_2000", "libtiff")


def content_key(data: bytes) -> bytes:
    """Return what tells a file's content from every other, whatever the file is called."""
    return blake2b(data, digest_size=KEY).digest()


def looks_of(path: Path) -> bytes:
    """Return what changes when a file does; UNKNOWN where it has just changed, or is not there."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return UNKNOWN
    if time.time_ns() - max(about.st_mtime_ns, about.st_ctime_ns) < SETTLED:
        return UNKNOWN
    looks = f"{about.st_ino} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"
    name = os.fsencode(os.path.abspath(path))
    return blake2b(looks.encode() + b"\0" + name, digest_size=KEY).digest()


@cache
def transform(size: int) -> str:
    """Return what tells this way from a file to pixels from any other that rrg ever had: the code
    that reads and resizes, and the packages that decode.
    """
    digest = blake2b(f"{size} {__version__}".encode(), digest_size=8)
    for module in sorted(Path(__file__).parent.glob("*.py")):
        if module.name not in _NOT_OF_PIXELS:
            digest.update(module.read_bytes())
    for name in _PACKAGES:
        try:
            digest.update(f"{name} {version(name)}\0".encode())
        except PackageNotFoundError:
            continue
    for name in _CODECS:
        digest.update(f"{name} {features.version(name)}\0".encode())
    return digest.hexdigest()
