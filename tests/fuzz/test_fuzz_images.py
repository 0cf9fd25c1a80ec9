"""Image files: damaged, cut, of other kinds than they say, and larger than any X-ray."""

import struct
import tempfile
import zlib
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rrgcore.errors import DataError
from rrgcore.images import read_image
from rrgcore.images.dicom import view_of_dicom

from .harness import attempt, examples
from .mutations import damaged

pydicom = pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")

GREY = np.add.outer(np.arange(24), 2 * np.arange(20)).astype(np.uint8)
"""24 × 20 pixels that differ."""


# ---- what is read today -----------------------------------------------------------------------


def saved(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    held = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(held, kind, **options)
    return held.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, depth: int, colour: int, data: bytes = b"") -> bytes:
    """A PNG whose header says so."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, each) for kind, each in parts)


@cache
def pictures() -> Mapping[str, bytes]:
    """Every kind of picture that comes, by what it is called."""
    grey, deep = Image.fromarray(GREY), GREY.astype(np.uint16) * 257
    colour = grey.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [grey, grey.transpose(Image.Transpose.ROTATE_180)]
    return {
        "grey.png": saved(grey, "PNG"),
        "deep.png": saved(deep, "PNG"),
        "palette.png": saved(colour.quantize(7), "PNG", transparency=0),
        "alpha.png": saved(grey.convert("LA"), "PNG"),
        "rgba.png": saved(grey.convert("RGBA"), "PNG"),
        "bits.png": saved(grey.convert("1"), "PNG"),
        "moving.png": saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "one.png": saved(grey.resize((1, 1)), "PNG"),
        "long.png": saved(grey.resize((16, 3000)), "PNG"),
        "grey.jpg": saved(grey, "JPEG"),
        "turned.jpg": saved(grey, "JPEG", exif=exif),
        "cmyk.jpg": saved(grey.convert("CMYK"), "JPEG"),
        "slow.jpg": saved(colour, "JPEG", progressive=True),
        "moving.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "deep.tiff": saved(deep, "TIFF", compression="tiff_lzw"),
        "float.tiff": saved(GREY.astype(np.float32), "TIFF"),
        "grey.bmp": saved(grey, "BMP"),
        "grey.webp": saved(colour, "WEBP"),
        "grey.jp2": saved(grey, "JPEG2000"),
        "grey.pgm": saved(grey, "PPM"),
        "bomb.png": png_of(100_000, 100_000, 8, 0),
        "zeros.png": png_of(8000, 8000, 8, 0, zlib.compress(bytes(8001 * 8000), 9)),
    }


SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
PACKED = ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.50")
UIDS = (*SYNTAXES, *PACKED, "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.100", "1.2.3", "")
ELEMENTS: Mapping[str, st.SearchStrategy[Any]] = {
    "Rows": st.sampled_from([0, 1, 16, 24, 25, 65535]),
    "Columns": st.sampled_from([0, 1, 16, 20, 21, 65535]),
    "BitsAllocated": st.sampled_from([1, 7, 8, 12, 16, 32, 64, 0]),
    "BitsStored": st.sampled_from([0, 1, 8, 12, 16, 17, 64, 65535]),
    "HighBit": st.sampled_from([0, 7, 15, 40]),
    "PixelRepresentation": st.sampled_from([0, 1, 2]),
    "SamplesPerPixel": st.sampled_from([0, 1, 2, 3, 4]),
    "PlanarConfiguration": st.sampled_from([0, 1, 5]),
    "PhotometricInterpretation": st.sampled_from(
        [
            "MONOCHROME1",
            "MONOCHROME2",
            "RGB",
            "YBR_FULL",
            "YBR_FULL_422",
            "PALETTE COLOR",
            "XYZ",
            "",
        ]
    ),
    "NumberOfFrames": st.sampled_from([0, 1, 2, -1, 2**31 - 1]),
    "WindowCenter": st.sampled_from([0, -1e30, 1e-30, 128, [10, 20], [], "1e308"]),
    "WindowWidth": st.sampled_from([0, -1, 1, 1e-30, 1e30, 256, [10, 20], []]),
    "VOILUTFunction": st.sampled_from(["LINEAR", "SIGMOID", "LINEAR_EXACT", "ODD", ""]),
    "RescaleSlope": st.sampled_from([0, 1, -1, 1e38, "1e400", 1e-30]),
    "RescaleIntercept": st.sampled_from([0, -1024, 1e38, "nan", 0.1]),
    "PixelPaddingValue": st.sampled_from([0, 65535, 10]),
    "PixelPaddingRangeLimit": st.sampled_from([0, 65535, 10]),
    "PixelData": st.binary(max_size=64)
    | st.sampled_from([b"", bytes(480), bytes(960), bytes(961)]),
}
TABLES = st.fixed_dictionaries(
    {
        "LUTDescriptor": st.sampled_from(
            [[4, 0, 8], [0, 0, 16], [4, 65535, 16], [4, 0, 0], [1, 2, 3]]
        ),
        "LUTData": st.sampled_from([bytes(range(8)), b"", b"\1", bytes(4)]),
    }
)


def dicom(
    changes: Mapping[str, Any],
    gone: list[str],
    syntax: str,
    tables: Mapping[str, Mapping[str, Any]],
) -> bytes:
    """A radiograph with elements changed and left away; written, however wrong they are."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    values: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
        "Rows": GREY.shape[0],
        "Columns": GREY.shape[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": GREY.tobytes(),
        **changes,
    }
    found = Dataset()
    for keyword, value in values.items():
        if keyword not in gone:
            setattr(found, keyword, value)
    for keyword, table in tables.items():
        item = Dataset()
        item.add_new((0x0028, 0x3002), "US", table["LUTDescriptor"])
        item.add_new((0x0028, 0x3006), "OW", table["LUTData"])
        setattr(found, keyword, [item])
    found.private_block(0x0041, "NOBODY", create=True).add_new(1, "UN", b"\xff\xfe")
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax or "1.2.840.10008.1.2.1"
    if syntax in PACKED and "PixelData" in found:
        found.PixelData = encapsulate([found.PixelData or b"\0"])
        found["PixelData"].VR = "OB"
        found["PixelData"].is_undefined_length = True
    elif "PixelData" in found:
        found["PixelData"].VR = "OW" if values["BitsAllocated"] > 8 else "OB"
    held = BytesIO()
    known = syntax if syntax in (*SYNTAXES, *PACKED) else SYNTAXES[1]
    found.save_as(
        held,
        implicit_vr=known == SYNTAXES[0],
        little_endian=known != SYNTAXES[2],
        force_encoding=True,
    )
    data = held.getvalue()
    return (
        data.replace(b"1.2.840.10008.1.2.1\0", syntax.encode().ljust(20, b"\0")[:20], 1)
        if syntax not in known
        else data
    )


