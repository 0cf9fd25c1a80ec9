"""Files that somebody may drop on the page."""

import struct
import zlib
from base64 import b64encode
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

RAMP = np.tile(np.linspace(0, 255, 40, dtype=np.uint8), (48, 1))
PATIENT = {"PatientName": "DOE^JANEQUILL", "PatientID": "MRN-4471-X", "StudyDescription": "OF DOE"}
"""What must never be read again."""


def encoded(pixels: np.ndarray = RAMP, form: str = "PNG") -> bytes:
    held = BytesIO()
    Image.fromarray(pixels).save(held, form)
    return held.getvalue()


def dicom(pixels: np.ndarray = RAMP, **changes: Any) -> bytes:
    """A DICOM file of a patient, as pydicom writes it; needs pydicom."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    values = {
        **PATIENT,
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1",
        "SOPInstanceUID": "1.2.3",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": pixels.tobytes(),
        **changes,
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    held = BytesIO()
    dataset.save_as(held, enforce_file_format=True)
    return held.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that says it is of so many black pixels across and down."""
    packer = zlib.compressobj(9)
    row = b"\0" * (side // 8 + 2)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    )


def payload(*files: bytes) -> dict[str, list[str]]:
    """What the page sends."""
    return {"images": [b64encode(data).decode() for data in files]}
