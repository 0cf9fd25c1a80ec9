"""What fills the air of the lungs, and what lies in them."""

import numpy as np

from .anatomy import ZONE_LEVELS, hilum, lung_span, picture_x, to_picture
from .canvas import Canvas, bump, clip01, edge, ellipse, mottle, ramp, stroke
from .case import Finding
from .marks import Patch, body_box, place, points_box, sides, strength
from .patient import Patient


def lesion(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """A round shadow with a sharp edge: a nodule below, a lobed mass above three centimetres."""
    mass = finding.kind == "mass"
    radius = float(rng.uniform(0.07, 0.088) if mass else rng.uniform(0.044, 0.05))
    (side,) = sides(finding)
    x, y = to_picture(patient, np.array([place(patient, side, finding.zone, radius, rng)]))[0]
    lobes = [(0.0, 0.0, 0.86)]
    if mass:
        turn = float(rng.uniform(0, 2 * np.pi))
        lobes += [(0.42 * np.cos(turn + k), 0.42 * np.sin(turn + k), 0.56) for k in (0.0, 1.9, 3.9)]

    def paint(canvas: Canvas) -> None:
        whole = np.zeros_like(canvas.s)
        for dx, dy, share in lobes:
            r = radius * share
            q = ellipse(canvas, x + dx * radius, y + dy * radius, r, r)
            ball = edge(canvas, (1.0 - np.sqrt(q)) * np.float32(r), 0.004)
            thick = ball * (0.7 + 0.3 * np.sqrt(np.maximum(1.0 - q, 0.0)))
            np.maximum(whole, thick, out=whole)
        canvas.fill(np.float32(0.85) * whole)
        canvas.dense[:] += np.float32(0.13) * whole

    return (Patch((x - radius, y - radius, x + radius, y + radius), paint),)


def opacity(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """A hazy veil through which vessels are still seen."""
    large = finding.severity == "large"
    rx, ry = (0.15, 0.125) if large else (0.105, 0.085)
    (side,) = sides(finding)
    s, y = place(patient, side, finding.zone, rx, rng)
    x = picture_x(patient, s, y)
    level = (0.76 if large else 0.68) * strength(finding)

    def paint(canvas: Canvas) -> None:
        q = ellipse(canvas, x, y, rx, ry)
        veil = ramp((1.0 - q) * np.float32(1.25))
        grain = mottle(canvas, 0.06, rng_for_paint())
        canvas.fill(np.float32(level) * veil * (0.85 + 0.3 * (grain - 0.5)))

    seed = int(rng.integers(2**62))

    def rng_for_paint() -> np.random.Generator:
        return np.random.default_rng(seed)

    return (Patch((x - rx, y - ry, x + rx, y + ry), paint),)


def consolidation(
    patient: Patient, finding: Finding, rng: np.random.Generator
) -> tuple[Patch, ...]:
    """A dense, even part of a lobe with one straight edge, and dark bronchi in it."""
    (side,) = sides(finding)
    top, bottom = (patient.level(t) for t in ZONE_LEVELS[finding.zone])
    if finding.zone == "upper":
        top, bottom = patient.level(0.1), patient.level(0.4)
    elif finding.zone == "lower":
        bottom = patient.level(1.07)
    _, outer = lung_span(patient, side, (top + bottom) / 2)
    # Inwards it reaches behind heart and vessels: their border is lost in it.
    inner, outer = 0.04, outer + 0.02
    tilt = float(rng.uniform(0.02, 0.09)) * (1 if finding.zone == "upper" else -1)
    box = body_box(patient, side * inner, top, side * outer, bottom)
    level = 0.9 * strength(finding)
    s0, y0 = hilum(patient, side)
    width = outer - inner
    bronchi = []
    free, _ = lung_span(patient, side, (top + bottom) / 2)
    root = max(free, abs(s0)) - 0.01
    for k in range(4):
        # Bronchi fan out from the hilum, bent, forking no further than can be seen.
        end_s = root + (outer - root) * float(rng.uniform(0.6, 0.8))
        end_y = top + (bottom - top) * (0.14 + 0.24 * k)
        t = np.linspace(0.12, 1.0, 8)
        y = y0 + (end_y - y0) * (t + float(rng.uniform(0.1, 0.35)) * t * (1.0 - t))
        s = root + (end_s - root) * t * (0.7 + 0.3 * t)
        bronchi.append(np.stack([side * s, y], axis=1))

    def paint(canvas: Canvas) -> None:
        off = np.float32(side) * canvas.s
        lean = np.float32(tilt) * (off - np.float32(inner))
        if finding.zone == "upper":
            sharp = np.float32(bottom - max(tilt, 0) * width) + lean - canvas.y
            soft = canvas.y - np.float32(top)
        else:
            sharp = canvas.y - np.float32(top - min(tilt, 0) * width) - lean
            soft = np.float32(bottom) - canvas.y
        lobe = edge(canvas, sharp, 0.003) * ramp(soft * np.float32(14.0))
        lobe *= ramp((np.float32(outer) - off) * np.float32(20.0))
        lobe *= ramp((off - np.float32(inner)) * np.float32(14.0))
        air = np.zeros_like(lobe)
        for path in bronchi:
            np.maximum(air, stroke(canvas, to_picture(patient, path), 0.0065), out=air)
        canvas.fill(np.float32(level) * lobe * (1.0 - np.float32(0.42) * air))
        canvas.dense[:] += np.float32(0.03 * level) * lobe * (1.0 - canvas.heart)

    return (Patch(box, paint),)


def pneumonia(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """Many small patches without edges that run together, aerated lung between them."""
    (side,) = sides(finding)
    reach = 0.13
    s, y = place(patient, side, finding.zone, reach, rng)
    x = picture_x(patient, s, y)
    level = 0.92 * strength(finding)
    patches = []
    turn = float(rng.uniform(0, 2 * np.pi))
    for k in range(13):
        r = float(rng.uniform(0.03, 0.052))
        # Turned by the golden angle, they fill the disc without touching too often.
        away = (reach - r) * float(np.sqrt((k + 0.5) / 13)) * float(rng.uniform(0.9, 1.0))
        angle = turn + 2.4 * k + float(rng.uniform(-0.2, 0.2))
        patches.append((x + away * np.cos(angle), y + away * np.sin(angle), r))
    seed = int(rng.integers(2**62))

    def paint(canvas: Canvas) -> None:
        rough = np.random.default_rng(seed)
        whole = np.zeros_like(canvas.s)
        for px, py, r in patches:
            whole += bump(ellipse(canvas, px, py, r, r))
        fine, coarse = mottle(canvas, 0.018, rough), mottle(canvas, 0.04, rough)
        haze = ramp(1.4 * (1.0 - ellipse(canvas, x, y, reach, reach)))
        torn = ramp(0.6 * whole + np.float32(1.1) * (fine + coarse - 0.95))
        torn *= np.minimum(whole * 4.0, 1.0)
        canvas.fill(np.float32(level) * haze * (0.25 + 0.75 * torn))

    return (Patch((x - reach, y - reach, x + reach, y + reach), paint),)


def edema(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """Haze around both hila like wings, full vessels above, short level lines at the lower wall."""
    grade = {"small": 0.42, "moderate": 0.6, "large": 0.82}[finding.severity or "moderate"]
    grade *= strength(finding)
    seed = int(rng.integers(2**62))
    return tuple(_wing(patient, side, grade, seed) for side in (-1, 1))


def _wing(patient: Patient, side: int, grade: float, seed: int) -> Patch:
    s, y = hilum(patient, side)
    width = patient.width(side)
    top, bottom = patient.level(0.06), patient.level(1.0)
    box = body_box(patient, side * 0.03, top, side * (width + 0.005), bottom)
    septa = []
    for k in range(5):
        v = patient.level(0.7) + 0.03 * k
        wall = lung_span(patient, side, v)[1] - 0.012
        ends = np.array([(side * wall, v), (side * (wall - 0.055), v + 0.008)])
        septa.append(to_picture(patient, ends))

    def paint(canvas: Canvas) -> None:
        dx = np.float32(side) * canvas.s - np.float32(abs(s) + 0.02)
        dx = dx * np.float32(1 / (0.72 * width))
        dy = (canvas.y - np.float32(y + 0.03)) * np.float32(1 / (0.48 * (bottom - top)))
        haze = ramp(1.1 * (1.0 - dx * dx - dy * dy))
        grain = mottle(canvas, 0.035, np.random.default_rng([seed, side + 1]))
        canvas.fill(np.float32(grade) * haze * (0.7 + 0.6 * (grain - 0.4)))
        above = clip01((np.float32(y + 0.02) - canvas.y) * np.float32(8.0))
        canvas.vessels[:] *= 1.0 + np.float32(1.6 * grade) * above
        lines = np.zeros_like(canvas.s)
        for line in septa:
            np.maximum(lines, stroke(canvas, line, 0.007), out=lines)
        canvas.dense[:] += np.float32(0.03 + 0.07 * grade) * lines * canvas.lung

    return Patch(box, paint)


def atelectasis(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """Level plates of collapsed lung, or a wedge at the mediastinum with a fissure drawn to it."""
    draw = _plates if finding.kind == "linear" else _wedge
    return tuple(draw(patient, finding, side, rng) for side in sides(finding))


def _plates(patient: Patient, finding: Finding, side: int, rng: np.random.Generator) -> Patch:
    level = patient.level(0.84 if finding.zone == "lower" else 0.56)
    level += float(rng.uniform(-0.015, 0.015))
    inner, outer = lung_span(patient, side, level)
    start = inner + (outer - inner) * float(rng.uniform(0.08, 0.2))
    lines = []
    for k in range(3):
        length = min(float(rng.uniform(0.12, 0.17)), outer - start - 0.015)
        shift, tilt = float(rng.uniform(0.0, 0.02)), float(rng.uniform(-0.25, 0.25))
        t = np.linspace(0.0, 1.0, 5)
        s = start + shift + length * t
        y = level + 0.042 * (k - 1) + tilt * length * (t - 0.5)
        lines.append(to_picture(patient, np.stack([side * s, y], axis=1)))
    box = points_box(np.concatenate(lines), 0.02)

    def paint(canvas: Canvas) -> None:
        plates = np.zeros_like(canvas.s)
        for line in lines:
            np.maximum(plates, stroke(canvas, line, 0.0115), out=plates)
        canvas.fill(np.float32(0.8 * strength(finding)) * plates)

    return Patch(box, paint)


def _wedge(patient: Patient, finding: Finding, side: int, rng: np.random.Generator) -> Patch:
    low = finding.zone == "lower"
    top, bottom = (patient.level(t) for t in ((0.62, 1.02) if low else (0.36, 0.64)))
    free, outer = lung_span(patient, side, patient.level(0.9) if low else (top + bottom) / 2)
    inner = 0.05 if low else free - 0.03
    reach = free + 0.58 * (outer - free) - inner if low else 0.8 * (outer - inner)
    box = body_box(patient, side * inner, top, side * (inner + reach), bottom)

    def paint(canvas: Canvas) -> None:
        off = (np.float32(side) * canvas.s - np.float32(inner)) * np.float32(1 / reach)
        down = (canvas.y - np.float32(top)) * np.float32(1 / (bottom - top))
        # Below a sail whose hollow edge falls from the hilum, in the middle a triangle.
        hollow = 0.25 + 0.75 * down * down if low else 1.0 - np.abs(2.0 * down - 1.0)
        inside = (np.float32(0.95) * hollow - np.maximum(off, 0.0)) * np.float32(reach)
        sail = edge(canvas, inside, 0.004) * ramp(off * np.float32(4.0)) * ramp(down * 9.0)
        fissure = clip01(1.0 - np.abs(inside) * np.float32(90.0)) * (off > 0) * ramp(down * 9.0)
        level = np.float32(strength(finding))
        canvas.fill(level * np.maximum(np.float32(0.85) * sail, np.float32(0.9) * fissure))
        white = np.maximum(sail, fissure) * canvas.lung * (1.0 - np.float32(0.6) * canvas.heart)
        canvas.dense[:] += np.float32(0.05) * level * white

    return Patch(box, paint)
