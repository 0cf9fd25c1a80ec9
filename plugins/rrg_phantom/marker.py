"""The lead letter that says which side is which."""

import numpy as np

from .canvas import Pixels
from .patient import Patient

LETTERS = {
    "L": ("1000", "1000", "1000", "1000", "1000", "1111"),
    "R": ("1110", "1001", "1001", "1110", "1010", "1001"),
}
CELL = 0.008


def draw_marker(value: Pixels, patient: Patient) -> Pixels:
    """An L in the upper right corner, an R in the upper left one, or nothing."""
    if patient.marker == 0:
        return value
    letter, x0 = ("L", 0.94) if patient.marker == 1 else ("R", 0.03)
    rows = np.array([[int(dot) for dot in row] for row in LETTERS[letter]], dtype=np.float32)
    size = value.shape[0]
    at = (np.arange(size) + 0.5) / size
    col, row = np.floor((at - x0) / CELL), np.floor((at - 0.03) / CELL)
    cols = np.flatnonzero((col >= 0) & (col < rows.shape[1]))
    lines = np.flatnonzero((row >= 0) & (row < rows.shape[0]))
    glyph = rows[np.ix_(row[lines].astype(int), col[cols].astype(int))]
    out = value.copy()
    out[np.ix_(lines, cols)] = np.maximum(out[np.ix_(lines, cols)], np.float32(0.9) * glyph)
    return out
