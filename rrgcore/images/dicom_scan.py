"""What is kept of a DICOM file: its stored values, and how they are to be shown.

Nothing else is parsed: no name, number or date of a patient. Everything here calls pydicom, and may
raise, warn and log as it likes; `rrgcore.images.dicom` sees to that.
"""

from dataclasses import dataclass
from io import BytesIO
from types import ModuleType
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from rrgcore.errors import DataError
from rrgcore.extras import how_to_install
from rrgcore.images.apart import Undecodable, decode_apart
from rrgcore.images.grey import LARGEST_AREA, check_size

_TAGS = [
    "SOPClassUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "PixelData",
]
HARMLESS = ("pydicom", "pylibjpeg", "pillow")
"""pydicom's plugins that survive every damaged file that was tried, the better one first. GDCM does
not: it is asked last, and in a process of its own.
"""
_DEFLATED = "1.2.840.10008.1.2.1.99"
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A lookup table: stored values from `first` on become `entries`, of so many bits."""

    first: int
    entries: Integer[np.ndarray, " n"]
    bits: int


@final
@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """The stored values, [h w] grey or [h w 3] colour, and how the file wants them shown."""

    values: Shaped[np.ndarray, "h w *c"]
    bits: int
    inverted: bool
    counted: Bool[np.ndarray, "h w"] | None
    """Which pixels are not padding, where some are."""
    slope: float
    intercept: float
    modality: Table | None
    voi: Table | None
    window: tuple[float, float] | None
    """Center and width, the latter above 0."""
    function: str

    @property
    def is_rescaled(self) -> bool:
        """Whether stored values are not what was measured."""
        return self.modality is not None or (self.slope, self.intercept) != (1, 0)


def load_scan(pydicom: ModuleType, data: bytes, name: str, largest: int = LARGEST_AREA) -> Scan:
    """Parse and decode a file; raises DataError for what is not one picture of a good size."""
    dataset = _parse(pydicom, data, name, _TAGS)
    if not dataset.get("PixelData"):
        raise DataError(f"image {name}: {_without_pixels(dataset)}")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise DataError(
            f"image {name}: is a DICOM file of {frames:,} frames; expected one, as a radiograph has"
        )
    size = int(dataset.Columns), int(dataset.Rows)
    check_size(size, name, largest)
    photometric = str(dataset.PhotometricInterpretation)
    if photometric not in (*_GREY, *_COLOUR):
        raise DataError(
            f"image {name}: is a DICOM file of another colour space than "
            f"{', '.join((*_GREY, *_COLOUR))}; convert it first"
        )
    values = _decode(pydicom, dataset, data, size, name)
    return Scan(
        values=values,
        bits=int(dataset.BitsStored),
        inverted=photometric == "MONOCHROME1",
        counted=_counted(values, dataset),
        slope=_factor(dataset, "RescaleSlope", 1.0, name),
        intercept=_factor(dataset, "RescaleIntercept", 0.0, name),
        modality=_table(dataset, "ModalityLUTSequence"),
        voi=_table(dataset, "VOILUTSequence"),
        window=_window(dataset),
        function=str(dataset.get("VOILUTFunction") or "LINEAR").upper(),
    )


def load_view(pydicom: ModuleType, data: bytes, name: str) -> str:
    """Parse the name of the view, or "" where the file has none."""
    header = _parse(pydicom, data, name, ["ViewPosition", "ViewCodeSequence"], pixels=False)
    codes = header.get("ViewCodeSequence") or [{}]
    return str(header.get("ViewPosition") or codes[0].get("CodeMeaning") or "").strip()


def _parse(
    pydicom: ModuleType, data: bytes, name: str, tags: list[str], *, pixels: bool = True
) -> Any:
    """Parse the named elements only: `force` is for old files, which have no mark."""
    if _transfer_syntax(data) == _DEFLATED:
        # pydicom would inflate all of it, however much that is
        raise DataError(f"image {name}: is deflated DICOM, which is not read; convert it first")
    return pydicom.dcmread(
        BytesIO(data), force=True, specific_tags=tags, stop_before_pixels=not pixels
    )


def _without_pixels(dataset: Any) -> str:
    """Say why a file may have no picture: another kind of document, or its end is not there."""
    kind = dataset.get("SOPClassUID")
    again = "copy or download it again"
    if not kind:
        return f"is a damaged DICOM file, or cut off: it does not say what it is of; {again}"
    if "Image Storage" in kind.name or "Rows" in dataset:
        return f"is a damaged DICOM file, or cut off: it is of an image and has no pixels; {again}"
    return (
        "is a DICOM file without pixel data (a report or a presentation state perhaps); "
        "expected an image"
    )


def _decode(
    pydicom: ModuleType, dataset: Any, data: bytes, size: tuple[int, int], name: str
) -> Shaped[np.ndarray, "h w *c"]:
    from pydicom.encaps import get_frame

    syntax, decoder = _decoder_of(pydicom, dataset)
    if decoder is None:
        raise DataError(
            f"image {name}: is a DICOM file with pixels in a form that pydicom does not decode (a "
            "video perhaps); convert it first"
        )
    if not decoder.is_available:
        raise DataError(
            f"image {name}: is a DICOM file compressed as {syntax.name}, which needs "
            f"{_package(syntax)}: {how_to_install('dicom')}"
        )
    if decoder.is_encapsulated:
        coded = _coded_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
        if coded not in (None, size):
            raise DataError(
                f"image {name}: is damaged: its header says {size[0]} × {size[1]} pixels, its "
                "picture has another size"
            )
    values: Shaped[np.ndarray, "h w *c"]
    if not decoder.is_encapsulated:
        values, _ = decoder.as_array(dataset, index=0)
        return values
    asked = [each for each in HARMLESS if each in decoder.available_plugins]
    why = ""
    for plugin in asked:
        try:
            values, _ = decoder.as_array(dataset, index=0, decoding_plugin=plugin)
            return values
        except Exception as error:  # it may be damaged, or of more bits than this one decodes
            why = f"{type(error).__name__} from pydicom"
    if not asked or "gdcm" in decoder.available_plugins:
        asked.append("gdcm")
        try:
            return decode_apart(data)
        except Undecodable as error:
            why = str(error)
    raise DataError(
        f"image {name}: is a damaged DICOM file, or {' and '.join(asked)} cannot decode its kind, "
        f"{syntax.name} of {int(dataset.BitsStored)} bits ({why}); copy or download it again, or "
        "convert it first: gdcmconv --raw"
    )


def parse_whole(pydicom: ModuleType, data: bytes) -> tuple[Any, Any]:
    """Return the decoder of a file that `load_scan` has looked at, and its elements."""
    dataset = _parse(pydicom, data, "", _TAGS)
    return _decoder_of(pydicom, dataset)[1], dataset


def _decoder_of(pydicom: ModuleType, dataset: Any) -> tuple[Any, Any]:
    """Return the transfer syntax, which old files do not say, and its decoder if there is one."""
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        uids = pydicom.uid
        explicit = uids.ExplicitVRLittleEndian if little else uids.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uids.ImplicitVRLittleEndian if implicit else explicit
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        return syntax, get_decoder(syntax)
    except NotImplementedError:
        return syntax, None


def _table(dataset: Any, keyword: str) -> Table | None:
    sequence = dataset.get(keyword)
    if not sequence:
        return None
    count, first, bits = (int(value) for value in sequence[0].LUTDescriptor)
    count = count or 2**16
    if not 1 <= bits <= 16:
        raise ValueError("a lookup table of another depth than 1 to 16 bits")
    data = sequence[0].LUTData
    if isinstance(data, bytes):
        _, little = dataset.original_encoding
        # entries of 8 bits may be packed
        word = np.dtype("u1") if len(data) in (count, count + 1) else np.dtype("<u2")
        entries = np.frombuffer(data, word if little else word.newbyteorder(">"))
    else:
        entries = np.atleast_1d(np.asarray(data))
    if not len(entries):
        raise ValueError("a lookup table without entries")
    return Table(first, entries[:count].astype(np.int64), bits)


def _window(dataset: Any) -> tuple[float, float] | None:
    center, width = _number(dataset.get("WindowCenter")), _number(dataset.get("WindowWidth"))
    return None if center is None or width is None or width <= 0 else (center, width)


def _counted(values: Shaped[np.ndarray, "..."], dataset: Any) -> Bool[np.ndarray, "..."] | None:
    padding = _number(dataset.get("PixelPaddingValue"))
    if padding is None or values.ndim != 2:
        return None
    limit = _number(dataset.get("PixelPaddingRangeLimit"))
    low, high = sorted((padding, padding if limit is None else limit))
    counted: Bool[np.ndarray, "..."] = (values < low) | (values > high)
    return counted


def _factor(dataset: Any, keyword: str, usual: float, name: str) -> float:
    """Return a number without which the picture is another; raises DataError for infinite ones."""
    value = dataset.get(keyword)
    found = _number(value)
    if found is None and isinstance(value, float):
        raise DataError(f"image {name}: its {keyword} is not a finite number")
    return usual if found is None else found


def _number(value: Any) -> float | None:
    """Return the first of one or several numbers, or None where there is none that is finite."""
    if value is None or isinstance(value, str):
        return None
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return float(numbers[0]) if len(numbers) and np.isfinite(numbers[0]) else None


def _transfer_syntax(data: bytes) -> str:
    """Find the transfer syntax in the file's meta header, which is never compressed."""
    at = data.find(b"\x02\x00\x10\x00UI", 132, 1 << 16)
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    return (
        data[at + 8 : at + 8 + length].rstrip(b"\0 ").decode("ascii", "replace") if at > 0 else ""
    )


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """Read width and height from a JPEG or JPEG 2000 stream, where it is one."""
    at = frame.find(b"\xff\x4f\xff\x51")
    if at >= 0 and len(frame) >= at + 24:
        right, lower, left, upper = np.frombuffer(frame, ">u4", 4, offset=at + 8).tolist()
        return right - left, lower - upper
    at = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        starts_frame = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if starts_frame or marker == 0xF7:
            height, width = np.frombuffer(frame, ">u2", 2, offset=at + 5).tolist()
            return width, height
        at += 1 if marker == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


def _package(syntax: str) -> str:
    """Name what decodes a compressed form: JPEG 2000's are 4.90 to 4.93 and 4.201 to 4.203."""
    is_2000 = syntax.startswith(("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20"))
    return "pylibjpeg-openjpeg" if is_2000 else "python-gdcm"
