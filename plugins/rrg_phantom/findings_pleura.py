"""Air, water, scar and chalk in the pleural space."""

import numpy as np

from .anatomy import diaphragm, lung_edge, to_picture
from .canvas import Canvas, Pixels, clip01, edge, mottle, ramp, stroke
from .case import Finding
from .marks import Patch, body_box, points_box, sides, strength
from .patient import Patient


def _corner(patient: Patient, side: int) -> float:
    """The bottom of the costophrenic angle."""
    return float(diaphragm(patient, side, np.array([1.0]))[0])


def _inwards(canvas: Canvas, patient: Patient, side: int) -> Pixels:
    """The distance from the chest wall into the lung, measured level."""
    wall = lung_edge(patient, canvas.y).astype(np.float32) * np.float32(patient.width(side))
    return wall - np.float32(side) * canvas.s


def pneumothorax(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """A fine white line, and beyond it dark space without vessels."""
    (side,) = sides(finding)
    large = finding.severity == "large"
    width = patient.width(side)
    bottom = patient.level(0.8 if large else 0.42)
    gap, cap = (0.105, 0.13) if large else (0.055, 0.085)
    gap *= float(rng.uniform(0.9, 1.1))
    box = body_box(patient, side * 0.03, patient.apex - 0.01, side * (width + 0.01), bottom)
    force = strength(finding)

    def paint(canvas: Canvas) -> None:
        # The collapsed lung keeps the outline, moved inwards and down, less so at the bottom.
        rest = ramp(
            (np.float32(bottom) - canvas.y) * np.float32(1.0 / (0.35 * (bottom - patient.apex)))
        )
        moved = np.maximum(canvas.y - np.float32(cap), np.float32(patient.apex))
        wall = lung_edge(patient, moved).astype(np.float32) * np.float32(width)
        low = (canvas.y - np.float32(patient.apex + cap)) * np.float32(1.2)
        edge_at = np.minimum(wall, lung_edge(patient, canvas.y) * np.float32(width)) - gap * rest
        inside = np.minimum(edge_at.astype(np.float32) - np.float32(side) * canvas.s, low)
        free = edge(canvas, -inside, 0.003) * (canvas.lung > 0.02)
        fade = ramp(_inwards(canvas, patient, side) * np.float32(30.0))
        line = clip01(1.0 - np.abs(inside) * np.float32(1 / 0.0125))
        line *= (canvas.lung > 0.02) * ramp(rest * 3.0)
        canvas.vessels[:] *= 1.0 - free * np.float32(force)
        canvas.dense[:] -= np.float32(0.085 * force) * free * fade * canvas.lung
        canvas.dense[:] += np.float32(0.2 * force) * line

    return (Patch(box, paint),)


def effusion(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """Water that hides the diaphragm and climbs along the chest wall."""
    rise = {"small": 0.075, "moderate": 0.17, "large": 0.32}[finding.severity]
    rise *= 0.75 + 0.25 * strength(finding)
    return tuple(_water(patient, finding, side, rise) for side in sides(finding))


def _water(patient: Patient, finding: Finding, side: int, rise: float) -> Patch:
    width = patient.width(side)
    corner = _corner(patient, side)
    climb = 0.045 + 0.25 * rise
    top = corner - rise - climb
    box = body_box(patient, side * 0.05, top, side * (width + 0.012), corner + 0.05)
    force = strength(finding)

    def paint(canvas: Canvas) -> None:
        out = canvas.a
        level = np.float32(corner - rise) - np.float32(climb) * ramp(
            (out - np.float32(0.62)) * np.float32(2.6)
        )
        level = level + np.float32(0.05) * ramp((np.float32(0.62) - out) * np.float32(2.2))
        under = edge(canvas, canvas.y - level, 0.006) * ramp(
            np.float32(side) * canvas.s * 20.0 - 1.0
        )
        under *= ramp((np.float32(corner + 0.05) - canvas.y) * np.float32(16.0))
        canvas.fill(np.float32(0.96 * force) * under)
        bare = (1.0 - canvas.belly) * (1.0 - canvas.heart) * (1.0 - canvas.mediastinum)
        canvas.dense[:] += np.float32(0.08 * force) * under * canvas.lung * bare
        canvas.bone[:] *= 1.0 - np.float32(0.45 * force) * under * (1.0 - canvas.belly)

    return Patch(box, paint)


def other(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """A thick pleura along the chest wall, or a calcified plaque seen from the front."""
    draw = _thickening if finding.kind == "thickening" else _plaque
    (side,) = sides(finding)
    return (draw(patient, finding, side, rng),)


def _thickening(patient: Patient, finding: Finding, side: int, rng: np.random.Generator) -> Patch:
    top, bottom = patient.level(0.22), patient.level(0.8)
    thick = float(rng.uniform(0.036, 0.044))
    y = np.linspace(top, bottom, 20)
    wall = lung_edge(patient, y) * patient.width(side)
    box = body_box(
        patient, side * (wall.min() - thick - 0.02), top, side * (wall.max() + 0.02), bottom
    )
    seed = int(rng.integers(2**62))
    force = strength(finding)

    def paint(canvas: Canvas) -> None:
        wave = mottle(canvas, 0.07, np.random.default_rng(seed)) - np.float32(0.5)
        depth = np.float32(thick) * (0.9 + 0.5 * wave)
        t = (canvas.y - np.float32(top)) * np.float32(1.0 / (bottom - top))
        depth = depth * ramp(t * 6.0) * ramp((1.0 - t) * 6.0)
        inwards = _inwards(canvas, patient, side)
        rind = edge(canvas, depth - inwards, 0.003) * edge(
            canvas, inwards + np.float32(0.006), 0.004
        )
        rind *= (t > 0) & (t < 1) & (depth > 0.004)
        canvas.fill(np.float32(0.95 * force) * rind)
        canvas.dense[:] += np.float32(0.12 * force) * rind

    return Patch(box, paint)


def _plaque(patient: Patient, finding: Finding, side: int, rng: np.random.Generator) -> Patch:
    y0 = patient.level(float(rng.uniform(0.6, 0.8)))
    wall = float(lung_edge(patient, np.array([y0]))[0]) * patient.width(side)
    s0 = side * (wall - float(rng.uniform(0.085, 0.11)))
    turn = np.linspace(0.0, 2 * np.pi, 10)[:-1]
    radius = 0.036 + 0.022 * rng.random(len(turn))
    ring = np.stack([s0 + 1.35 * radius * np.cos(turn), y0 + radius * np.sin(turn)], axis=1)
    ring = to_picture(patient, np.concatenate([ring, ring[:1]]))
    box = points_box(ring, 0.014)
    seed = int(rng.integers(2**62))
    force = strength(finding)
    center = to_picture(patient, np.array([(s0, y0)]))[0]

    def paint(canvas: Canvas) -> None:
        rim = stroke(canvas, ring, 0.009)
        q = ((canvas.x - np.float32(center[0])) * np.float32(1 / 0.055)) ** 2
        q = q + ((canvas.y - np.float32(center[1])) * np.float32(1 / 0.04)) ** 2
        flecks = ramp((mottle(canvas, 0.016, np.random.default_rng(seed)) - np.float32(0.45)) * 4.0)
        sheet = ramp(2.0 * (1.0 - q)) * flecks
        canvas.dense[:] += np.float32(force) * np.maximum(np.float32(0.26) * rim, 0.2 * sheet)

    return Patch(box, paint)
