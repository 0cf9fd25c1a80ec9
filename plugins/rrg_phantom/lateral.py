"""A lateral radiograph phantom: the same patient from the side, facing the left of the picture."""

import numpy as np
from jaxtyping import UInt8

from .anatomy import ARCH, CARINA, HILA, Array
from .canvas import Canvas, Pixels, bump, clip01, edge, ellipse, make_canvas, mottle, ramp, stroke
from .case import Finding
from .findings_heart import heart_ratio
from .lateral_findings import paint_lateral
from .patient import Patient
from .profile import Profile, make_profile
from .render import develop
from .vessels import draw_tree, vessel_tree

f32 = np.float32


def render_lateral(
    patient: Patient, findings: tuple[Finding, ...], size: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w"]:
    """Draw a lateral view, with those findings that are seen from the side."""
    profile = make_profile(patient)
    canvas = make_canvas(patient, size)
    body = _body(canvas, profile)
    _lungs(canvas, profile)
    _heart(canvas, profile, patient.heart_ratio)
    _airways_and_vessels(canvas, patient, profile)
    _bones(canvas, patient, profile)
    for finding in findings:
        if finding.observation == "Cardiomegaly":
            _heart(canvas, profile, heart_ratio(patient, (finding,)))
        else:
            paint_lateral(canvas, patient, profile, finding)
    return develop(_attenuation(canvas, patient, body), patient, rng)


def _columns(curve: Array, canvas: Canvas) -> Pixels:
    return np.broadcast_to(curve.astype(np.float32), canvas.s.shape)


def _body(canvas: Canvas, profile: Profile) -> Pixels:
    """Trunk and neck, and the arms held up in front."""
    y = canvas.y.astype(np.float64)
    front, back = _columns(profile.front(y), canvas), _columns(profile.back(y), canvas)
    inside = np.minimum(canvas.x - front, back - canvas.x)
    middle = (front + back) * f32(0.5)
    half = np.maximum((back - front) * f32(0.5), f32(0.02))
    q = (canvas.x - middle) / half
    depth = f32(0.35) + f32(0.65) * np.sqrt(np.maximum(1.0 - q * q, 0.0))
    # Raised arms: a slanting bar in front of the neck, over the shoulder.
    arm = np.array(
        [(-0.05, profile.top - 0.09), (0.3, profile.top - 0.05), (0.56, profile.top + 0.02)]
    )
    arms = stroke(canvas, arm, 0.07)
    shoulder = ramp(f32(1.2) * (1.0 - ellipse(canvas, 0.57, profile.top - 0.02, 0.2, 0.15)))
    trunk = edge(canvas, inside, 0.006) * depth * (f32(0.45) + f32(0.55) * ramp(inside * f32(18.0)))
    return np.maximum(trunk, f32(0.38) * arms) + f32(0.2) * shoulder * np.maximum(trunk > 0, arms)


def _lungs(canvas: Canvas, profile: Profile) -> None:
    y = canvas.y.astype(np.float64)
    ahead = canvas.x - _columns(profile.lung_front(y), canvas)
    behind = _columns(profile.lung_back(y), canvas) - canvas.x
    inside = np.minimum(np.minimum(ahead, behind), (canvas.y - f32(profile.top)) * f32(1.5))
    lung = edge(canvas, inside, 0.006)
    canvas.lung[:] = lung * (f32(0.35) + f32(0.65) * ramp(inside * f32(7.0)))
    x = canvas.x.astype(np.float64)
    right = np.broadcast_to(profile.dome(-1, x).astype(np.float32), canvas.s.shape)
    left = np.broadcast_to(profile.dome(1, x).astype(np.float32), canvas.s.shape)
    # Each dome takes half of the air; the left one is lost where the heart lies on it.
    lost = ramp((canvas.x - f32(profile.at(0.42))) * f32(14.0))
    left = lost * left + (1.0 - lost) * right
    share = f32(0.55) * edge(canvas, canvas.y - right, 0.004)
    share += f32(0.45) * edge(canvas, canvas.y - left, 0.004)
    canvas.belly[:] = share


def _heart(canvas: Canvas, profile: Profile, ratio: float) -> None:
    x, y, rx, ry = profile.heart(ratio)
    dx, dy = canvas.x - f32(x), canvas.y - f32(y)
    # The long axis falls forwards.
    along, across = f32(0.82) * dx - f32(0.57) * dy, f32(0.57) * dx + f32(0.82) * dy
    q = (along * f32(1 / rx)) ** 2 + (across * f32(1 / ry)) ** 2
    ball = edge(canvas, (1.0 - np.sqrt(q)) * f32(ry), 0.011)
    heart = ball * (f32(0.5) + f32(0.5) * np.maximum(1.0 - q, 0.0))
    np.maximum(canvas.heart, heart, out=canvas.heart)


def _airways_and_vessels(canvas: Canvas, patient: Patient, profile: Profile) -> None:
    fork = patient.level(CARINA)
    windpipe = np.array(
        [(profile.at(0.5), -0.02), (profile.at(0.56), fork), (profile.at(0.57), fork + 0.05)]
    )
    canvas.dense[:] -= f32(0.12) * stroke(canvas, windpipe, 0.02)
    bronchus = ellipse(canvas, profile.at(0.57), fork + 0.075, 0.018, 0.018)
    canvas.dense[:] -= f32(0.1) * ramp(2.0 * (1.0 - bronchus))

    arch = patient.level(ARCH)
    t = np.linspace(np.pi, 2.15 * np.pi, 12)
    center = profile.at(0.6)
    bow = np.stack([center + 0.085 * np.cos(t), arch + 0.06 + 0.065 * np.sin(t)], axis=1)
    y = np.linspace(arch + 0.12, 0.8, 6)
    down = np.stack([profile.spine(y) - 0.055, y], axis=1)
    aorta = stroke(canvas, np.concatenate([bow, down]), 0.026)
    fade = ramp((f32(patient.level(0.9)) - canvas.y) * f32(2.6))
    canvas.dense[:] += f32(0.055) * aorta * (f32(0.3) + f32(0.7) * fade)

    x, y = profile.at(0.53), patient.level(HILA) + 0.005
    knot = bump(ellipse(canvas, x, y, 0.06, 0.055)) + f32(0.6) * bump(
        ellipse(canvas, x + 0.03, y + 0.05, 0.05, 0.06)
    )
    np.maximum(canvas.vessels, knot, out=canvas.vessels)
    # Both lungs' trees lie over each other, turned to either side.
    for side in (-1, 1):
        rng = np.random.default_rng([patient.seed, 11 + side])
        tree = vessel_tree(rng, canvas.size)
        tree[:, :2] = (x, y) + tree[:, :2] * (side * 0.95, 0.95)
        draw_tree(canvas, tree)
    grain = mottle(canvas, 0.07, np.random.default_rng([patient.seed, 12]))
    canvas.dense[:] += f32(0.05) * (grain - f32(0.5)) * (f32(0.4) + canvas.belly)


def _bones(canvas: Canvas, patient: Patient, profile: Profile) -> None:
    """Vertebrae with dark discs, ribs that fall forwards, the sternum, the scapulae."""
    bone = f32(patient.bone)
    spine = _columns(profile.spine(canvas.y.astype(np.float64)), canvas)
    off = canvas.x - spine
    tall = 0.058 * (patient.level(1.0) - patient.apex) / 0.6
    level = (canvas.y + off * f32(0.18)) * f32(1.0 / tall)
    away = np.abs(level - np.round(level))
    column = edge(canvas, f32(0.034) - np.abs(off), 0.004)
    disc = clip01((f32(0.15) - away) * f32(12.0))
    plate = clip01(1.0 - np.abs(away - f32(0.2)) * f32(11.0))
    canvas.bone[:] += bone * f32(0.13) * column * (f32(0.75) - f32(0.6) * disc + f32(0.35) * plate)
    arches = edge(canvas, f32(0.028) - np.abs(off - f32(0.065)), 0.008)
    canvas.bone[:] += bone * f32(0.06) * arches * (f32(0.5) + f32(0.5) * (away > 0.25))

    for slant, amount in ((0.42, 0.05), (0.52, 0.035)):
        run = profile.at(1.0) - canvas.x
        phase = (canvas.y - f32(slant) * run - f32(0.3 * slant) * run * run) * f32(
            1.0 / (1.12 * tall)
        )
        near = np.abs(phase - np.round(phase))
        body = clip01((f32(0.17) - near) * f32(9.0)) * f32(0.6)
        body += f32(0.5) * clip01(1.0 - np.abs(near - f32(0.13)) * f32(9.0))
        part = ramp(canvas.lung * 2.0) * ramp((canvas.x - f32(profile.at(0.12))) * f32(5.0))
        canvas.bone[:] += bone * f32(amount) * body * part

    front = _columns(profile.lung_front(canvas.y.astype(np.float64)), canvas)
    sternum = edge(canvas, f32(0.014) - np.abs(canvas.x - front + f32(0.016)), 0.004)
    sternum *= ramp((canvas.y - f32(profile.top + 0.08)) * f32(14.0))
    sternum *= ramp((f32(patient.level(0.78)) - canvas.y) * f32(14.0))
    canvas.bone[:] += bone * f32(0.14) * sternum
    for shift in (0.0, 0.035):
        blade = np.array(
            [
                (profile.at(0.66) + shift, profile.top),
                (profile.at(0.9) + shift, patient.level(0.45)),
            ]
        )
        canvas.bone[:] += bone * f32(0.05) * stroke(canvas, blade, 0.008)


def _attenuation(canvas: Canvas, patient: Patient, body: Pixels) -> Pixels:
    air = canvas.lung * (1.0 - f32(0.62) * canvas.heart) * (1.0 - f32(0.9) * canvas.belly)
    held = air * (1.0 - canvas.fluid)
    # From the side rays meet more shoulder above and less of everything behind the heart below.
    total = f32(0.66) * body - f32(0.44) * held * ramp(body * f32(3.0))
    total += f32(0.05) * canvas.heart + f32(0.16) * canvas.belly * body
    total += f32(0.12 * patient.markings) * canvas.vessels * held
    total += canvas.bone * ramp(body * f32(4.0)) * (1.0 - f32(0.5) * canvas.belly)
    return total + canvas.dense * ramp(body * f32(5.0))
