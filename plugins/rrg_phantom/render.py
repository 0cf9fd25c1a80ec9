"""A frontal radiograph phantom: layers of tissue, the findings in them, and the film."""

import numpy as np
from jaxtyping import UInt8

from .anatomy import HEART_TOP
from .bones import draw_bones
from .canvas import Canvas, Pixels, clip01, make_canvas, ramp
from .case import Finding
from .findings import plan
from .marker import draw_marker
from .patient import Patient
from .trunk import draw_trunk
from .vessels import draw_vessels

f32 = np.float32


def render_frontal(
    patient: Patient, findings: tuple[Finding, ...], size: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w"]:
    """Draw a frontal view, `size` pixels high and wide.

    The generator is used for the grain of the film alone, and alike whatever the findings are:
    outside of `finding_boxes`, pictures with and without a finding are equal.
    """
    canvas = make_canvas(patient, size)
    body = draw_trunk(canvas, patient)
    draw_vessels(canvas, patient)
    draw_bones(canvas, patient)
    for finding in findings:
        for patch in plan(patient, finding):
            patch.paint(canvas.window(patch.box))
    return develop(attenuation(canvas, patient, body), patient, rng)


def attenuation(canvas: Canvas, patient: Patient, body: Pixels) -> Pixels:
    """What rays lose on their way: tissues add up, air takes away."""
    air = canvas.lung * (1.0 - f32(0.8) * canvas.heart)
    air *= 1.0 - f32(0.92) * canvas.mediastinum
    air *= 1.0 - f32(0.93) * canvas.belly
    held = air * (1.0 - canvas.fluid)
    total = f32(0.64) * body - f32(0.47) * held * ramp(body * f32(3.0))
    bare = (1.0 - canvas.heart) * (1.0 - canvas.belly)
    top = ramp((canvas.y - f32(patient.level(HEART_TOP))) * f32(7.0))
    total += f32(0.085) * top * canvas.heart + f32(0.06) * canvas.mediastinum * bare
    total += f32(0.13) * canvas.belly * body
    total += f32(0.125 * patient.markings) * canvas.vessels * held
    total += canvas.bone * ramp(body * f32(4.0)) * (1.0 - f32(0.55) * canvas.belly)
    total += canvas.dense * ramp(body * f32(5.0))
    return total


def develop(total: Pixels, patient: Patient, rng: np.random.Generator) -> UInt8[np.ndarray, "h w"]:
    """The film: grain that grows with what was lost, then exposure."""
    size = total.shape[0]
    grain = rng.standard_normal(total.shape, dtype=np.float32)
    total = total + grain * f32(patient.noise * (size / 112) ** 0.5) * (f32(0.3) + total)
    value = clip01(total * f32(patient.density))
    value = value / (value + f32(patient.exposure) * (1.0 - value))
    value = draw_marker(value, patient)
    return (value * f32(255.0) + f32(0.5)).astype(np.uint8)
