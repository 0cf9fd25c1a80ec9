"""What files of images are called."""

from pathlib import PurePath
from typing import Final

SUFFIXES: Final = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".dcm", ".dicom")
)


def called_like_an_image(name: str | PurePath) -> bool:
    """Whether a file's name says that it is an image."""
    return PurePath(name).suffix.lower() in SUFFIXES
