"""Where a patient's structures lie: the curves that both picture and landmark boxes follow."""

from functools import cache

import numpy as np
from jaxtyping import Float

from .patient import Patient

Array = Float[np.ndarray, "..."]
Box = tuple[float, float, float, float]
"""x1 y1 x2 y2, fractions of the picture."""

APEX_AT = 0.46
"""Where the lung reaches highest, as a fraction of its half width from the midline."""
DOME_AT = 0.44
"""Where the diaphragm reaches highest, likewise."""

ZONE_LEVELS = {
    "apical": (0.0, 0.17),
    "upper": (0.05, 0.37),
    "mid": (0.37, 0.66),
    "lower": (0.66, 1.05),
}
"""Upper and lower edge of each lung zone, in `Patient.level`."""

ARCH, CARINA, HILA, HEART_TOP, ATRIUM = 0.285, 0.40, 0.50, 0.46, 0.66
"""Heights of the aortic arch, carina, hila, top of the heart and right atrium."""


def midline(patient: Patient, y: Array) -> Array:
    """The x of the midline; a body that leans has a slanting one."""
    return patient.center + patient.lean * (y - 0.5)


def to_picture(patient: Patient, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Points (s, y) of the body as (x, y) of the picture."""
    return np.stack([points[:, 0] + midline(patient, points[:, 1]), points[:, 1]], axis=1)


Knots = tuple[tuple[int | float, int | float], ...]


@cache
def _pieces(knots: Knots) -> tuple[np.ndarray, np.ndarray]:
    """Where the cubic pieces of a curve begin, and their four coefficients."""
    where, value = np.array(knots, dtype=np.float64).T
    step, rise = np.diff(where), np.diff(value)
    slope = np.zeros_like(value)
    slope[1:-1] = (value[2:] - value[:-2]) / (where[2:] - where[:-2])
    start, end = slope[:-1] * step, slope[1:] * step
    third, second = start + end - 2 * rise, 3 * rise - 2 * start - end
    return where, np.stack([value[:-1], start / step, second / step**2, third / step**3])


def picture_x(patient: Patient, s: float, y: float) -> float:
    """The x of one point (s, y) of the body."""
    return patient.center + patient.lean * (y - 0.5) + s


def through(knots: Knots, at: Array) -> Array:
    """A smooth curve through (position, value) knots, constant beyond the ends."""
    where, pieces = _pieces(knots)
    at = np.minimum(np.maximum(at, where[0]), where[-1])
    i = where[1:-1].searchsorted(at, side="right")
    c0, c1, c2, c3 = pieces[:, i]
    t = at - where[i]
    return c0 + t * (c1 + t * (c2 + t * c3))


def lung_height(patient: Patient) -> float:
    """From the apices to where the chest is widest."""
    return 0.74 * (patient.level(1.0) - patient.apex)


def lung_edge(patient: Patient, y: Array) -> Array:
    """The lateral edge of the lungs at a height, as a fraction of their half width."""
    up = np.clip((patient.apex + lung_height(patient) - y) / lung_height(patient), 0.0, 1.0)
    return APEX_AT + (1.0 - APEX_AT) * np.sqrt(1.0 - up * up)


def diaphragm(patient: Patient, side: int, a: Array) -> Array:
    """The height of a hemidiaphragm; `a` is the distance from the midline in half widths."""
    dome = patient.dome_left if side > 0 else patient.dome_right
    lateral = np.clip((a - DOME_AT) / (1.02 - DOME_AT), 0.0, 1.0)
    medial = np.clip((DOME_AT - a) / DOME_AT, 0.0, 1.0)
    fall = patient.angle_depth * (1.0 - np.sqrt(1.0 - lateral * lateral))
    return dome + fall + 0.03 * medial * medial


def heart_widths(patient: Patient, ratio: float) -> tuple[float, float]:
    """How far the heart reaches right and left of the midline at a cardiothoracic ratio."""
    whole = ratio * (patient.width_right + patient.width_left)
    return whole * patient.heart_right_share, whole * (1.0 - patient.heart_right_share)


HEART_RIGHT = ((0, 0.1), (0.1, 0.45), (0.25, 0.76), (0.5, 1), (0.7, 0.97), (1, 0.7))
HEART_LEFT = (
    (0, 0.1),
    (0.08, 0.33),
    (0.25, 0.55),
    (0.45, 0.8),
    (0.65, 0.97),
    (0.75, 1),
    (0.86, 0.96),
    (1, 0.72),
)


def heart_edges(patient: Patient, y: Array, ratio: float) -> tuple[Array, Array]:
    """The s of the right and of the left border of the heart at a height; equal above its top."""
    right, left = heart_widths(patient, ratio)
    top, bottom = patient.level(HEART_TOP), patient.level(1.14)
    t = (y - top) / (bottom - top)
    on_right, on_left = through(HEART_RIGHT, t), through(HEART_LEFT, t)
    inside = (t >= 0) & (t <= 1.0)
    return np.where(inside, -right * on_right, 0.0), np.where(inside, left * on_left, 0.0)


GREAT_RIGHT = ((-0.2, 0.075), (0, 0.05), (0.12, 0.057), (0.35, 0.064), (0.55, 0.062), (1.2, 0.05))
GREAT_LEFT = (
    (-0.2, 0.075),
    (0, 0.045),
    (0.17, 0.053),
    (0.4, 0.06),
    (0.48, 0.076),
    (0.7, 0.06),
    (1.2, 0.05),
)
KNOB = ((ARCH - 0.11, 0), (ARCH - 0.05, 0.75), (ARCH, 1), (ARCH + 0.05, 0.75), (ARCH + 0.11, 0))
WIDE = ((-0.05, 0), (0.06, 0.75), (0.25, 1), (0.42, 0.85), (0.6, 0))


def mediastinum_edges(patient: Patient, y: Array, widen: float = 0.0) -> tuple[Array, Array]:
    """The s of the right and of the left border of the great vessels; `widen` adds to each side."""
    t = (y - patient.apex) / (patient.level(1.0) - patient.apex)
    turn = 0.8 * patient.rotation
    belly = widen * through(WIDE, t) if widen else 0.0
    right = patient.mediastinum * through(GREAT_RIGHT, t)
    left = patient.mediastinum * (through(GREAT_LEFT, t) + 0.022 * patient.knob * through(KNOB, t))
    return turn - right - belly, turn + left + belly


def trachea_center(patient: Patient, y: Array) -> Array:
    """The s of the middle of the trachea, which the aortic arch pushes slightly to the right."""
    t = np.clip((y - patient.apex) / (patient.level(CARINA) - patient.apex), 0.0, 1.0)
    return 0.5 * patient.rotation - 0.008 * t * t


TRACHEA_HALF = 0.021


def clavicle(patient: Patient, side: int) -> Float[np.ndarray, "n 2"]:
    """The middle line of a clavicle in (s, y), from the sternum to the shoulder."""
    t = np.linspace(0.0, 1.0, 13)
    start, end = 0.036, 0.4 + 0.3 * (patient.width(side) - 0.36)
    s = side * (start + (end - start) * t) + 1.6 * patient.rotation * (1 - t)
    sway = 0.016 * np.sin(2 * np.pi * (t - 0.08))
    y = patient.apex + 0.072 + patient.shoulder * t - patient.clavicle_rise * t - sway
    return np.stack([s, y], axis=1)


CLAVICLE_HALF = 0.0125


def hilum(patient: Patient, side: int) -> tuple[float, float]:
    """The middle of a hilum in (s, y); the left one lies higher."""
    return side * 0.112 + 0.8 * patient.rotation, patient.level(HILA) - (0.016 if side > 0 else 0.0)


def free_lung(patient: Patient, side: int, y: Array) -> tuple[Array, Array]:
    """|s| of the mediastinal or cardiac border and of the chest wall at heights."""
    great = mediastinum_edges(patient, y)[side > 0]
    heart = heart_edges(patient, y, patient.heart_ratio)[side > 0]
    inner = np.maximum(side * great, side * heart)
    return inner, lung_edge(patient, y) * patient.width(side)


def lung_span(patient: Patient, side: int, y: float) -> tuple[float, float]:
    """The same at one height."""
    inner, outer = free_lung(patient, side, np.array([y]))
    return float(inner[0]), float(outer[0])
