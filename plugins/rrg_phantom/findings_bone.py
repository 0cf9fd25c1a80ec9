"""Broken ribs and clavicles."""

import numpy as np

from .anatomy import clavicle, lung_edge, picture_x, to_picture
from .bones import (
    CLAVICLE_AMPLITUDE,
    POSTERIOR_HALF,
    RIB_AMPLITUDE,
    clavicle_shadow,
    posterior_height,
    posterior_phase,
    posterior_share,
    rib_profile,
    rib_step,
)
from .canvas import Canvas, ellipse, ramp
from .case import Finding
from .marks import Patch, body_box, points_box, sides, strength
from .patient import Patient


def fracture(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """A step and a gap in a bone, with callus on both ends.

    Larger and denser than most real ones: a faithful hairline is lost at a hundred pixels.
    """
    draw = _ribs if finding.kind == "rib" else _clavicle
    (side,) = sides(finding)
    return (draw(patient, finding, side, rng),)


def _ribs(patient: Patient, finding: Finding, side: int, rng: np.random.Generator) -> Patch:
    """Three neighbouring ribs broken in one line: what lies outside of it has slipped down."""
    first = int(rng.integers(2, 5))
    ribs = range(first, first + 3)
    where = np.array([float(rng.uniform(0.62, 0.74))])
    step, force = rib_step(patient), strength(finding)
    heights = [float(posterior_height(patient, rib, where)[0]) for rib in ribs]
    width = patient.width(side) * float(lung_edge(patient, np.array(heights[1:2]))[0])
    middle, reach = float(where[0]) * width, 0.09
    s = side * middle
    top, bottom = heights[0] - 0.8 * step, heights[-1] + 0.95 * step
    box = body_box(patient, s - reach, top, s + reach, bottom)

    t = np.linspace(0.0, 1.0, 5)
    shafts, calluses = [], []
    for rib, height in zip(ribs, heights, strict=True):
        for out, slip in ((-1, -0.22), (1, 0.32)):
            along = middle + out * reach * (0.14 + 0.86 * t)
            y = posterior_height(patient, rib, np.minimum(along / width, 1.0))
            y = y + force * slip * step * (1.0 - t)
            shafts.append(to_picture(patient, np.stack([side * along, y], axis=1)))
            at = height + force * slip * step
            calluses.append((picture_x(patient, s + side * out * 0.026, at), at))

    def paint(canvas: Canvas) -> None:
        phase = posterior_phase(canvas, patient)
        share = posterior_share(canvas, patient, phase)
        sound = rib_profile(canvas, patient, phase, POSTERIOR_HALF) * share
        away = np.float32(side) * canvas.s - np.float32(middle)
        near = np.maximum(1.0 - np.abs(away) * np.float32(1.0 / reach), 0.0)
        fade = ramp(near * np.float32(5.0))
        own = fade * ((phase > first - 0.5) & (phase < first + 2.5))
        amplitude = np.float32(RIB_AMPLITUDE * patient.bone)
        canvas.bone[:] -= amplitude * own * sound
        broken = np.zeros_like(canvas.s)
        for path in shafts:
            np.maximum(broken, clavicle_shadow(canvas, path, POSTERIOR_HALF * step), out=broken)
        canvas.bone[:] += np.float32(1.6) * amplitude * broken * fade
        callus = np.zeros_like(canvas.s)
        for x, y in calluses:
            knob = ramp(1.5 * (1.0 - ellipse(canvas, x, y, 0.034, 0.36 * step)))
            np.maximum(callus, knob, out=callus)
        gap = ramp(1.0 - np.abs(away) * np.float32(1 / 0.014))
        canvas.dense[:] += np.float32(force) * (np.float32(0.19) * callus * (1.0 - gap))
        canvas.dense[:] -= np.float32(0.05 * force) * gap * own

    return Patch(box, paint)


def _clavicle(patient: Patient, finding: Finding, side: int, rng: np.random.Generator) -> Patch:
    """The shaft broken in its middle third: the inner end is pulled up, the outer part hangs."""
    points = to_picture(patient, clavicle(patient, side))
    force = strength(finding)
    at = int(rng.integers(5, 8))
    inner, outer = points[: at + 1].copy(), points[at + 1 :].copy()
    inner[:, 1] -= 0.026 * force * np.linspace(0.0, 1.0, len(inner)) ** 2
    outer[:, 1] += 0.04 * force * np.linspace(1.0, 0.3, len(outer))
    ends = (inner[-1], outer[0])
    box = points_box(np.concatenate([points, inner, outer]), 0.03)

    def paint(canvas: Canvas) -> None:
        sound = clavicle_shadow(canvas, points)
        broken = np.maximum(clavicle_shadow(canvas, inner), clavicle_shadow(canvas, outer))
        amplitude = np.float32(CLAVICLE_AMPLITUDE * patient.bone)
        canvas.bone[:] += amplitude * (np.float32(1.35) * broken - sound)
        callus = np.zeros_like(canvas.s)
        for x, y in ends:
            knob = ramp(1.5 * (1.0 - ellipse(canvas, x, y, 0.042, 0.027)))
            np.maximum(callus, knob, out=callus)
        canvas.dense[:] += np.float32(0.21 * force) * callus

    return Patch(box, paint)
