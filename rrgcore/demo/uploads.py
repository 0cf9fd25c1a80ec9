"""What somebody drops on the page: bounded before it is decoded, and never quoted."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import UInt8

from rrgcore.errors import DataError
from rrgcore.images import decode_image
from rrgcore.images.dicom import decode_dicom, is_dicom

Grey = UInt8[np.ndarray, "_h _w"]

VIEWS: Final = 2
"""Images of a study, at most."""
BESIDE: Final = 4096
"""Bytes of a request beside its images."""
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """How large an image may be."""

    megabytes: int
    """As a file."""
    megapixels: int

    @property
    def bytes(self) -> int:
        """Of a file."""
        return self.megabytes * 1_000_000

    @property
    def body(self) -> int:
        """Bytes of a request: its images as text, and a little more."""
        return VIEWS * _as_text(self.bytes) + BESIDE


def read_images(payload: object, limits: Limits) -> list[Grey]:
    """Decode the images of a request, the base64 of PNG, JPEG or DICOM files.

    Raises DataError, with a sentence that quotes nothing of a file: its names and texts may be a
    patient's. What the files are called is not known here.
    """
    images = payload.get("images") if isinstance(payload, Mapping) else None
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise DataError("no image came")
    if not 1 <= len(images) <= VIEWS:
        raise DataError(
            f"{len(images)} images came; expected one, or {VIEWS} views of the same study"
        )
    return [_read(image, str(number), limits) for number, image in enumerate(images, start=1)]


def _read(text: str, name: str, limits: Limits) -> Grey:
    if len(text) > _as_text(limits.bytes):
        raise DataError(f"image {name}: is larger than {limits.megabytes} MB, the limit")
    try:
        data = b64decode(text, validate=True)
    except ValueError as error:
        raise DataError(f"image {name}: did not arrive whole; drop it again") from error
    largest = limits.megapixels * 1_000_000
    if is_dicom(data):
        return decode_dicom(data, name=name, largest=largest)
    if data.startswith((PNG, JPEG)):
        return decode_image(data, name=name, largest=largest)
    if not data:
        raise DataError(f"image {name}: is empty (0 bytes)")
    raise DataError(f"image {name}: is no PNG, JPEG or DICOM file, whatever it is called")


def _as_text(count: int) -> int:
    """Return how long so many bytes are as base64."""
    return -(-count // 3) * 4
