"""What the findings look like from the side."""

from zlib import crc32

import numpy as np

from .anatomy import CARINA, ZONE_LEVELS
from .canvas import Canvas, Pixels, edge, ellipse, mottle, ramp, smooth, stroke
from .case import Finding
from .marks import strength
from .patient import Patient
from .profile import Profile

f32 = np.float32

DEPTH = {"apical": 0.55, "upper": 0.45, "mid": 0.4, "lower": 0.72}
"""Where in depth the lobe of a zone mostly lies; the lower lobes lie behind the heart."""


def paint_lateral(canvas: Canvas, patient: Patient, profile: Profile, finding: Finding) -> None:
    """Draw a finding; a fracture or a wide mediastinum is not seen from the side."""
    force = strength(finding)
    name = f"{finding.observation}|{finding.side}|{finding.zone}|{finding.kind}"
    rng = np.random.default_rng([patient.seed, 13, crc32(name.encode())])
    if finding.zone is not None and finding.observation != "Pneumothorax":
        _in_zone(canvas, patient, profile, finding, rng)
    elif finding.observation == "Edema":
        grade = {"small": 0.35, "moderate": 0.52, "large": 0.72}[finding.severity] * force
        q = ellipse(canvas, profile.at(0.55), patient.level(0.55), 0.25, 0.27)
        grain = mottle(canvas, 0.035, rng)
        canvas.fill(f32(grade) * ramp(f32(1.2) * (1.0 - q)) * (f32(0.7) + f32(0.5) * grain))
    elif finding.observation == "Pleural Effusion":
        rise = {"small": 0.07, "moderate": 0.16, "large": 0.3}[finding.severity]
        corner = float(profile.dome(1, np.array([profile.far]))[0])
        share = (canvas.x - f32(profile.near)) * f32(1.0 / (profile.far - profile.near))
        level = f32(corner - rise) - f32(0.05 + 0.2 * rise) * ramp((share - f32(0.6)) * f32(2.2))
        both = 0.95 if finding.side == "bilateral" else 0.62
        canvas.fill(f32(both * force) * edge(canvas, canvas.y - level, 0.006))
    elif finding.observation == "Pleural Other":
        x, y = profile.at(0.9), patient.level(0.72)
        q = ellipse(canvas, x, y, 0.035, 0.1)
        canvas.dense[:] += f32(0.11 * force) * ramp(f32(1.6) * (1.0 - q)) * (canvas.lung > 0)
    elif finding.observation == "Support Devices":
        canvas.dense[:] += _device(canvas, patient, profile, finding)


def _in_zone(
    canvas: Canvas, patient: Patient, profile: Profile, finding: Finding, rng: np.random.Generator
) -> None:
    top, bottom = (patient.level(t) for t in ZONE_LEVELS[finding.zone])
    y = (top + bottom) / 2 + float(rng.uniform(-0.015, 0.015))
    x = profile.at(DEPTH[finding.zone] + float(rng.uniform(-0.08, 0.08)))
    force = strength(finding)
    grain = mottle(canvas, 0.03, rng)
    if finding.observation == "Lung Lesion":
        radius = 0.075 if finding.kind == "mass" else 0.043
        ball = edge(canvas, f32(radius) - np.sqrt(ellipse(canvas, x, y, 1.0, 1.0)), 0.004)
        canvas.fill(f32(0.7) * ball)
        canvas.dense[:] += f32(0.1) * ball
    elif finding.observation == "Atelectasis" and finding.kind == "linear":
        for k in (-1, 1):
            line = np.array([(x - 0.08, y + 0.025 * k), (x + 0.08, y + 0.025 * k + 0.02)])
            canvas.fill(f32(0.7 * force) * stroke(canvas, line, 0.011))
    else:
        size, level = {
            "Lung Opacity": (0.13 if finding.severity == "large" else 0.1, 0.42),
            "Consolidation": (0.12, 0.75),
            "Pneumonia": (0.115, 0.65),
            "Atelectasis": (0.1, 0.7),
        }[finding.observation]
        q = ellipse(canvas, x, y, size, 0.85 * size)
        patchy = f32(0.35 if finding.observation == "Pneumonia" else 0.9)
        texture = patchy + (f32(1.0) - patchy) * ramp((grain - f32(0.3)) * f32(2.5))
        sharp = 4.0 if finding.observation in ("Consolidation", "Atelectasis") else 1.3
        canvas.fill(f32(level * force) * ramp(f32(sharp) * (1.0 - q)) * texture)


def _device(canvas: Canvas, patient: Patient, profile: Profile, finding: Finding) -> Pixels:
    at, level = profile.at, patient.level
    if finding.kind == "pacemaker":
        lead = [
            (at(0.08), level(0.2)),
            (at(0.4), level(0.3)),
            (at(0.4), level(0.7)),
            (at(0.2), level(0.93)),
        ]
        box = ellipse(canvas, at(0.06), level(0.2), 0.03, 0.05)
        return f32(0.4) * ramp(5.0 * (1.0 - box)) + f32(0.2) * stroke(canvas, smooth(lead), 0.0085)
    if finding.kind == "sternal wires":
        marks = np.zeros_like(canvas.s)
        for k in range(6):
            y = level(0.22 + 0.1 * k)
            x = float(profile.lung_front(np.array([y]))[0]) - 0.016
            wire = np.array([(x - 0.016, y - 0.006), (x + 0.016, y + 0.006)])
            np.maximum(marks, stroke(canvas, wire, 0.009), out=marks)
        return f32(0.3) * marks
    paths = {
        "central venous catheter": [(0.42, -0.05), (0.42, 0.3), (0.44, 0.62)],
        "endotracheal tube": [(0.5, -0.2), (0.55, CARINA - 0.1)],
        "enteric tube": [(0.56, -0.2), (0.62, 0.4), (0.62, 0.9), (0.45, 1.12)],
        "chest tube": [(0.95, 0.9), (0.7, 0.6), (0.55, 0.2)],
    }
    points = smooth([(at(share), level(t)) for share, t in paths[finding.kind]])
    return f32(0.28) * stroke(canvas, points, 0.012)
