"""Reading images: every mode that chest X-rays come in, and everything that is not one."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rrgcore.errors import DataError
from rrgcore.images import decode_image, read_image, resize
from rrgcore.images.pixels import normalise

RAMP = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (20, 1))
"""20 × 24 pixels, dark on the left, bright on the right."""

DEEP = RAMP.astype(np.uint16) * 200 + 1000


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(image: Image.Image | np.ndarray, name: str = "image.png", **options: object) -> Path:
        path = tmp_path / name
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(path, **options)
        return path

    return save


def png(width: int, height: int) -> bytes:
    """Return a PNG whose header promises so many pixels, and which holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


# ---- what can be read ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.bmp"])
def test_grey_of_8_bits_keeps_its_values(saved, name: str):
    image = read_image(saved(RAMP, name))
    assert image.dtype == np.uint8
    assert np.array_equal(image, RAMP)


def test_jpeg_is_nearly_the_same(saved):
    image = read_image(saved(RAMP, "a.jpg", quality=95))
    assert np.abs(image.astype(int) - RAMP).max() < 8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_grey_stored_as_colour_is_grey_again(saved, mode: str):
    image = read_image(saved(Image.fromarray(RAMP).convert(mode), "a.tiff"))
    assert np.abs(image.astype(int) - RAMP).max() <= 2


def test_grey_stored_as_luma_and_chroma_is_grey_again(saved):
    # compressed, as such files are: Pillow before 13 cannot read its own uncompressed ones
    luma = Image.fromarray(RAMP).convert("YCbCr")
    image = read_image(saved(luma, "a.tiff", compression="jpeg", quality=100))
    assert np.abs(image.astype(int) - RAMP).max() <= 2


def test_a_palette_is_looked_up(saved):
    image = Image.fromarray(RAMP // 10, mode="L").convert("P")
    image.putpalette([value for grey in range(256) for value in [255 - grey] * 3])
    assert np.array_equal(read_image(saved(image)), 255 - RAMP // 10)


def test_black_and_white_of_one_bit_becomes_0_and_255(saved):
    image = read_image(saved(Image.fromarray(RAMP > 100)))
    assert np.array_equal(image, np.where(RAMP > 100, 255, 0))


def test_what_is_transparent_is_black(saved):
    alpha = np.where(RAMP > 100, 255, 0).astype(np.uint8)
    image = Image.merge("LA", (Image.fromarray(RAMP), Image.fromarray(alpha)))
    assert np.array_equal(read_image(saved(image)), np.where(RAMP > 100, RAMP, 0))


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_16_bits_are_stretched_over_8(saved, name: str):
    image = read_image(saved(DEEP, name))
    assert (image.min(), image.max()) == (0, 255)
    assert np.abs(image - RAMP * (255 / 230)).max() <= 0.5


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_other_deep_images_are_stretched_too(saved, kind: type):
    image = read_image(saved(DEEP.astype(kind) - 30_000, "a.tiff"))
    assert np.abs(image - RAMP * (255 / 230)).max() <= 0.5


def test_a_dead_pixel_does_not_set_the_window(saved):
    deep = np.tile(DEEP, (10, 10))
    deep[3, 3] = 65_535
    image = read_image(saved(deep))
    assert image[3, 3] == 255
    assert image[3, 23] > 250


def test_a_mark_on_an_empty_deep_image_is_seen(saved):
    deep = np.full((100, 100), 500, dtype=np.uint16)
    deep[2, 2:5] = 900
    image = read_image(saved(deep))
    assert image[2, 2] == 255
    assert image.sum() == 3 * 255


def test_a_deep_image_of_one_value_is_black(saved):
    assert not read_image(saved(np.full((20, 20), 700, dtype=np.uint16))).any()


def test_a_deep_tiff_where_zero_is_white_is_inverted(saved):
    path = saved(DEEP, "a.tiff", tiffinfo={262: 0})
    assert np.abs(read_image(path) - (255 - RAMP * (255 / 230))).max() <= 0.51


def test_an_image_on_its_side_is_put_upright(saved):
    exif = Image.Exif()
    exif[274] = 6  # turn a quarter clockwise to see it upright
    path = saved(np.ascontiguousarray(np.rot90(RAMP)), "a.png", exif=exif)
    assert np.array_equal(read_image(path), RAMP)


# ---- what cannot -----------------------------------------------------------------------------


def refusal(path: Path, data: bytes | None = None) -> str:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DataError) as error:
        read_image(path)
    assert str(error.value).startswith(f"image {path}: ")
    return str(error.value).removeprefix(f"image {path}: ")


def test_a_missing_file_is_named(tmp_path: Path):
    assert refusal(tmp_path / "a.png") == "there is no such file"


def test_a_folder_is_not_an_image(tmp_path: Path):
    assert refusal(tmp_path) == "is a folder; expected an image file"


def test_zero_bytes(tmp_path: Path):
    assert refusal(tmp_path / "a.png", b"").startswith("is empty (0 bytes)")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tiff"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_damaged_not_half_an_image(saved, name: str, share: float):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    path = saved(noise, name)
    data = path.read_bytes()
    text = refusal(path, data[: int(share * len(data))])
    assert "is damaged" in text or "is not an image" in text


def test_a_flipped_bit_in_a_png_is_found(saved):
    path = saved(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    assert refusal(path, bytes(data)).startswith("is damaged")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"DOE^JOHN 1950", "is not an image; expected PNG, JPEG"),
        (b"PK\x03\x04 DOE^JOHN", "is a zip archive, or an office document; expected PNG, JPEG"),
        (b"  <!DOCTYPE html><html>", "is a web page or XML, not an image; a failed download"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (bytes(128) + b"DICM" + bytes(64), "is a damaged DICOM file, or cut off"),
    ],
)
def test_what_is_no_image_is_said(tmp_path: Path, data: bytes, said: str):
    assert refusal(tmp_path / "a.png", data).startswith(said)


