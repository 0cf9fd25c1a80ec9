"""Everything soft of a frontal view: body, lungs, heart, great vessels, airways, abdomen."""

import numpy as np

from .anatomy import (
    APEX_AT,
    ARCH,
    CARINA,
    TRACHEA_HALF,
    diaphragm,
    heart_edges,
    hilum,
    lung_height,
    mediastinum_edges,
    picture_x,
    through,
    to_picture,
    trachea_center,
)
from .canvas import Canvas, Pixels, bump, edge, ellipse, mottle, ramp, stroke
from .patient import Patient

f32 = np.float32


def draw_trunk(canvas: Canvas, patient: Patient) -> Pixels:
    """Draw all soft tissue; the thickness of the body is returned, 0 in the air around it."""
    body = body_depth(canvas, patient)
    draw_lungs(canvas, patient)
    middle = canvas.window((patient.center - 0.24, 0.0, patient.center + 0.34, 1.0))
    middle.heart[:] = heart_depth(middle, patient, patient.heart_ratio)
    middle.mediastinum[:] = mediastinum_depth(middle, patient, 0.0)
    draw_airways(canvas, patient)
    draw_aorta(canvas, patient)
    draw_hila(canvas, patient)
    draw_soft_shadows(canvas, patient)
    return body


def body_depth(canvas: Canvas, patient: Patient) -> Pixels:
    """Neck, shoulders, arms and trunk: how much tissue a ray meets."""
    wide = (patient.width_left + patient.width_right) / 2
    off = np.abs(canvas.s)
    y = canvas.y.astype(np.float64)
    flank = wide + patient.fat + 0.02 + through(((0.35, 0.0), (0.7, 0.012), (1.0, 0.03)), y)
    flank = flank.astype(np.float32)
    neck = through(((0.0, 0.1), (0.05, 0.112), (0.14, 0.14)), y).astype(np.float32)
    top = patient.apex + patient.shoulder
    slope = ramp((off - f32(0.09)) * f32(1 / 0.16)) * f32(0.075)
    slope += ramp((off - f32(0.33)) * f32(1 / 0.2)) * f32(0.15)
    shoulder = canvas.y - f32(top - 0.105) - slope
    # The axilla: a wedge of air between the trunk and an arm held away from it.
    arm = off - flank - f32(patient.arm_gap) * np.maximum(canvas.y - f32(0.42), 0.0)
    trunk = flank - off
    inside = np.maximum(np.minimum(shoulder, np.maximum(trunk, arm)), neck - off)
    outline = edge(canvas, inside, 0.006)
    q = off / (flank + f32(0.004))
    depth = f32(0.24) + f32(0.76) * np.sqrt(np.maximum(1.0 - q * q, 0.0))
    upper = ramp((f32(top + 0.3) - canvas.y) * f32(1 / 0.3))
    arms = f32(0.34) + f32(0.16) * upper
    depth = np.maximum(depth, arms * (f32(0.72) + f32(0.28) * ramp(-trunk * f32(25.0))))
    high = ramp((f32(top + 0.12) - canvas.y) * f32(1 / 0.16))
    rim = ramp(inside * f32(1 / 0.05))
    return outline * depth * (1.0 - f32(0.22) * high) * (f32(0.4) + f32(0.6) * rim)


def draw_lungs(canvas: Canvas, patient: Patient) -> None:
    """The air of the lungs and the abdomen below them."""
    height = lung_height(patient)
    up = np.minimum(canvas.y - f32(patient.apex + height), 0.0) * f32(1.0 / height)
    out = np.maximum(canvas.a - f32(APEX_AT), 0.0) * f32(1.0 / (1.0 - APEX_AT))
    inner = np.maximum(f32(APEX_AT) - canvas.a, 0.0) * f32(1.0 / (APEX_AT + 0.35))
    q = out * out + inner * inner * (up * up) + up * up
    lung = edge(canvas, (1.0 - np.sqrt(q)) * f32(0.2), 0.005)
    depth = np.sqrt(np.maximum(1.0 - q, 0.0))
    grain = mottle(canvas, 0.045, np.random.default_rng([patient.seed, 7]))
    thick = f32(0.34) + f32(0.66) * depth + f32(0.1) * (grain - f32(0.5))
    canvas.lung[:] = lung * thick

    floor = np.where(
        canvas.s > 0,
        diaphragm(patient, 1, canvas.a).astype(np.float32),
        diaphragm(patient, -1, canvas.a).astype(np.float32),
    )
    # The domes meet behind the heart without a step.
    blend = ramp(np.abs(canvas.s) * f32(8.0))
    floor = blend * floor + (1.0 - blend) * f32((patient.dome_left + patient.dome_right) / 2 + 0.03)
    under = canvas.y - floor
    wall = ramp((f32(1.06) - canvas.a) * f32(9.0))
    canvas.belly[:] = wall * (
        f32(0.72) * edge(canvas, under, 0.004) + f32(0.28) * ramp(under * 7.0)
    )


def heart_depth(canvas: Canvas, patient: Patient, ratio: float) -> Pixels:
    """The heart at a cardiothoracic ratio, thinner towards its border, lost below the diaphragm."""
    right, left = heart_edges(patient, canvas.y.astype(np.float64), ratio)
    right, left = right.astype(np.float32), left.astype(np.float32)
    inside = np.minimum(canvas.s - right, left - canvas.s)
    step = edge(canvas, inside, 0.006)
    lost = ramp((f32(patient.level(1.14)) - canvas.y) * f32(9.0))
    return step * lost * (f32(0.62) + f32(0.38) * ramp(inside * f32(1 / 0.1)))


