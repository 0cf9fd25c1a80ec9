"""What is dropped on the page: bounded before it is decoded, and never quoted."""

import numpy as np
import pytest

from rrgcore.demo.uploads import Limits, read_images
from rrgcore.errors import DataError

from .files import PATIENT, RAMP, bomb, dicom, encoded, payload

LIMITS = Limits(megabytes=1, megapixels=2)


def said_of(*files: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(DataError) as refused:
        read_images(payload(*files), limits)
    return str(refused.value)


def test_images_of_every_kind_are_read_in_their_order():
    colour = np.stack([RAMP.T] * 3, axis=-1)
    first, second = read_images(payload(encoded(), encoded(colour)), LIMITS)
    np.testing.assert_array_equal(first, RAMP)
    np.testing.assert_array_equal(second, RAMP.T)
    [jpeg] = read_images(payload(encoded(form="JPEG")), LIMITS)
    assert np.abs(jpeg.astype(int) - RAMP).max() < 12


def test_a_dicom_file_is_read_with_and_without_its_mark():
    pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")
    [marked] = read_images(payload(dicom()), LIMITS)
    [unmarked] = read_images(payload(dicom()[132:]), LIMITS)
    np.testing.assert_array_equal(marked, RAMP)
    np.testing.assert_array_equal(unmarked, RAMP)


@pytest.mark.parametrize("wrong", [None, [], {}, {"images": "one"}, {"images": [1]}, "images"])
def test_a_request_without_images_is_told_so(wrong: object):
    with pytest.raises(DataError, match="no image came"):
        read_images(wrong, LIMITS)


def test_a_study_has_at_most_two_images():
    assert said_of(*[encoded()] * 3) == (
        "3 images came; expected one, or 2 views of the same study"
    )
    assert "0 images came" in said_of()


def test_a_file_that_is_too_large_is_not_decoded(monkeypatch: pytest.MonkeyPatch):
    largest, larger = bytes(LIMITS.bytes), bytes(LIMITS.bytes + 3)
    assert "is no PNG" in said_of(largest)
    monkeypatch.setattr("rrgcore.demo.uploads.b64decode", lambda *_, **__: pytest.fail("decoded"))
    assert said_of(larger) == "image 1: is larger than 1 MB, the limit"


def test_what_is_no_base64_did_not_arrive_whole():
    with pytest.raises(DataError, match="image 1: did not arrive whole"):
        read_images({"images": ["%%%%"]}, LIMITS)
    with pytest.raises(DataError, match="image 1: did not arrive whole"):
        read_images({"images": ["ä"]}, LIMITS)


def test_pixels_are_counted_before_they_are_decoded():
    whole = bomb(2000)
    header = whole[:41]  # and no pixel
    assert said_of(header) == "image 1: is 2000 × 2000 pixels; at most 2 million are read here"
    assert "is larger than 80 million pixels" in said_of(bomb(30_000)[:41])
    [read] = read_images(payload(whole), Limits(megabytes=1, megapixels=4))
    assert read.shape == (2000, 2000)


def test_pixels_of_a_dicom_file_are_counted_before_they_are_decoded():
    pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")
    assert said_of(dicom(Rows=2000, Columns=1001)) == (
        "image 1: is 1001 × 2000 pixels; at most 2 million are read here"
    )


def test_a_file_is_what_it_holds_and_not_what_it_is_called():
    text = b"DOE^JANEQUILL, MRN-4471-X"
    assert said_of(text) == "image 1: is no PNG, JPEG or DICOM file, whatever it is called"
    assert "no PNG, JPEG or DICOM" in said_of(encoded(form="TIFF"))
    assert said_of(encoded(), b"") == "image 2: is empty (0 bytes)"


def test_a_damaged_dicom_file_is_not_quoted():
    pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")
    whole = dicom()
    for data in (whole[: len(whole) // 2], whole[:-900], whole[132:300]):
        said = said_of(data)
        assert said.startswith("image 1: is a damaged DICOM file")
        for words in PATIENT.values():
            assert words not in said


def test_a_damaged_png_says_so():
    assert said_of(encoded()[:60]).startswith("image 1: is damaged")


def test_a_body_has_room_for_two_images_of_the_largest_size_and_no_more():
    two = len(str(payload(bytes(LIMITS.bytes), bytes(LIMITS.bytes))))
    assert two < LIMITS.body < two + 5000
