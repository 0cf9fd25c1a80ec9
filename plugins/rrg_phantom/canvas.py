"""Layers of tissue on a pixel grid, and the few strokes that everything is drawn with.

Pixels are made with + - * / sqrt, min and max only, which IEEE 754 rounds alike on every machine;
no sum runs over pixels. So a seed gives the same picture everywhere.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from .anatomy import Box, midline
from .patient import Patient

Pixels = Float32[np.ndarray, "h w"]
LAYERS = (
    "lung",
    "heart",
    "mediastinum",
    "belly",
    "vessels",
    "bone",
    "fluid",
    "dense",
)


@dataclass(frozen=True, slots=True)
class Canvas:
    """The picture as tissue: `lung` and so on are depths in [0, 1], `bone` and `dense` attenuation.

    `fluid` is the share of the lung's air that something else has taken; `dense` is added on top of
    everything. A window of a canvas shares its pixels.
    """

    size: int
    left: int
    top: int
    x: Float32[np.ndarray, "1 w"]
    y: Float32[np.ndarray, "h 1"]
    s: Pixels
    """Distance from the midline, positive towards the patient's left."""
    a: Pixels
    """The same in half widths of the lung on that side, never negative."""
    lung: Pixels
    heart: Pixels
    mediastinum: Pixels
    belly: Pixels
    vessels: Pixels
    bone: Pixels
    fluid: Pixels
    dense: Pixels

    def window(self, box: Box) -> "Canvas":
        """The pixels whose centres lie in a box: what is drawn there cannot change any other."""
        x1, y1, x2, y2 = (round(edge * self.size) for edge in box)
        cols = slice(max(x1 - self.left, 0), max(x2 - self.left, 0))
        rows = slice(max(y1 - self.top, 0), max(y2 - self.top, 0))
        return Canvas(
            self.size,
            self.left + cols.start,
            self.top + rows.start,
            self.x[:, cols],
            self.y[rows],
            self.s[rows, cols],
            self.a[rows, cols],
            *(getattr(self, name)[rows, cols] for name in LAYERS),
        )

    def fill(self, share: Pixels) -> None:
        """Let something take a share of the air that is left."""
        self.fluid[:] += share * (1.0 - self.fluid)


def make_canvas(patient: Patient, size: int) -> Canvas:
    """Empty layers on a square grid, with the patient's own coordinates."""
    at = ((np.arange(size) + 0.5) / size).astype(np.float32)
    x, y = at[None, :], at[:, None]
    s = x - midline(patient, y).astype(np.float32)
    a = np.maximum(s / np.float32(patient.width_left), s / np.float32(-patient.width_right))
    layers = np.zeros((len(LAYERS), size, size), dtype=np.float32)
    return Canvas(size, 0, 0, x, y, s, a, *layers)


def clip01(value: Pixels) -> Pixels:
    """Into [0, 1], in place."""
    return np.minimum(np.maximum(value, 0.0, out=value), 1.0, out=value)


def ramp(value: Pixels) -> Pixels:
    """0 below 0, 1 above 1, smooth between."""
    t = np.minimum(np.maximum(value, 0.0), 1.0)
    out = 3.0 - 2.0 * t
    out *= t
    out *= t
    return out


def edge(canvas: Canvas, inside: Pixels, softness: float = 0.006) -> Pixels:
    """1 where a signed distance is well inside, 0 outside; never sharper than the pixels are."""
    soft = max(softness, 0.6 / canvas.size)
    return ramp(inside * np.float32(0.5 / soft) + np.float32(0.5))


