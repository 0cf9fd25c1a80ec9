"""What can be measured of a picture without any model: where it is light and dark, its greys, its
textures, its symmetry.
"""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

SIDE: Final = 64
"""Pixels: pictures of every size are measured at this one."""
GRID: Final = 16
"""Fields across and down in which light and dark are told."""
QUANTILES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BANDS: Final = (0.5, 1.5, 2.5, 4, 6, 9, 14, 20, 26, 32)
"""Cycles across the picture."""
COARSE: Final = (0.5, 4, 14, 32)
"""Bands in which directions are told."""

BLOCKS: Final[Mapping[str, int]] = {
    "where it is light and dark": GRID**2,
    "its greys": len(QUANTILES) + 2,
    "its textures": len(BANDS) - 1 + 2 * (len(COARSE) - 1) + 1,
    "its symmetry": 5,
}
"""What is measured, and by how many numbers, in their order."""
LEAST: Final[Mapping[str, float]] = {
    "where it is light and dark": 0.05,
    "its greys": 0.01,
    "its textures": 0.1,
    "its symmetry": 0.02,
}
"""The least standard deviation that a number of each counts with: what never varied in training, a
black margin, may vary a little.
"""


def measure_picture(image: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, " f"]:
    """Measure a picture: as many numbers as BLOCKS count."""
    small = _shrunk(image, SIDE)
    fields = _shrunk(image, GRID)
    layout = (fields - fields.mean()) / (fields.std() + 4)
    return np.concatenate(
        [layout.ravel(), _greys(image), _textures(image, small), _symmetry(small)]
    )


def _shrunk(image: UInt8[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "side side"]:
    """Return means over fields of the picture."""
    small = Image.fromarray(image).convert("F").resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)


def _greys(image: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, " f"]:
    shares = image.astype(np.float64) / 255
    return np.array([*np.quantile(shares, QUANTILES), shares.mean(), shares.std()])


def _textures(
    image: UInt8[np.ndarray, "h w"], small: Float[np.ndarray, "side side"]
) -> Float[np.ndarray, " f"]:
    """Return the power of bands of the spectrum, how it is divided between directions, and how much
    neighbouring pixels differ; all as logarithms.
    """
    window = np.hanning(SIDE)
    centred = (small - small.mean()) / 255 * window[:, None] * window
    power = np.abs(np.fft.rfft2(centred)) ** 2
    bands, pairs = _parts_of_the_spectrum()

    def of(part: Bool[np.ndarray, "down across"]) -> float:
        return float(np.log(power[part].mean() + 1e-7))

    found = [*map(of, bands), *(of(one) - of(other) for one, other in pairs)]
    whole = image.astype(np.float64)
    grain = np.abs(np.diff(whole, axis=0)).mean() + np.abs(np.diff(whole, axis=1)).mean()
    return np.array([*found, np.log(grain + 0.5)])


Parts = list[Bool[np.ndarray, "down across"]]


@cache
def _parts_of_the_spectrum() -> tuple[Parts, list[tuple[Any, Any]]]:
    """Return the bands, and in coarser ones the parts across and down, rising and falling."""
    down, across = np.fft.fftfreq(SIDE)[:, None] * SIDE, np.fft.rfftfreq(SIDE)[None] * SIDE
    cycles, angle = np.hypot(down, across), np.degrees(np.arctan2(down, across + 1e-9))
    bands = [(cycles >= a) & (cycles < b) for a, b in pairwise(BANDS)]
    pairs = []
    for low, high in pairwise(COARSE):
        band = (cycles >= low) & (cycles < high)
        pairs.append((band & (np.abs(angle) < 30), band & (np.abs(angle) > 60)))
        pairs.append((band & (angle > 30) & (angle < 60), band & (angle < -30) & (angle > -60)))
    return bands, pairs


def _symmetry(small: Float[np.ndarray, "side side"]) -> Float[np.ndarray, " f"]:
    """Return how like its mirror images the picture is, and itself turned, and whether it changes
    faster across than down.
    """
    across, down = np.abs(np.diff(small, axis=1)).mean(), np.abs(np.diff(small, axis=0)).mean()
    mirrored = (small[:, ::-1], small[::-1], small[::-1, ::-1], small.T)
    return np.array(
        [*(_alike(small, other) for other in mirrored), np.log((across + 0.1) / (down + 0.1))]
    )


def _alike(one: Float[np.ndarray, "h w"], other: Float[np.ndarray, "h w"]) -> float:
    """Return the correlation of two pictures of the same greys, 1 where there is but one grey."""
    centred = one - one.mean()
    variance = float((centred**2).mean())
    return float((centred * (other - one.mean())).mean() / variance) if variance > 1e-6 else 1.0