def mediastinum_depth(canvas: Canvas, patient: Patient, widen: float) -> Pixels:
    """Great vessels and what lies between them, `widen` wider on each side."""
    right, left = mediastinum_edges(patient, canvas.y.astype(np.float64), widen)
    right, left = right.astype(np.float32), left.astype(np.float32)
    inside = np.minimum(canvas.s - right, left - canvas.s)
    return edge(canvas, inside, 0.006) * (f32(0.68) + f32(0.32) * ramp(inside * f32(1 / 0.05)))


def draw_airways(canvas: Canvas, patient: Patient) -> None:
    """Trachea and main bronchi, darker than the mediastinum."""
    fork = patient.level(CARINA)
    s = float(trachea_center(patient, np.array([fork]))[0])
    x = picture_x(patient, s, fork)
    window = canvas.window((x - 0.12, 0.0, x + 0.12, fork + 0.1))
    middle = trachea_center(patient, window.y.astype(np.float64)).astype(np.float32)
    air = edge(window, f32(TRACHEA_HALF) - np.abs(window.s - middle), 0.004)
    air *= edge(window, f32(fork) - window.y, 0.01)
    right = np.array([(s, fork - 0.012), (s - 0.03, fork + 0.028), (s - 0.055, fork + 0.07)])
    left = np.array([(s, fork - 0.012), (s + 0.035, fork + 0.022), (s + 0.075, fork + 0.048)])
    for bronchus in (right, left):
        np.maximum(air, f32(0.8) * stroke(window, to_picture(patient, bronchus), 0.013), out=air)
    window.dense[:] -= f32(0.1) * air


def draw_aorta(canvas: Canvas, patient: Patient) -> None:
    """The arch end on, and the left border of what descends behind the heart."""
    arch = patient.level(ARCH)
    turn = 0.8 * patient.rotation
    x = picture_x(patient, turn + 0.042, arch)
    window = canvas.window((x - 0.11, arch - 0.06, x + 0.11, 1.0))
    round_top = bump(ellipse(window, x, arch, 0.052 + 0.024 * patient.knob, 0.055))
    border = window.s - f32(turn + 0.052)
    descending = edge(window, -border, 0.004) * ramp((border + f32(0.05)) * f32(20.0))
    descending *= ramp((window.y - f32(arch)) * f32(14.0))
    descending *= ramp((f32(patient.level(1.05)) - window.y) * f32(6.0))
    window.dense[:] += f32(0.045) * round_top + f32(0.03) * descending


def draw_hila(canvas: Canvas, patient: Patient) -> None:
    """The roots of the vessels: a knot above, the lower artery running down and out from it."""
    for side in (-1, 1):
        s, y = hilum(patient, side)
        x = picture_x(patient, s, y)
        window = canvas.window((x - 0.09, y - 0.09, x + 0.09, y + 0.13))
        knot = bump(ellipse(window, x - side * 0.015, y, 0.05, 0.052))
        knot += f32(0.7) * bump(ellipse(window, x - side * 0.03, y - 0.03, 0.045, 0.035))
        steps = np.array([(-0.015, 0.0), (0.008, 0.05), (0.022, 0.1)])
        artery = stroke(window, to_picture(patient, (s, y) + steps * (side, 1)), 0.011)
        artery *= ramp((f32(y + 0.11) - window.y) * f32(14.0))
        root = np.minimum(f32(1.1) * knot + f32(0.55) * artery, f32(1.3))
        np.maximum(window.vessels, root, out=window.vessels)


def draw_soft_shadows(canvas: Canvas, patient: Patient) -> None:
    """Breasts over the lower lungs, gas below the left dome, the unevenness of muscle and fat."""
    if patient.breast > 0:
        for side in (-1, 1):
            s, y = side * patient.width(side) * 0.64, patient.level(0.8)
            _draw_breast(canvas, picture_x(patient, s, y), y, patient.breast)
    if patient.gas > 0:
        _draw_gas(canvas, patient)
    grain = mottle(canvas, 0.09, np.random.default_rng([patient.seed, 8]))
    canvas.dense[:] += f32(0.05) * (grain - f32(0.5)) * (f32(0.35) + canvas.belly)


def _draw_breast(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A fold below, no border above."""
    rx, ry = 0.15 + 0.05 * size, 0.13 + 0.05 * size
    window = canvas.window((x - 1.15 * rx, y - 0.16, x + 1.15 * rx, y + 1.15 * ry))
    q = ellipse(window, x, y, rx, ry)
    shadow = ramp((window.y - f32(y - 0.16)) * f32(4.0)) * edge(window, (1.0 - q) * f32(0.1), 0.012)
    window.dense[:] += f32(0.085 * size) * shadow * (f32(0.6) + f32(0.4) * np.minimum(q, 1.0))


def _draw_gas(canvas: Canvas, patient: Patient) -> None:
    """The bubble of the stomach; as the patient stands, it lies over a level of fluid."""
    gas, a = patient.gas, 0.4
    top = float(diaphragm(patient, 1, np.array([a]))[0]) + 0.016 + 0.5 * gas
    x = picture_x(patient, a * patient.width_left, top)
    window = canvas.window((x - 2 * gas, top - 1.2 * gas, x + 2 * gas, top + gas))
    q = ellipse(window, x, top + 0.3 * gas, 1.4 * gas, 0.8 * gas)
    bubble = edge(window, (1.0 - np.sqrt(q)) * f32(gas), 0.006)
    bubble *= edge(window, f32(top + 0.32 * gas) - window.y, 0.004)
    window.dense[:] -= f32(0.17) * bubble
