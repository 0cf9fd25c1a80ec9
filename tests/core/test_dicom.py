"""DICOM: the picture that a viewer shows, and never a word of whom it shows."""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrgcore.errors import DataError
from rrgcore.extras import how_to_install
from rrgcore.images import decode_image, read_image
from rrgcore.images import dicom as dicom_reading
from rrgcore.images.dicom import decode_dicom, view_of_dicom
from rrgcore.images.dicom_scan import Scan

pydicom = pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.pixels import get_decoder  # noqa: E402
from pydicom.uid import (  # noqa: E402
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

RAMP = np.tile(np.arange(0, 4096, 128, dtype=np.uint16), (20, 1))
"""20 × 32 pixels of 12 bits, dark on the left."""
RAMP8 = (RAMP // 16).astype(np.uint8)

PATIENT = {
    "PatientName": "DOE^JANEQUILL",
    "PatientID": "MRN-4471-X",
    "PatientBirthDate": "19470213",
    "PatientSex": "F",
    "PatientAddress": "12 WISTERIALANE",
    "AccessionNumber": "ACC0091837",
    "ReferringPhysicianName": "HOUSE^GREGORIUS",
    "InstitutionName": "MERCYFIELD",
    "StudyDate": "20190724",
    "StudyInstanceUID": "1.2.826.0.1.99887766",
    "StudyDescription": "CHEST OF JANEQUILL",
    "OtherPatientIDs": "ALIAS-77",
}
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
SECRETS = ("QUILL", "4471", "19470213", "WISTERIA", "0091837", "HOUSE", "MERCYFIELD", "20190724")
SECRETS += ("99887766", "ALIAS")


def element(pixels: np.ndarray, **changes: Any) -> Dataset:
    """A radiograph of somebody; `changes` add elements, or drop those that are None."""
    colour = pixels.ndim == 3
    values: dict[str, Any] = {
        **PATIENT,
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
        "SOPInstanceUID": "1.2.826.0.1.99887766.1",
        "Modality": "CR",
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8 * pixels.itemsize,
        "BitsStored": 12 if pixels.itemsize == 2 else 8,
        "HighBit": 11 if pixels.itemsize == 2 else 7,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
        **({"PlanarConfiguration": 0} if colour else {}),
        **changes,
    }
    dataset = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def dicom(pixels: np.ndarray, *, syntax: str = ExplicitVRLittleEndian, **changes: Any) -> bytes:
    """The bytes of such a file."""
    dataset = element(pixels, **changes)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if pydicom.uid.UID(syntax).is_encapsulated and "PixelData" in dataset:
        dataset["PixelData"].is_undefined_length = True
        dataset["PixelData"].VR = "OB"
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def shown(pixels: np.ndarray, **changes: Any) -> np.ndarray:
    return decode_image(dicom(pixels, **changes), name="scan.dcm")


def table(entries: np.ndarray, *, first: int = 0, bits: int = 8) -> list[Dataset]:
    """A sequence of one lookup table."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return [item]


# ---- what is shown ---------------------------------------------------------------------------


def test_a_file_is_read_by_its_content_whatever_its_name(tmp_path):
    path = tmp_path / "scan.png"
    path.write_bytes(dicom(RAMP8))
    assert np.array_equal(read_image(path), RAMP8)


def test_eight_bits_without_a_window_keep_their_values():
    assert np.array_equal(shown(RAMP8), RAMP8)


def test_twelve_bits_in_sixteen_without_a_window_are_stretched_like_any_deep_image():
    expected = RAMP * (255 / RAMP.max())
    assert np.abs(shown(RAMP) - expected).max() <= 0.51


def test_full_sixteen_bits_are_read():
    deep = RAMP * 15 + 3000
    image = shown(deep, BitsStored=16, HighBit=15)
    assert np.abs(image - RAMP * (255 / RAMP.max())).max() <= 0.51


def test_overlay_bits_above_the_stored_ones_are_not_part_of_a_value():
    assert np.array_equal(shown(RAMP | 0x8000), shown(RAMP))


def test_values_may_be_signed():
    signed = RAMP.astype(np.int16) - 2048
    assert np.array_equal(shown(signed), shown(RAMP))


def test_the_window_decides_what_is_black_and_white():
    image = shown(RAMP, WindowCenter=2048, WindowWidth=1024)
    assert (image[RAMP < 1536] == 0).all()
    assert (image[RAMP > 2560] == 255).all()
    assert np.abs(image[RAMP == 2048] - 127.5).max() <= 1


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_the_standard(function: str):
    data = dicom(RAMP, WindowCenter=1900, WindowWidth=2000, VOILUTFunction=function)
    dataset = pydicom.dcmread(BytesIO(data))
    expected = pydicom.pixels.apply_windowing(dataset.pixel_array, dataset) * (255 / 4095)
    assert np.abs(decode_image(data, name="a") - expected).max() <= 0.51


def test_a_window_over_more_values_than_a_table_holds():
    deep = (RAMP.astype(np.uint32) + 2**20) * 2**10
    options = {"BitsStored": 32, "HighBit": 31, "VOILUTFunction": "LINEAR_EXACT"}
    image = shown(deep, WindowCenter=(2**20 + 2048) * 2**10, WindowWidth=2**22, **options)
    assert np.abs(image - RAMP * (255 / 4096)).max() <= 0.51


def test_of_several_windows_the_first_is_taken():
    several = shown(RAMP, WindowCenter=[2048, 100], WindowWidth=[1024, 50])
    assert np.array_equal(several, shown(RAMP, WindowCenter=2048, WindowWidth=1024))


@pytest.mark.parametrize(("center", "width"), [(100, 0), (100, -3), (None, 100), (100, None)])
def test_a_window_that_is_none_is_passed_over(center: Any, width: Any):
    assert np.array_equal(shown(RAMP, WindowCenter=center, WindowWidth=width), shown(RAMP))


def test_a_window_of_width_one_is_a_threshold():
    image = shown(RAMP, WindowCenter=2048, WindowWidth=1)
    assert np.array_equal(image, np.where(RAMP >= 2048, 255, 0))


def test_rescaling_comes_before_the_window():
    exact = {"VOILUTFunction": "LINEAR_EXACT"}
    rescaled = shown(
        RAMP,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=3096,
        WindowWidth=2048,
        **exact,
    )
    assert np.array_equal(rescaled, shown(RAMP, WindowCenter=2048, WindowWidth=1024, **exact))


def test_a_rescaling_that_turns_the_scale_inverts_the_picture():
    turned = shown(RAMP, RescaleSlope=-1, RescaleIntercept=4095)
    assert np.abs(turned.astype(int) - (255 - shown(RAMP))).max() <= 1


def test_a_rescaling_that_does_nothing_leaves_eight_bits_alone():
    assert np.array_equal(shown(RAMP8, RescaleSlope=1, RescaleIntercept=0), RAMP8)


def test_a_voi_table_is_looked_up():
    squares = np.minimum(np.arange(4096) ** 2 // 4096, 4095)
    image = shown(RAMP, VOILUTSequence=table(squares, bits=12))
    assert np.abs(image - squares[RAMP] * (255 / 4095)).max() <= 0.51


def test_values_beyond_a_table_take_its_ends():
    image = shown(RAMP, VOILUTSequence=table(np.arange(256), first=1024, bits=8))
    assert np.array_equal(image, (RAMP.astype(int) - 1024).clip(0, 255))


def test_a_modality_table_is_looked_up_before_the_window():
    halves = shown(
        RAMP,
        ModalityLUTSequence=table(np.arange(4096) // 2, bits=16),
        WindowCenter=1024,
        WindowWidth=2048,
        VOILUTFunction="LINEAR_EXACT",
    )
    whole = shown(RAMP, WindowCenter=2048, WindowWidth=4096, VOILUTFunction="LINEAR_EXACT")
    assert np.abs(halves.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(
    "window",
    [{}, {"WindowCenter": 2000, "WindowWidth": 900}, {"RescaleSlope": 3, "RescaleIntercept": 5}],
)
def test_monochrome1_is_the_inverse_of_monochrome2(window: dict[str, Any]):
    one = shown(RAMP, PhotometricInterpretation="MONOCHROME1", **window)
    assert np.array_equal(one, 255 - shown(RAMP, **window))


def test_monochrome1_of_eight_bits_is_inverted():
    assert np.array_equal(shown(RAMP8, PhotometricInterpretation="MONOCHROME1"), 255 - RAMP8)


def test_padding_does_not_set_the_window():
    framed = np.pad(RAMP % 1000 + 1000, 8, constant_values=4095)
    image = shown(framed, PixelPaddingValue=4095)
    inside = image[8:-8, 8:-8]
    assert (inside.min(), inside.max()) == (0, 255)
    assert shown(framed)[8:-8, 8:-8].max() < 100


def test_colour_becomes_luma():
    colour = np.stack([RAMP8, RAMP8 // 2, 255 - RAMP8], axis=-1)
    expected = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.array_equal(shown(colour), expected)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_every_byte_order(syntax: str):
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    stored = RAMP.astype(f"{order}u2")
    window = {"WindowCenter": 2048, "WindowWidth": 1024}
    assert np.array_equal(shown(stored, syntax=syntax, **window), shown(RAMP, **window))


def test_an_old_file_without_the_mark_is_known_by_its_first_element_whatever_its_name():
    dataset = element(RAMP, WindowCenter=2048, WindowWidth=1024)
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
    for name in ("old.DCM", "old"):
        image = decode_image(file.getvalue(), name=name)
        assert np.array_equal(image, shown(RAMP, WindowCenter=2048, WindowWidth=1024))
    for other in (b"\x08\x00", b"\x08\x00\x02\x00" + bytes(20), b"\x02\x00\xff\xff" + b"\xff" * 9):
        with pytest.raises(DataError, match="is not an image"):
            decode_image(other, name="other.dcm")


# ---- compressed ------------------------------------------------------------------------------


def jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def compressed(pixels: np.ndarray, frame: bytes, syntax: str, **changes: Any) -> bytes:
    return dicom(pixels, syntax=syntax, PixelData=encapsulate([frame]), **changes)


def test_a_jpeg_inside():
    data = compressed(RAMP8, jpeg(RAMP8, quality=95), JPEGBaseline8Bit)
    assert np.abs(decode_image(data, name="a").astype(int) - RAMP8).max() < 8


def test_a_lossless_jpeg_2000_inside():
    file = BytesIO()
    Image.fromarray(RAMP).save(file, "JPEG2000", irreversible=False, num_resolutions=2)
    stream = file.getvalue()
    data = compressed(
        RAMP,
        stream[stream.index(b"\xff\x4f\xff\x51") :],
        JPEG2000Lossless,
        BitsStored=16,
        HighBit=15,
    )
    window = {"BitsStored": 16, "HighBit": 15}
    assert np.array_equal(decode_image(data, name="a"), shown(RAMP, **window))


def test_a_lossless_jpeg_as_old_archives_have_it():
    path = Path(pydicom.__file__).parent / "data" / "test_files" / "SC_rgb_jpeg_gdcm.dcm"
    if not (path.is_file() and get_decoder(JPEGLosslessSV1).is_available):
        pytest.skip("pydicom came without its test files, or python-gdcm is not installed")
    colours = pydicom.dcmread(path).pixel_array
    assert np.array_equal(read_image(path), np.asarray(Image.fromarray(colours).convert("L")))


def test_run_lengths_need_no_other_package():
    dataset = pydicom.dcmread(BytesIO(dicom(RAMP)))
    dataset.compress(RLELossless, generate_instance_uid=False)
    file = BytesIO()
    dataset.save_as(file)
    assert np.array_equal(decode_image(file.getvalue(), name="a"), shown(RAMP))


@pytest.mark.parametrize(
    ("syntax", "package"),
    [(JPEGLosslessSV1, "python-gdcm"), (JPEG2000Lossless, "pylibjpeg-openjpeg")],
)
def test_without_a_decoder_the_package_is_named(monkeypatch, syntax: str, package: str):
    monkeypatch.setattr(type(get_decoder(syntax)), "is_available", property(lambda _: False))
    text = refusal(compressed(RAMP8, b"\xff\xd8\xff\xd9", syntax))
    assert text.endswith(f"which needs {package}: {how_to_install('dicom')}")


def test_without_pydicom_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert how_to_install("dicom") in refusal(dicom(RAMP8))


# ---- what is refused -------------------------------------------------------------------------


def refusal(data: bytes, name: str = "scan.dcm") -> str:
    with pytest.raises(DataError) as error:
        decode_image(data, name=name)
    assert str(error.value).startswith(f"image {name}: ")
    return str(error.value).removeprefix(f"image {name}: ")


def multi() -> bytes:
    return dicom(np.concatenate([RAMP8] * 3), Rows=20, NumberOfFrames=3)


BROKEN: dict[str, Callable[[], bytes]] = {
    "frames": multi,
    "no pixels": lambda: dicom(RAMP8, PixelData=None),
    "a report": lambda: dicom(RAMP8, PixelData=None, Rows=None, SOPClassUID=BASIC_TEXT_SR),
    "no rows": lambda: dicom(RAMP8, Rows=None),
    "no photometric": lambda: dicom(RAMP8, PhotometricInterpretation=None),
    "palette": lambda: dicom(RAMP8, PhotometricInterpretation="PALETTE COLOR"),
    "huge": lambda: dicom(RAMP8, Rows=60_000, Columns=60_000),
    "small": lambda: dicom(RAMP8[:4, :4]),
    "too few pixels": lambda: dicom(RAMP8, Rows=40),
    "bits": lambda: dicom(RAMP8, BitsStored=40),
    "cut": lambda: dicom(RAMP)[:-600],
    "cut in the header": lambda: dicom(RAMP)[:600],
    "broken jpeg": lambda: compressed(RAMP8, jpeg(RAMP8)[:200], JPEGBaseline8Bit),
    "another jpeg": lambda: compressed(RAMP8, jpeg(np.tile(RAMP8, (40, 40))), JPEGBaseline8Bit),
    "a video": lambda: compressed(RAMP8, b"\0\0\1\xb3", MPEG2MPML),
    "deflated": lambda: dicom(RAMP8, syntax=DeflatedExplicitVRLittleEndian),
    "an empty table": lambda: dicom(RAMP, VOILUTSequence=table(np.arange(0))),
    "cut in the meta header": lambda: dicom(RAMP)[:200],
    "noise": lambda: dicom(RAMP)[:132] + np.random.default_rng(0).bytes(3000),
}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("frames", "is a DICOM file of 3 frames; expected one, as a radiograph has"),
        ("no pixels", "is a damaged DICOM file, or cut off: it is of an image and has no pixels"),
        ("a report", "is a DICOM file without pixel data (a report or"),
        ("no rows", "is a damaged DICOM file (AttributeError from pydicom)"),
        ("palette", "is a DICOM file of another colour space than MONOCHROME1, MONOCHROME2"),
        ("huge", "is larger than 80 million pixels, which no X-ray is (it is 60000 × 60000)"),
        ("small", "is 4 × 4 pixels; expected at least 16 × 16"),
        ("too few pixels", "is a damaged DICOM file"),
        ("cut", "is a damaged DICOM file"),
        ("cut in the header", "is a damaged DICOM file, or cut off: it is of an image"),
        ("cut in the meta header", "is a damaged DICOM file, or cut off: it does not say what"),
        ("noise", "is a damaged DICOM file"),
        ("broken jpeg", "is a damaged DICOM file, or "),
        ("another jpeg", "is damaged: its header says 32 × 20 pixels, its picture has another"),
        ("a video", "is a DICOM file with pixels in a form that pydicom does not decode"),
        ("deflated", "is deflated DICOM, which is not read; convert it first"),
    ],
)
def test_what_is_no_radiograph_is_said(what: str, said: str):
    assert refusal(BROKEN[what]()).startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RescaleSlope": "1e300"}, "rescaled as it says (slope 1e+300, intercept 0), it holds va"),
        ({"RescaleSlope": "1e308", "WindowCenter": 1, "WindowWidth": 2}, "holds values that are "),
        ({"RescaleIntercept": "-1e39"}, "rescaled as it says (slope 1, intercept -1e+39)"),
    ],
)
def test_a_rescaling_beyond_all_measure_is_refused(changes: dict[str, Any], said: str):
    assert refusal(dicom(RAMP, **changes)).startswith(said)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("value", [b"inf ", b"nan "])
def test_a_rescaling_by_no_finite_number_is_refused(keyword: str, value: bytes):
    data = dicom(RAMP, **{keyword: "8461"}).replace(b"8461", value)
    assert refusal(data) == f"its {keyword} is not a finite number"


def test_a_table_and_a_narrow_window_take_the_largest_of_values():
    far = {"RescaleSlope": "1e30", "RescaleIntercept": "0"}
    looked_up = shown(RAMP, **far, VOILUTSequence=table(np.arange(256)))
    assert looked_up[0, [0, 1, -1]].tolist() == [0, 255, 255]
    narrow = shown(
        RAMP, **far, WindowCenter="0", WindowWidth="1e-300", VOILUTFunction="LINEAR_EXACT"
    )
    assert narrow[0, [0, 1, -1]].tolist() == [128, 255, 255]


# ---- whom it shows ---------------------------------------------------------------------------


def private() -> dict[str, bytes]:
    """Files of a patient in every state, some with values that pydicom itself quotes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = {what: make() for what, make in BROKEN.items()}
        files["good"] = dicom(RAMP)
        files["padded"] = dicom(RAMP8) + b"\0\0"
        files["long"] = dicom(RAMP, PatientID="MRN-4471-X" * 12)
        files["no identifier"] = dicom(RAMP, StudyInstanceUID="QUILL")
        files["no number"] = dicom(RAMP, WindowCenter=2048, WindowWidth=99).replace(
            b"2048", b"QUIL"
        )
        files["cut in a name"] = files["good"][: files["good"].index(b"DOE^JANE") + 9]
    return files


def test_nothing_of_the_patient_is_in_errors_warnings_or_logs(caplog, capfd, recwarn):
    files = private()
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    pydicom.config.debug(True, default_handler=False)
    told = []
    try:
        for name, data in files.items():
            for read in (decode_image, view_of_dicom):
                try:
                    read(data, name=f"{name}.dcm")
                except DataError as error:
                    told += traceback.format_exception(error)
                    told.append(repr(error.__context__))
    finally:
        pydicom.config.debug(False, default_handler=False)
    out, err = capfd.readouterr()
    told += [out, err, caplog.text, *(str(warning.message) for warning in recwarn)]

    assert sum("damaged" in text for text in told) > 5
    quoted = [secret for secret in SECRETS if any(secret in text for text in told)]
    assert quoted == []


@pytest.mark.parametrize("name", ["no identifier", "no number"])
def test_pydicom_by_itself_quotes_what_it_read(caplog, name: str):
    """Or the test above would prove nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            said = str(list(pydicom.dcmread(BytesIO(private()[name]))))
        except ValueError as error:
            said = str(error)
    assert "QUIL" in caplog.text + said.replace(PATIENT["PatientName"], "")


def test_warnings_and_logs_of_pydicom_are_as_before_afterwards():
    before = list(warnings.filters), logging.getLogger("pydicom").level
    threads = [
        threading.Thread(target=decode_image, args=(dicom(RAMP),), kwargs={"name": str(i)})
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (list(warnings.filters), logging.getLogger("pydicom").level) == before


def test_files_are_decoded_at_the_same_time_and_in_silence(monkeypatch, recwarn, caplog):
    """The first to come keeps pydicom silent until the last has left."""
    both, one_left = threading.Barrier(2, timeout=20), threading.Event()
    load = dicom_reading.load_scan

    def load_together(pydicom: ModuleType, data: bytes, name: str, largest: int) -> Scan:
        both.wait()
        if name == "last":
            assert one_left.wait(20)
        warnings.warn("DOE^JANE", stacklevel=1)
        logging.getLogger("pydicom").error("DOE^JANE")
        return load(pydicom, data, name, largest)

    monkeypatch.setattr(dicom_reading, "load_scan", load_together)
    before = list(warnings.filters), logging.getLogger("pydicom").level
    with ThreadPoolExecutor(2) as pool:
        last, first = (pool.submit(decode_dicom, dicom(RAMP), name=n) for n in ("last", "first"))
        pixels = first.result(20)
        one_left.set()
        np.testing.assert_array_equal(last.result(20), pixels)
    assert (list(recwarn), caplog.text) == ([], "")
    assert (list(warnings.filters), logging.getLogger("pydicom").level) == before


# ---- the view --------------------------------------------------------------------------------


def test_the_view_is_read_from_the_header_alone():
    data = dicom(RAMP, ViewPosition="LL")
    assert view_of_dicom(data, name="a") == "LL"
    assert view_of_dicom(data[:-600], name="a") == "LL"


def test_the_views_code_stands_in_for_its_position():
    code = Dataset()
    code.CodeMeaning = "postero-anterior"
    assert view_of_dicom(dicom(RAMP, ViewCodeSequence=[code]), name="a") == "postero-anterior"
    assert view_of_dicom(dicom(RAMP), name="a") == ""


def test_the_view_of_what_is_no_dicom_file_is_refused():
    with pytest.raises(DataError, match=r"image a\.png: is not a DICOM file"):
        view_of_dicom(jpeg(RAMP8), name="a.png")