def test_a_placeholder_of_one_pixel_is_refused(saved):
    path = saved(np.zeros((1, 1), dtype=np.uint8))
    assert refusal(path) == "is 1 × 1 pixels; expected at least 16 × 16"


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, side: int):
    text = refusal(tmp_path / "a.png", png(side, side))
    assert text.startswith("is larger than 80 million pixels, which no X-ray is")


def test_numbers_that_are_not_finite_are_refused(saved):
    values = np.full((20, 20), np.nan, dtype=np.float32)
    assert refusal(saved(values, "a.tiff")) == "holds values that are not finite numbers"


def test_bytes_from_an_archive_are_called_what_the_caller_says():
    with pytest.raises(DataError, match=r"image scans\.tgz:a\.png: is empty"):
        decode_image(b"", name="scans.tgz:a.png")


# ---- what an encoder sees --------------------------------------------------------------------


def test_resizing_to_a_square_keeps_every_part_in_its_place():
    image = np.zeros((300, 200), dtype=np.uint8)
    image[200:, 100:] = 255
    small = resize(image, 30)
    assert small.shape == (30, 30)
    assert (small[22:, 17:] == 255).all()
    assert (small[:18] == 0).all()
    assert (small[:, :13] == 0).all()


def test_resizing_averages_instead_of_picking_pixels():
    stripes = np.zeros((512, 512), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, 32).astype(int) - 127).max() <= 2


def test_an_image_of_the_right_size_is_left_alone():
    image = np.zeros((24, 24), dtype=np.uint8)
    assert resize(image, 24) is image


def test_normalise_does_what_its_formula_says():
    images = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    out = normalise(images, mean, std)
    assert out.shape == (2, 3, 3, 5, 4)
    for channel in range(3):
        expected = (images / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(out[:, :, channel], expected, atol=1e-5, rtol=0)
