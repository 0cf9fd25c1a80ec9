"""Training studies varied, without a lie: text and annotations follow what is done to the images.

What happens to a study is drawn once from the study's own generator, and done to all its images.
Images are changed as 8-bit grey, before they are normalised, and resampled at most once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import cos, pi, sin
from typing import Any, Literal, final

import numpy as np
from jaxtyping import UInt8
from numpy.random import PCG64, Generator
from PIL import Image

from rrgcore.annotations import Affine
from rrgcore.mirror import Obstacle, Why, mirrored_text, obstacle
from rrgcore.settings import AugmentSettings
from rrgcore.study import Study


@final
@dataclass(frozen=True, slots=True)
class Change:
    """What is done to one study."""

    mirrored: bool
    matrix: Affine | None
    """Where a point of an image goes; None where it stays."""
    brightness: float
    contrast: float
    gamma: float
    noise: float
    noise_seed: int

    def study(self, study: Study) -> Study:
        """Return the study with what it says changed as its images are."""
        if self.mirrored:
            study = mirror(study)
        if self.matrix is not None:
            study = replace(study, annotations=_mapped(study, "moved", self.matrix))
        return study

    def image(
        self, grey: UInt8[np.ndarray, "size size"], study: Study, number: int
    ) -> UInt8[np.ndarray, "size size"]:
        """Return one of the study's images changed; what comes in from outside it is black."""
        if self.mirrored and flipped(study)[number]:
            grey = grey[:, ::-1]
        if (self.brightness, self.contrast, self.gamma) != (0.0, 1.0, 1.0):
            grey = self._greys(grey)
        if self.matrix is not None:
            grey = _resampled(grey, self.matrix)
        if self.noise:
            drawn = Generator(PCG64([self.noise_seed, number])).standard_normal(
                grey.shape, dtype=np.float32
            )
            grey = np.rint(grey + 255 * self.noise * drawn).clip(0, 255).astype(np.uint8)
        return grey

    def _greys(self, grey: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
        values = (np.arange(256) / 255) ** self.gamma
        mean = np.bincount(grey.ravel(), minlength=256) @ values / grey.size
        values = mean + self.contrast * (values - mean) + self.brightness
        table = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
        changed: UInt8[np.ndarray, "h w"] = table[grey]
        return changed


def draw_change(settings: AugmentSettings, study: Study, rng: Generator) -> Change:
    """Draw what is done to a study.

    Every number is drawn whether it is needed or not: turning one setting on leaves the draws of
    the others as they were.
    """
    coin = rng.random()
    angle, across, down, size, brightness, contrast, gamma = rng.uniform(-1, 1, 7).tolist()
    noise, noise_seed = rng.random(), int(rng.integers(2**63))
    return Change(
        mirrored=coin < settings.flip and why_not_mirrored(study) is None,
        matrix=_matrix(
            settings.rotate * angle,
            (settings.shift * across, settings.shift * down),
            1 + settings.scale * size,
        )
        if settings.moves
        else None,
        brightness=settings.brightness * brightness,
        contrast=1 + settings.contrast * contrast,
        gamma=(1 + settings.gamma) ** gamma,
        noise=settings.noise * noise,
        noise_seed=noise_seed,
    )


def mirror(study: Study) -> Study:
    """Return the mirrored study; an annotation that cannot be mirrored is left out of it.

    Ask `why_not_mirrored` first.
    """
    return replace(
        study,
        report=None if study.report is None else mirrored_text(study.report),
        annotations=_mapped(study, "mirrored", flipped(study)),
        mirrored=not study.mirrored,
    )


def flipped(study: Study) -> tuple[bool, ...]:
    """Return which images of a study are flipped when it is mirrored: all but laterals.

    Exchanging left and right moves things along the beam of a lateral, whose picture stays. One of
    unknown view is flipped: a lateral would only face the other way, a frontal image left as it is
    would belie its text.
    """
    return tuple(view != "lateral" for view in study.views)


def why_not_mirrored(study: Study) -> Obstacle | Literal["laterals alone"] | None:
    """Return what keeps a study from being mirrored truthfully, or None."""
    if not any(flipped(study)):
        return "laterals alone"
    return obstacle(study.report or "")


def tell_never_mirrored(studies: Iterable[Study]) -> str | None:
    """Say how many studies a flip passes over, and why; None where it passes over none."""
    kept = [why_not_mirrored(study) for study in studies]
    reasons = []
    for why, meaning in _MEANING.items():
        if those := [each.words for each in kept if isinstance(each, Obstacle) and each.why == why]:
            reasons.append(f"{len(those):,} {meaning} (as in '{those[0]}')")
    if laterals := kept.count("laterals alone"):
        reasons.append(f"{laterals:,} have lateral images alone")
    if not reasons:
        return None
    never = sum(each is not None for each in kept)
    return f"{never:,} of {len(kept):,} training studies are never flipped: {'; '.join(reasons)}"


def unfit(settings: AugmentSettings, kind: type) -> str | None:
    """Return why an annotation class does not go with the settings, and what to do; or None."""
    for method, needed, switches in (
        ("mirrored", settings.flip > 0, "data.augment.flip=0"),
        (
            "moved",
            settings.moves,
            "data.augment.rotate=0 data.augment.shift=0 data.augment.scale=0",
        ),
    ):
        if needed and not callable(getattr(kind, method, None)):
            return (
                f"{kind.__name__} annotations have no method `{method}`, so they would not follow "
                f"their image. Give the class one (rrgcore.annotations.Annotation says what it "
                f"returns), or set {switches}"
            )
    return None


_MEANING: Mapping[Why, str] = {
    "one-sided": "name what lies on one side only",
    "unclear": "have a word that may mean no side",
}


def _mapped(study: Study, method: str, argument: Any) -> dict[type, Any]:
    """Apply a method to every annotation that has it; the others, which nobody reads, go."""
    return {
        kind: getattr(value, method)(argument)
        for kind, value in study.annotations.items()
        if callable(getattr(value, method, None))
    }


def _matrix(degrees: float, shift: tuple[float, float], size: float) -> Affine:
    """Rotate and scale about the centre, clockwise, then shift."""
    angle = degrees * pi / 180
    c, s = size * cos(angle), size * sin(angle)
    return (
        (c, -s, 0.5 - 0.5 * c + 0.5 * s + shift[0]),
        (s, c, 0.5 - 0.5 * s - 0.5 * c + shift[1]),
    )


def _resampled(grey: UInt8[np.ndarray, "h w"], matrix: Affine) -> UInt8[np.ndarray, "h w"]:
    """Move an image, bilinear."""
    height, width = grey.shape
    (a, b, c), (d, e, f) = matrix
    area = a * e - b * d
    # where each pixel of the new image comes from, in pixels
    back = (
        e / area,
        -b / area * width / height,
        (b * f - c * e) / area * width,
        -d / area * height / width,
        a / area,
        (c * d - a * f) / area * height,
    )
    image = Image.fromarray(np.ascontiguousarray(grey))
    moved = image.transform(
        (width, height), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR
    )
    return np.asarray(moved)