@cache
def scans() -> Mapping[str, bytes]:
    """DICOM files that are read today."""
    deep = {
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelData": GREY.astype("<u2").tobytes(),
    }
    windowed = {"WindowCenter": 40, "WindowWidth": 60, "RescaleSlope": 2, "RescaleIntercept": -9}
    jpeg = {"PixelData": pictures()["grey.jpg"]}
    j2k = {"PixelData": saved(Image.fromarray(GREY), "JPEG2000", no_jp2=True)}
    return {
        "plain.dcm": dicom({}, [], SYNTAXES[1], {}),
        "implicit.dcm": dicom(deep, [], SYNTAXES[0], {}),
        "windowed.dcm": dicom({**deep, **windowed}, [], SYNTAXES[1], {}),
        "table.dcm": dicom(
            deep,
            [],
            SYNTAXES[1],
            {"VOILUTSequence": {"LUTDescriptor": [4, 0, 8], "LUTData": bytes(range(4))}},
        ),
        "jpeg.dcm": dicom(jpeg, [], PACKED[2], {}),
        "jpeg2000.dcm": dicom(j2k, [], PACKED[1], {}),
        "lossless.dcm": compressed(dicom({}, [], SYNTAXES[1], {}), "JPEGLosslessProcess14_1"),
        "deep lossless.dcm": compressed(
            dicom(deep, [], SYNTAXES[1], {}), "JPEGLosslessProcess14_1"
        ),
        "jpeg-ls.dcm": compressed(dicom({}, [], SYNTAXES[1], {}), "JPEGLSLossless"),
    }


