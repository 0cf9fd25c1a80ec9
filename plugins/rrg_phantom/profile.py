"""Where a patient's structures lie as seen from the side."""

from dataclasses import dataclass

import numpy as np

from .anatomy import Array, through
from .patient import Patient


@dataclass(frozen=True, slots=True)
class Profile:
    """The outlines of a lateral view, as x over y (or y over x for the diaphragm)."""

    patient: Patient
    near: float
    """x of the sternum where the chest is deepest."""
    far: float
    """x of the posterior chest wall there."""
    top: float

    def at(self, share: float) -> float:
        """From 0, the sternum, to 1, the posterior chest wall."""
        return self.near + share * (self.far - self.near)

    def front(self, y: Array) -> Array:
        """The skin in front."""
        fat = self.patient.fat
        bust = 0.5 * self.patient.breast * 0.07
        t = (y - self.top) / (self.patient.level(1.0) - self.top)
        out = through(
            (
                (-0.3, 0.3),
                (-0.05, 0.2),
                (0.3, 0.045),
                (0.65, 0.0),
                (0.8, -bust),
                (1.0, 0.0),
                (1.5, 0.0),
            ),
            t,
        )
        return self.near - 0.03 - 0.5 * fat + out

    def back(self, y: Array) -> Array:
        """The skin behind."""
        t = (y - self.top) / (self.patient.level(1.0) - self.top)
        out = through(
            ((-0.3, -0.2), (-0.1, -0.1), (0.25, 0.0), (0.6, 0.0), (1.1, -0.05), (1.5, -0.07)), t
        )
        return self.far + 0.05 + 0.5 * self.patient.fat + out

    def lung_front(self, y: Array) -> Array:
        """The lungs behind the sternum."""
        t = (y - self.top) / (self.patient.level(1.0) - self.top)
        rise = through(
            ((0.0, 0.42), (0.08, 0.27), (0.22, 0.15), (0.5, 0.03), (0.8, 0.0), (1.3, 0.0)), t
        )
        return self.near + rise * (self.far - self.near)

    def lung_back(self, y: Array) -> Array:
        """The lungs before the posterior ribs."""
        t = (y - self.top) / (self.patient.level(1.0) - self.top)
        fall = through(
            ((0.0, 0.26), (0.1, 0.13), (0.3, 0.02), (0.6, 0.0), (1.1, 0.06), (1.4, 0.12)), t
        )
        return self.far - fall * (self.far - self.near)

    def spine(self, y: Array) -> Array:
        """The middle of the vertebral bodies."""
        return self.lung_back(y) - 0.17 * (self.far - self.near)

    def dome(self, side: int, x: Array) -> Array:
        """A hemidiaphragm: highest in front of the middle, deep behind."""
        share = (x - self.near) / (self.far - self.near)
        top = self.patient.dome_right if side < 0 else self.patient.dome_left + 0.008
        ahead = np.clip((0.36 - share) / 0.36, 0.0, 1.2)
        behind = np.clip((share - 0.36) / 0.68, 0.0, 1.0)
        return top + 0.04 * ahead * ahead + 0.15 * (1.0 - np.sqrt(1.0 - 0.97 * behind * behind))

    def heart(self, ratio: float) -> tuple[float, float, float, float]:
        """Centre and radii of the heart at a cardiothoracic ratio."""
        size = ratio / 0.44
        rx, ry = 0.185 * size, 0.125 * size
        return self.at(0.03) + 0.165 * size, self.patient.dome_right - 0.08 * size, rx, ry


def make_profile(patient: Patient) -> Profile:
    """The patient turned by a quarter, in the middle of the picture."""
    depth = 0.5 * (patient.width_right + patient.width_left) / 0.72 + 0.35 * (patient.fat - 0.06)
    middle = 0.5 + 0.6 * (patient.center - 0.5)
    return Profile(patient, middle - depth / 2, middle + depth / 2, patient.apex + 0.01)
