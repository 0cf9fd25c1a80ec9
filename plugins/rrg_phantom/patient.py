"""The variation between patients: habitus, posture, inspiration, exposure, noise."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Patient:
    """One healthy chest and the way it was exposed; no finding is in it.

    Lengths are fractions of the side of the square picture, y grows downwards. `s` is the distance
    from the midline, positive towards the patient's left (the right of the picture).
    """

    seed: int
    """Of everything too fine to have a name: vessels, mottle, where in its zone a finding lies."""
    center: float
    lean: float
    width_right: float
    width_left: float
    apex: float
    dome_right: float
    dome_left: float
    angle_depth: float
    rotation: float
    heart_ratio: float
    heart_right_share: float
    mediastinum: float
    knob: float
    fat: float
    breast: float
    arm_gap: float
    shoulder: float
    clavicle_rise: float
    rib_spacing: float
    rib_slope: float
    bone: float
    markings: float
    gas: float
    exposure: float
    density: float
    noise: float
    marker: int

    def width(self, side: int) -> float:
        """Half width of the lungs on the patient's right (-1) or left (+1)."""
        return self.width_left if side > 0 else self.width_right

    def level(self, t: float) -> float:
        """Height of a fraction of the lungs: 0 is the apices, 1 the domes of the diaphragm."""
        return self.apex + t * ((self.dome_right + self.dome_left) / 2 - self.apex)


def sample_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient; the same generator state gives the same patient."""

    def around(mean: float, spread: float) -> float:
        # A clipped triangle of two uniforms: no outliers that would leave the picture.
        return float(mean + spread * (rng.random() + rng.random() - 1.0))

    zoom = around(1.0, 0.09)
    inspiration = around(0.0, 1.0)
    rotation = around(0.0, 0.022)
    width = zoom * around(0.36, 0.045)
    dome = 0.5 + zoom * (0.215 + 0.05 * inspiration) + around(0.0, 0.01)
    female = rng.random() < 0.5
    fat = around(0.06, 0.045)
    return Patient(
        seed=int(rng.integers(2**62)),
        center=around(0.5, 0.03),
        lean=around(0.0, 0.05),
        width_right=width * (1.0 + rotation),
        width_left=width * (0.985 - rotation),
        apex=0.5 - zoom * around(0.395, 0.025),
        dome_right=dome,
        dome_left=dome + around(0.024, 0.012),
        angle_depth=around(0.115, 0.02),
        rotation=rotation,
        heart_ratio=around(0.435 - 0.02 * inspiration, 0.03),
        heart_right_share=around(0.31, 0.04) - rotation,
        mediastinum=around(1.0, 0.12),
        knob=around(1.0, 0.2),
        fat=fat,
        breast=(0.3 + 0.7 * float(rng.random())) * (0.5 + 8.0 * fat) if female else 0.0,
        arm_gap=float(rng.choice((0.0, 0.35, 0.9), p=(0.35, 0.35, 0.3))) * around(1.0, 0.3),
        shoulder=around(0.0, 0.03),
        clavicle_rise=around(0.05, 0.05),
        rib_spacing=around(0.104, 0.006),
        rib_slope=around(1.0, 0.3),
        bone=around(1.0, 0.3),
        markings=around(1.0, 0.25),
        gas=around(0.055, 0.03) if rng.random() < 0.6 else 0.0,
        exposure=around(0.8, 0.34),
        density=around(1.0, 0.09),
        noise=around(0.011, 0.006),
        marker=int(rng.integers(3)),
    )
