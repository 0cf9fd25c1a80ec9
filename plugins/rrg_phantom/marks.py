"""What the findings share: a place that may be painted, sides, zones, strengths."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .anatomy import ZONE_LEVELS, Box, lung_span, to_picture
from .canvas import Canvas
from .case import Finding, Zone
from .patient import Patient


@dataclass(frozen=True, slots=True)
class Patch:
    """A box of the picture and the strokes inside it: `paint` is given that window and no more."""

    box: Box
    paint: Callable[[Canvas], None]


def strength(finding: Finding) -> float:
    """An uncertain finding is a faint one."""
    return 1.0 if finding.certain else 0.62


def sides(finding: Finding) -> tuple[int, ...]:
    """-1 for the patient's right, +1 for the left."""
    return {"right": (-1,), "left": (1,), "bilateral": (-1, 1)}[finding.side or "bilateral"]


def body_box(patient: Patient, s1: float, y1: float, s2: float, y2: float) -> Box:
    """The box around a part of the body given in (s, y), wherever the midline leans."""
    corners = np.array([(s1, y1), (s1, y2), (s2, y1), (s2, y2)])
    x = to_picture(patient, corners)[:, 0]
    return float(x.min()), min(y1, y2), float(x.max()), max(y1, y2)


def points_box(points: np.ndarray, margin: float) -> Box:
    """The box around points (x, y) of the picture."""
    (x1, y1), (x2, y2) = points.min(axis=0) - margin, points.max(axis=0) + margin
    return float(x1), float(y1), float(x2), float(y2)


def place(
    patient: Patient, side: int, zone: Zone, radius: float, rng: np.random.Generator
) -> tuple[float, float]:
    """A centre (s, y) in a zone of the free lung, with lung all around it where there is room."""
    top, bottom = (patient.level(t) for t in ZONE_LEVELS[zone])
    if zone == "lower":
        bottom = patient.level(0.98)
    middle, spare = (top + bottom) / 2, max((bottom - top) / 2 - radius, 0.0)
    y = middle + spare * float(rng.uniform(-1.0, 1.0))
    inner, outer = lung_span(patient, side, y)
    middle, spare = (inner + outer) / 2, max((outer - inner) / 2 - 1.1 * radius, 0.0)
    return side * (middle + spare * float(rng.uniform(-1.0, 1.0))), y
