"""From image files, DICOM among them, to 8-bit grey arrays, and to what an encoder sees."""

from rrgcore.images.grey import SMALLEST_SIDE
from rrgcore.images.reading import decode_image, read_image, resize

__all__ = ["SMALLEST_SIDE", "decode_image", "read_image", "resize"]
