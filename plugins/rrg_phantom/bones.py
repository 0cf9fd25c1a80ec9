"""The bones of a frontal view: ribs, clavicles, scapulae, spine."""

import numpy as np

from .anatomy import CLAVICLE_HALF, Array, clavicle, lung_edge, to_picture
from .canvas import Canvas, Pixels, clip01, distance, edge, stroke
from .patient import Patient

RIB_AMPLITUDE, ANTERIOR_AMPLITUDE, CLAVICLE_AMPLITUDE = 0.085, 0.05, 0.12
POSTERIOR_HALF, ANTERIOR_HALF = 0.165, 0.2
"""Half the height of a rib, as a fraction of the distance between two."""


def rib_step(patient: Patient) -> float:
    """The distance from one rib to the next."""
    return patient.rib_spacing * (patient.level(1.0) - patient.apex)


def posterior_height(patient: Patient, rib: int, out: Array) -> Array:
    """The y of the middle of a posterior rib; `out` is 0 at the midline, 1 at the edge of the lung.

    Ribs count from 0, the first that crosses the apex.
    """
    near = out * out
    fall = patient.rib_slope * (0.045 * near + 0.055 * near**4)
    return patient.apex + 0.012 + rib * rib_step(patient) + fall


def _across(canvas: Canvas, patient: Patient) -> tuple[Pixels, Pixels]:
    """How far out a pixel lies (1 is the lung's own edge there), and that squared."""
    out = canvas.a / lung_edge(patient, canvas.y).astype(np.float32)
    return out, out * out


def posterior_phase(canvas: Canvas, patient: Patient) -> Pixels:
    """The number of the posterior rib at a pixel; whole at the middle of a rib."""
    _, near = _across(canvas, patient)
    fourth = near * near
    slope = patient.rib_slope
    fall = np.float32(0.045 * slope) * near + np.float32(0.055 * slope) * (fourth * fourth)
    step = rib_step(patient)
    return (canvas.y - np.float32(patient.apex + 0.012) - fall) * np.float32(1.0 / step)


def rib_profile(canvas: Canvas, patient: Patient, phase: Pixels, half: float) -> Pixels:
    """A rib seen across: a faint body between two brighter margins, the lower one the brighter."""
    away = phase - np.round(phase)
    soft = np.float32(max(0.04, 0.5 / (canvas.size * rib_step(patient))))
    body = clip01((np.float32(half) - np.abs(away)) * (0.5 / soft) + np.float32(0.5))
    low = clip01(1.0 - np.abs(away - np.float32(half * 0.75)) * (0.5 / soft))
    high = clip01(1.0 - np.abs(away + np.float32(half * 0.8)) * (0.5 / soft))
    return np.float32(0.6) * body + np.float32(0.45) * low + np.float32(0.2) * high


def posterior_share(canvas: Canvas, patient: Patient, phase: Pixels) -> Pixels:
    """Where posterior ribs are: outside the spine, inside the chest wall, not below the tenth."""
    out, _ = _across(canvas, patient)
    wall = clip01((np.float32(1.045) - out) * np.float32(40.0))
    root = clip01((canvas.a - np.float32(0.1)) * np.float32(12.0))
    return wall * root * ((phase > -0.5) & (phase < 10.5)) * (0.75 + 0.35 * np.minimum(out, 1.0))


def draw_ribs(canvas: Canvas, patient: Patient) -> None:
    """Posterior ribs nearly level, anterior ones fainter and falling towards the midline."""
    phase = posterior_phase(canvas, patient)
    share = posterior_share(canvas, patient, phase)
    amplitude = np.float32(RIB_AMPLITUDE * patient.bone)
    canvas.bone[:] += amplitude * rib_profile(canvas, patient, phase, POSTERIOR_HALF) * share

    out, _ = _across(canvas, patient)
    d = np.maximum(np.float32(1.02) - out, 0.0)
    fall = (
        np.float32(0.1 * patient.rib_slope) + np.float32(0.06) * np.sqrt(d) + np.float32(0.15) * d
    )
    step = np.float32(1.0 / rib_step(patient))
    anterior = (canvas.y - np.float32(patient.apex + 0.012) - fall) * step
    share = clip01((np.float32(1.045) - out) * np.float32(40.0))
    share *= clip01((canvas.a - np.float32(0.3)) * np.float32(6.0))
    share *= (anterior > -0.4) & (anterior < 6.5)
    amplitude = np.float32(ANTERIOR_AMPLITUDE * patient.bone)
    canvas.bone[:] += amplitude * rib_profile(canvas, patient, anterior, ANTERIOR_HALF) * share


