"""Which sizes are X-rays, and how deep values become grey of 8 bits."""

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from rrgcore.errors import DataError

SMALLEST_SIDE = 16
"""Pixels; what is smaller is a placeholder, not an X-ray."""
LARGEST_AREA = 80_000_000
"""Pixels; four times the largest detector. PIL's own limit is a little higher."""
WINDOW = (0.1, 99.9)
"""Percentiles of a deep image's values that become black and white."""

TOO_LARGE = f"is larger than {LARGEST_AREA // 1_000_000} million pixels, which no X-ray is"


def check_size(size: tuple[int, int], name: str, largest: int = LARGEST_AREA) -> None:
    """Raise DataError for a width and height that no X-ray has, or that make more pixels than
    `largest`.
    """
    width, height = size
    if min(size) < SMALLEST_SIDE:
        raise DataError(
            f"image {name}: is {width} × {height} pixels; expected at least "
            f"{SMALLEST_SIDE} × {SMALLEST_SIDE}"
        )
    if width * height > LARGEST_AREA:
        raise DataError(f"image {name}: {TOO_LARGE} (it is {width} × {height})")
    if width * height > largest:
        raise DataError(
            f"image {name}: is {width} × {height} pixels; at most {largest / 1e6:g} million are "
            "read here"
        )


def stretch(
    values: Shaped[np.ndarray, "h w"],
    name: str,
    *,
    counted: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w"]:
    """Return the values between the two percentiles of WINDOW as grey, what is beyond as black and
    white, so that a dead pixel does not set the window of the whole picture.

    Only `counted` pixels make the percentiles. Raises DataError for values that are not finite.
    """
    check_finite(values, name)
    seen = values if counted is None or not counted.any() else values[counted]
    low, high = np.percentile(seen, WINDOW)
    if high <= low:
        # nearly everything has one value: the few others are all there is to see
        low, high = float(seen.min()), float(seen.max())
    return quantise((values.astype(np.float32) - low) / max(high - low, 1e-12))


def quantise(shares: Shaped[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Return grey for shares of white: 0 and what is below is black, 1 and above is white."""
    grey: UInt8[np.ndarray, "*shape"] = np.rint(255 * shares.clip(0, 1)).astype(np.uint8)
    return grey


def check_finite(values: Shaped[np.ndarray, "*shape"], name: str) -> None:
    """Raise DataError where values are infinite or no numbers."""
    if not np.isfinite(values).all():
        raise DataError(f"image {name}: holds values that are not finite numbers")
