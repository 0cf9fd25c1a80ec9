"""Metal and plastic: pacemaker, lines, tubes, wires."""

import numpy as np
from jaxtyping import Float

from .anatomy import CARINA, clavicle, diaphragm, lung_span, picture_x, to_picture, trachea_center
from .canvas import Canvas, edge, smooth, stroke
from .case import Finding
from .marks import Patch, points_box, sides
from .patient import Patient

Points = Float[np.ndarray, "n 2"]
LINE, WIRE, BRIGHT = 0.0105, 0.0065, 0.32


def device(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """One device; all of them are brighter than bone and no two have the same course."""
    return {
        "pacemaker": _pacemaker,
        "central venous catheter": _catheter,
        "endotracheal tube": _endotracheal,
        "enteric tube": _enteric,
        "sternal wires": _wires,
        "chest tube": _chest_tube,
    }[finding.kind](patient, finding, rng)


def _line(patient: Patient, points: Points, half: float, bright: float = BRIGHT) -> Patch:
    """A line and the box around it."""
    at = to_picture(patient, points)

    def paint(canvas: Canvas) -> None:
        canvas.dense[:] += np.float32(bright) * stroke(canvas, at, half)

    return Patch(points_box(at, half + 0.008), paint)


def _atrium(patient: Patient) -> tuple[float, float]:
    """A point in the right atrium."""
    return -0.05 + 0.8 * patient.rotation, patient.level(0.74)


def _pacemaker(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    (side,) = sides(finding)
    s = side * (patient.width(side) * float(rng.uniform(0.66, 0.74)))
    y = patient.level(float(rng.uniform(0.17, 0.22)))
    x = picture_x(patient, s, y)
    half, tall, corner = 0.058, 0.05, 0.024

    def can(canvas: Canvas) -> None:
        dx = np.maximum(np.abs(canvas.x - np.float32(x)) - np.float32(half - corner), 0.0)
        dy = np.maximum(np.abs(canvas.y - np.float32(y)) - np.float32(tall - corner), 0.0)
        inside = np.float32(corner) - np.sqrt(dx * dx + dy * dy)
        shape = edge(canvas, inside, 0.003)
        inner = edge(canvas, inside - np.float32(0.012), 0.003)
        canvas.dense[:] += shape * np.float32(0.52) - inner * np.float32(0.07)

    vein = [
        (s - side * 0.03, y - 0.035),
        (side * 0.14, patient.level(0.1)),
        (side * 0.05, patient.level(0.16)),
        (-0.045 + 0.8 * patient.rotation, patient.level(0.3)),
        (-0.05 + 0.8 * patient.rotation, patient.level(0.55)),
    ]
    atrium = _atrium(patient)
    apex = (0.62 * patient.heart_ratio * patient.width_left, patient.level(0.95))
    leads = [
        smooth([*vein, (atrium[0], atrium[1] + 0.02), (atrium[0] - 0.02, atrium[1] - 0.03)]),
        smooth([*vein, (-0.03, patient.level(0.82)), (0.04, patient.level(0.94)), apex]),
    ]
    box = (x - half - 0.006, y - tall - 0.006, x + half + 0.006, y + tall + 0.006)
    return (Patch(box, can), *(_line(patient, lead, 0.0085, 0.2) for lead in leads))


def _catheter(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    (side,) = sides(finding)
    turn = 0.8 * patient.rotation
    tip = (-0.042 + turn, patient.level(float(rng.uniform(0.55, 0.66))))
    if rng.random() < 0.5:
        start = [(side * 0.1, -0.02), (side * 0.085, patient.level(0.02))]
    else:
        shaft = clavicle(patient, side)
        s, y = shaft[9]
        start = [(s, y + 0.05), (shaft[4, 0], shaft[4, 1] + 0.012)]
    path = [*start, (side * 0.045, patient.level(0.17)), (-0.042 + turn, patient.level(0.3)), tip]
    return (_line(patient, smooth(path), LINE),)


def _endotracheal(
    patient: Patient, finding: Finding, rng: np.random.Generator
) -> tuple[Patch, ...]:
    end = patient.level(CARINA) - float(rng.uniform(0.05, 0.08))
    y = np.linspace(-0.02, end, 12)
    at = np.stack([trachea_center(patient, y), y], axis=1)
    middle = to_picture(patient, at)
    half = 0.017

    def paint(canvas: Canvas) -> None:
        outer = stroke(canvas, middle, half)
        inner = stroke(canvas, middle, half - 0.0095)
        canvas.dense[:] += np.float32(0.27) * (outer - np.float32(0.75) * inner)

    return (Patch(points_box(middle, half + 0.008), paint),)


def _enteric(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    floor = float(diaphragm(patient, 1, np.array([0.3]))[0])
    turn = 0.8 * patient.rotation
    path = [
        (0.012, -0.02),
        (0.016 + turn, patient.level(0.3)),
        (0.024 + turn, patient.level(0.8)),
        (0.04, floor + 0.02),
        (0.1 + float(rng.uniform(0.0, 0.04)), floor + 0.05),
        (0.17 + float(rng.uniform(0.0, 0.03)), min(floor + 0.12, 0.97)),
    ]
    return (_line(patient, smooth(path), LINE),)


def _wires(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    patches = []
    for k in range(6):
        y = patient.level(0.2 + 0.135 * k) + float(rng.uniform(-0.004, 0.004))
        s = 0.6 * patient.rotation + float(rng.uniform(-0.005, 0.005))
        wide, tall = 0.031, 0.017
        t = np.linspace(0.0, 2 * np.pi, 13)
        ring = np.stack(
            [s + wide * np.cos(t), y + tall * np.sin(t) + 0.2 * wide * np.cos(t)], axis=1
        )
        patches.append(_line(patient, ring, WIRE, 0.42))
    return tuple(patches)


def _chest_tube(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    (side,) = sides(finding)
    entry = patient.level(float(rng.uniform(0.74, 0.86)))
    wall = patient.width(side)
    tip = patient.level(float(rng.uniform(0.14, 0.24)))
    inner, outer = lung_span(patient, side, tip)
    path = [
        (side * (wall + 0.06), entry + 0.03),
        (side * (wall - 0.03), entry),
        (side * (wall - 0.075), patient.level(0.5)),
        (side * (inner + 0.45 * (outer - inner)), tip),
    ]
    points = to_picture(patient, smooth(path))

    def paint(canvas: Canvas) -> None:
        tube = stroke(canvas, points, 0.019)
        stripe = stroke(canvas, points, 0.0075)
        canvas.dense[:] += np.float32(0.13) * tube + np.float32(0.2) * stripe

    return (Patch(points_box(points, 0.028), paint),)