def clavicle_shadow(canvas: Canvas, points: np.ndarray, half: float = CLAVICLE_HALF) -> Pixels:
    """A long bone: brighter margins around a fainter marrow."""
    away = distance(canvas, points, half + 0.01)
    shaft = edge(canvas, np.float32(half) - away, 0.003)
    marrow = clip01(1.0 - away * np.float32(1.0 / half))
    return shaft * (1.0 - np.float32(0.45) * marrow)


def draw_clavicles(canvas: Canvas, patient: Patient) -> None:
    """Two S-shaped bones across the apices; rotation moves their inner ends to one side."""
    for side in (-1, 1):
        points = to_picture(patient, clavicle(patient, side))
        x = points[:, 0]
        low, high = points[:, 1].min(), points[:, 1].max()
        window = canvas.window((x.min() - 0.03, low - 0.03, x.max() + 0.03, high + 0.03))
        shadow = clavicle_shadow(window, points)
        window.bone[:] += np.float32(CLAVICLE_AMPLITUDE * patient.bone) * shadow


def draw_scapulae(canvas: Canvas, patient: Patient) -> None:
    """The blade along the lateral chest wall, the joint and the head of the humerus."""
    for side in (-1, 1):
        width = patient.width(side)
        top = patient.apex + 0.075 + patient.shoulder
        joint = side * (width + 0.075)
        blade = np.array(
            [
                (joint - side * 0.015, top + 0.01),
                (side * (width - 0.02), top + 0.05),
                (side * (width - 0.055), top + 0.13),
                (side * (width - 0.01), top + 0.26),
                (side * (width + 0.035), top + 0.12),
                (joint - side * 0.01, top + 0.05),
            ]
        )
        points = to_picture(patient, blade)
        x = points[:, 0]
        window = canvas.window((x.min() - 0.12, top - 0.06, x.max() + 0.12, top + 0.32))
        if not window.s.size:
            continue
        rim = stroke(window, points[1:], 0.005)
        t = clip01((window.y - np.float32(top)) * np.float32(1 / 0.27))
        outer = side * window.s - np.float32(width + 0.05) + np.float32(0.07) * t
        inner = side * window.s - np.float32(width - 0.055) - np.float32(0.05) * t * t
        plate = edge(window, np.minimum(-outer, inner), 0.012) * (t > 0) * (1.0 - t * t * t)
        center = to_picture(patient, np.array([(joint + side * 0.035, top + 0.03)]))[0]
        head = (window.x - np.float32(center[0])) ** 2 + (window.y - np.float32(center[1])) ** 2
        head = edge(window, np.float32(0.042) - np.sqrt(head), 0.006)
        shadow = np.float32(0.05) * rim + np.float32(0.035) * plate + np.float32(0.12) * head
        window.bone[:] += np.float32(patient.bone) * shadow


def draw_spine(canvas: Canvas, patient: Patient) -> None:
    """A column of vertebrae with darker discs, better seen above the heart than behind it."""
    half = 0.037
    off = np.abs(canvas.s)
    column = edge(canvas, np.float32(half) - off, 0.007)
    step = 0.056 * (patient.level(1.0) - patient.apex) / 0.6
    level = canvas.y * np.float32(1.0 / step) + np.float32(0.3)
    away = np.abs(level - np.round(level))
    disc = clip01((np.float32(0.16) - away) * np.float32(8.0))
    pedicle = clip01(1.0 - np.abs(off - np.float32(0.024)) * np.float32(110.0))
    pedicle *= clip01(1.0 - np.abs(away - np.float32(0.33)) * np.float32(7.0))
    process = clip01(1.0 - off * np.float32(120.0)) * clip01((away - np.float32(0.3)) * 8.0)
    shadow = 0.6 + 0.3 * pedicle + 0.2 * process - 0.3 * disc
    behind = 1.0 - np.float32(0.5) * np.maximum(canvas.heart, canvas.belly)
    canvas.bone[:] += np.float32(0.1 * patient.bone) * column * shadow * behind


def draw_bones(canvas: Canvas, patient: Patient) -> None:
    """Everything of bone, front and back together as rays see it."""
    draw_ribs(canvas, patient)
    draw_scapulae(canvas, patient)
    draw_clavicles(canvas, patient)
    draw_spine(canvas, patient)