def ellipse(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> Pixels:
    """The squared distance from a centre in radii: below 1 inside."""
    dx = (canvas.x - np.float32(x)) * np.float32(1.0 / rx)
    dy = (canvas.y - np.float32(y)) * np.float32(1.0 / ry)
    return dx * dx + dy * dy


def bump(squared: Pixels) -> Pixels:
    """A bell of compact support over a squared distance in radii."""
    left = np.maximum(1.0 - squared, 0.0)
    return left * left


def smooth(points: list[tuple[float, float]]) -> Float[np.ndarray, "n 2"]:
    """A polyline with its corners cut three times (Chaikin), the ends kept."""
    at = np.array(points, dtype=np.float64)
    for _ in range(3):
        first, second = at[:-1], at[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1)
        at = np.concatenate([at[:1], cut.reshape(-1, 2), at[-1:]])
    return at


def along(points: Float[np.ndarray, "n 2"], spacing: float) -> Float[np.ndarray, "m 2"]:
    """A polyline with points put between its own, none further apart than `spacing`."""
    step = points[1:] - points[:-1]
    parts = int(np.sqrt((step * step).sum(axis=1).max()) / spacing) + 1
    between = points[:-1, None] + (np.arange(parts) / parts)[:, None] * step[:, None]
    return np.concatenate([between.reshape(-1, 2), points[-1:]])


def distance(canvas: Canvas, points: Float[np.ndarray, "n 2"], reach: float) -> Pixels:
    """The distance of every pixel to a polyline in (x, y), exact up to `reach`, more beyond it."""
    size = canvas.size
    reach_px = reach * size
    at = along(points, 0.5 * max(reach, 1.0 / size)) * size - (0.5 + canvas.left, 0.5 + canvas.top)
    stamp, squared = stamps(at, int(np.ceil(reach_px)), canvas.s.shape)
    height, width, pad = *canvas.s.shape, int(np.ceil(reach_px)) + 1
    far = np.float32((reach_px + 2.0) ** 2)
    nearest = np.full((height + 2 * pad, width + 2 * pad), far, dtype=np.float32)
    np.minimum.at(nearest.reshape(-1), stamp.reshape(-1), squared.reshape(-1))
    return np.sqrt(nearest[pad:-pad, pad:-pad]) * np.float32(1.0 / size)


def stamps(
    at: Float[np.ndarray, "n 2"], reach: int, shape: tuple[int, int]
) -> tuple[Int[np.ndarray, "n k k"], Float32[np.ndarray, "n k k"]]:
    """The pixels around points (x, y) in pixels, and their squared distances from them.

    Indices are those of a flat picture with a margin of `reach + 1`, into which all else falls.
    """
    offsets = np.arange(-reach, reach + 1)
    cell = np.round(at)
    part = (cell - at).astype(np.float32)
    dx = part[:, 0, None] + offsets.astype(np.float32)
    dy = part[:, 1, None] + offsets.astype(np.float32)
    height, width = shape
    pad = reach + 1
    last = np.array([width + 2 * pad - 1, height + 2 * pad - 1])
    middle = cell.astype(np.int64) + pad
    near = np.minimum(np.maximum(middle[:, :, None] + offsets, 0), last[:, None])
    index = near[:, 1, :, None] * (width + 2 * pad) + near[:, 0, None, :]
    return index, (dy * dy)[:, :, None] + (dx * dx)[:, None, :]


def stroke(canvas: Canvas, points: Float[np.ndarray, "n 2"], half: float) -> Pixels:
    """A line of a half width, 1 on it; thinner than a pixel it fades instead of breaking up."""
    least = 0.7 / canvas.size
    drawn = max(half, least)
    line = edge(canvas, np.float32(drawn) - distance(canvas, points, drawn + least), 0.0)
    return line * np.float32(min(1.0, half / least))


def mottle(canvas: Canvas, cell: float, rng: np.random.Generator) -> Pixels:
    """Smooth noise in [0, 1] with grains `cell` wide, alike at every size and in every window."""
    grid = rng.random((int(1.0 / cell) + 3, int(1.0 / cell) + 3), dtype=np.float32)

    def cells(at: Pixels) -> tuple[np.ndarray, Pixels]:
        scaled = at * np.float32(1.0 / cell)
        index = scaled.astype(np.int64)
        part = scaled - index.astype(np.float32)
        return index, part * part * (3.0 - 2.0 * part)

    (row, down), (col, right) = cells(canvas.y), cells(canvas.x)
    lines = grid[row[:, 0]] * (1.0 - down) + grid[row[:, 0] + 1] * down
    return lines[:, col[0]] * (1.0 - right) + lines[:, col[0] + 1] * right