def compressed(data: bytes, syntax: str) -> bytes:
    """Compress a file as only GDCM does."""
    gdcm = pytest.importorskip("gdcm", reason="rrg[dicom] is not installed")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "a.dcm")
        known = pydicom.dcmread(BytesIO(data), force=True)
        known.file_meta.MediaStorageSOPClassUID = known.SOPClassUID
        known.file_meta.MediaStorageSOPInstanceUID = known.SOPInstanceUID = "1.2.3"
        known.save_as(path, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(path)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(path)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return Path(path).read_bytes()


def read_written(target: str, data: bytes, name: str) -> str | None:
    """Write a file and read it as an image."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)

        def look() -> None:
            image = read_image(path)
            assert image.dtype == np.uint8
            assert image.ndim == 2
            assert min(image.shape) >= 1

        return attempt(target, look, kind=DataError, names=path)


# ---- what is tried ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*pictures(), *scans()])
def test_each_is_read_before_it_is_changed(name: str) -> None:
    refused = read_written("images: whole", {**pictures(), **scans()}[name], name)
    assert (refused is None) == (name not in ("one.png", "bomb.png")), refused


@examples(80)
@given(st.data())
def test_a_damaged_picture_is_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(pictures())), label="picture")
    # a picture of another kind behind its head
    others = [each for each in pictures().values() if len(each) < 10_000]
    tokens = [b"\xff\xd8\xff", b"IDAT", b"\xff\xd9", b"DICM", b"II*\0", b"\0\0\0\0", b"\xff" * 8]
    damage = damaged(pictures()[name], others=others, tokens=tokens)
    read_written("images: pictures", data.draw(damage, label="bytes"), name)


@examples(25)
@given(
    st.sampled_from([1, 15, 16, 17, 255, 4000, 65_535, 100_000, 2**31 - 1]),
    st.sampled_from([1, 15, 16, 17, 255, 4000, 65_535, 100_000, 2**31 - 1]),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.sampled_from([0, 2, 3, 4, 6]),
    st.sampled_from([b"", zlib.compress(b""), zlib.compress(bytes(600_000)), b"\0" * 64]),
)
def test_a_header_alone_takes_no_memory(
    width: int, height: int, depth: int, colour: int, data: bytes
) -> None:
    refused = read_written(
        "images: headers", png_of(width, height, depth, colour, data), "header.png"
    )
    if width * height > 80_000_000:
        assert refused is not None


@examples(60)
@given(
    st.fixed_dictionaries({}, optional=dict(ELEMENTS)),
    st.lists(st.sampled_from(sorted(ELEMENTS)), max_size=2),
    st.sampled_from(UIDS),
    st.dictionaries(st.sampled_from(["VOILUTSequence", "ModalityLUTSequence"]), TABLES),
)
def test_an_odd_scan_is_read_or_refused(
    changes: dict[str, Any], gone: list[str], syntax: str, tables: dict[str, Any]
) -> None:
    try:
        data = dicom(changes, gone, syntax, tables)
    except Exception as error:  # pydicom writes less than it reads
        if isinstance(error, KeyError | AssertionError):
            raise
        return
    read_written("images: odd DICOM", data, "odd.dcm")


@examples(60)
@given(st.data())
def test_a_damaged_scan_is_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(scans())), label="scan")
    others = [*scans().values(), pictures()["grey.png"], pictures()["grey.jpg"]]
    tokens = [
        b"DICM",
        b"\xfe\xff\x00\xe0",
        b"\xff\xff\xff\xff",
        b"\x28\x00\x10\x00US",
        b"UI",
        b"SQ",
    ]
    scan = data.draw(damaged(scans()[name], others=others, tokens=tokens), label="bytes")
    read_written("images: damaged DICOM", scan, name)
    attempt("images: views", lambda: view_of_dicom(scan, name=name), kind=DataError, names=name)


@examples(20)
@given(st.binary(max_size=300), st.sampled_from(["a.png", "a.dcm", "a.jpg", "a", "a.dicom"]))
def test_noise_is_refused(data: bytes, name: str) -> None:
    read_written("images: noise", data, name)
