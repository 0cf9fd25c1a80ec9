"""From image files to 8-bit grey arrays, and from those to what an encoder sees.

One reading for every data set: whatever the file holds becomes grey, 8 bits, upright. Images are
resized to a square, never cropped or flipped: a crop moves the anatomy that priors and boxes rely
on, and a flip alone makes "left" in the report a lie (`rrgcore.augment` does both).
"""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from rrgcore.errors import DataError
from rrgcore.images.dicom import decode_dicom, is_dicom
from rrgcore.images.grey import LARGEST_AREA, TOO_LARGE, check_size, stretch
from rrgcore.images.silence import no_warnings

_PHOTOMETRIC = 262  # the TIFF tag PhotometricInterpretation; 0: WhiteIsZero

# what PIL's decoders raise for bytes that are not what their header promised
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
LARGEST_FILE = 2_000_000_000
"""Bytes; a file of several frames is one too."""
_FORMATS = "PNG, JPEG, TIFF or another format that Pillow reads, or DICOM"


_OTHERS = {
    b"PK\x03\x04": "a zip archive, or an office document",
    b"\x1f\x8b": "packed by gzip",
    b"%PDF": "a PDF document",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "HDF5",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
}


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w"]:
    """Read an image file as 8-bit grey, upright; raises DataError naming it and what is wrong."""
    return decode_image(load_bytes(path), name=str(path))


def load_bytes(path: str | Path) -> bytes:
    """Read the bytes of an image file; raises DataError naming it."""
    try:
        if (size := Path(path).stat().st_size) > LARGEST_FILE:
            raise DataError(
                f"image {path}: is {size / 1e9:,.1f} GB; no image file of more than "
                f"{LARGEST_FILE / 1e9:g} GB is read"
            )
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"image {path}: there is no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"image {path}: is a folder; expected an image file") from error
    except (OSError, ValueError) as error:  # the latter of a name that no file can have
        why = getattr(error, "strerror", None) or error
        raise DataError(f"image {path}: cannot be read ({why})") from error


def decode_image(
    data: bytes, *, name: str, largest: int = LARGEST_AREA
) -> UInt8[np.ndarray, "h w"]:
    """Decode the bytes of an image file; `name` is what errors call it. One of more than `largest`
    pixels is refused before it is decoded.

    Colour becomes luma, transparency is laid over black, EXIF orientation is applied, and of
    several frames the first is taken. An image of more than 8 bits is rescaled: its 0.1th
    percentile becomes black, its 99.9th white, so that a dead pixel does not set the window of the
    whole picture. An 8-bit image keeps its values. DICOM is shown as its file says
    (`rrgcore.images.dicom`).
    """
    if not data:
        raise DataError(f"image {name}: is empty (0 bytes); copy or download it again")
    if is_dicom(data):
        return decode_dicom(data, name=name, largest=largest)
    try:
        with no_warnings(), Image.open(BytesIO(data)) as image:
            check_size(image.size, name, largest)
            image.load()
            upright = ImageOps.exif_transpose(image)
            white_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"image {name}: {TOO_LARGE} ({error})") from error
    except UnidentifiedImageError as error:
        raise DataError(f"image {name}: {_unknown(data)}") from error
    except _BROKEN as error:
        raise DataError(
            f"image {name}: is damaged ({error or type(error).__name__}); copy or download it again"
        ) from error
    if not upright.mode.startswith(("I", "F")):
        return _grey(upright)
    grey = stretch(np.asarray(upright), name)
    # Pillow inverts such TIFFs of 8 bits itself, and deeper ones not
    return 255 - grey if white_is_zero else grey


def resize(image: UInt8[np.ndarray, "h w"], size: int) -> UInt8[np.ndarray, "{size} {size}"]:
    """Resize to a square, bilinear and antialiased; the aspect is not kept, as in R2Gen's tests."""
    if image.shape == (size, size):
        return image
    small = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small)


def _grey(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    if "A" in image.mode or "transparency" in image.info:
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), opaque)
    if image.mode != "L":
        image = image.convert("RGB").convert("L")
    return np.asarray(image)


def _unknown(data: bytes) -> str:
    """Say what the bytes look like instead of an image."""
    if data.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the image itself; run `git lfs pull` where it came from"
    if data.lstrip()[:1] == b"<":
        return "is a web page or XML, not an image; a failed download perhaps"
    # nothing of what it holds is quoted: it may be a patient's
    what = next((what for mark, what in _OTHERS.items() if data.startswith(mark)), None)
    return f"is {what or 'not an image'}; expected {_FORMATS}"
