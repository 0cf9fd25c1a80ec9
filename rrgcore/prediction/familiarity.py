"""Whether a picture is like those that a run was trained on.

A picture is measured without any model (`rrgcore.prediction.picture`), and its Mahalanobis distance
taken from the training pictures: d² = (x − μ)ᵀ Σ⁻¹ (x − μ) / f, with the covariance of Ledoit and
Wolf (2004), which is shrunk as far as few pictures demand. Frontal and lateral pictures are told
apart where there are many of each; what is near to either is near. The limit is a quantile of the
distances of validation pictures. Why the encoder is not asked: docs/predict.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Float, Float32, UInt8

from rrgcore.chest import View
from rrgcore.prediction.picture import BLOCKS, LEAST, measure_picture

QUANTILE: Final = 0.995
"""Of the distances of validation pictures: the limit."""
FEWEST: Final = 50
"""Pictures of training, and of validation, from which anything can be told."""
OWN_GROUP: Final = 100
"""Training pictures of a view from which it is a group of its own."""


@final
@dataclass(frozen=True, slots=True)
class Familiarity:
    """Groups of training pictures: their means, scales and inverse covariances."""

    mean: Float32[np.ndarray, "m f"]
    scale: Float32[np.ndarray, "m f"]
    precision: Float32[np.ndarray, "m f f"]
    limit: float
    """The distance from which a picture is unlike those of training."""

    def distance(self, image: UInt8[np.ndarray, "h w"]) -> float:
        """Return how far a picture is from those of training, the limit being 1."""
        return self._distance(measure_picture(image))[0] / self.limit

    def strangest(self, image: UInt8[np.ndarray, "h w"]) -> str:
        """Say what of a picture is the least like those of training."""
        measured = measure_picture(image)
        group = self._distance(measured)[1]
        strange = ((measured - self.mean[group]) / self.scale[group]) ** 2
        ends = np.cumsum(list(BLOCKS.values()))
        means = [part.mean() for part in np.split(strange, ends[:-1])]
        return list(BLOCKS)[int(np.argmax(means))]

    def _distance(self, measured: Float[np.ndarray, " f"]) -> tuple[float, int]:
        """Return the distance from the nearest group, and which that is."""
        centred = (measured - self.mean) / self.scale
        squares = np.einsum("mf,mfg,mg->m", centred, self.precision.astype(np.float64), centred)
        group = int(np.argmin(squares))
        return float(np.sqrt(max(squares[group], 0) / measured.size)), group


def fit_familiarity(
    training: Mapping[View, Sequence[Float[np.ndarray, " f"]]],
    validation: Sequence[Float[np.ndarray, " f"]],
) -> Familiarity | str:
    """Learn from measured pictures of training, by view, and find the limit on those of validation.

    Returns why nothing can be told, where there are too few.
    """
    count = sum(map(len, training.values()))
    for split, there in (("training", count), ("validation", len(validation))):
        if there < FEWEST:
            return f"{there} {split} images are too few to tell; {FEWEST} are enough"
    fitted = [_fit(np.stack(rows)) for rows in _groups(training)]
    mean, scale, precision = (
        np.stack(part).astype(np.float32) for part in zip(*fitted, strict=True)
    )
    free = Familiarity(mean, scale, precision, limit=1.0)
    distances = [free._distance(measured)[0] for measured in validation]
    limit = float(np.quantile(distances, QUANTILE, method="higher"))
    return Familiarity(mean, scale, precision, limit)


def _groups(
    training: Mapping[View, Sequence[Float[np.ndarray, " f"]]],
) -> list[list[Float[np.ndarray, " f"]]]:
    """Return the pictures by view; those of views with few are added to the largest group."""
    by_size = sorted(training.values(), key=len, reverse=True)
    groups = [list(by_size[0])]
    for rows in by_size[1:]:
        if len(rows) >= OWN_GROUP:
            groups.append(list(rows))
        else:
            groups[0] += rows
    return groups


def _fit(
    rows: Float[np.ndarray, "n f"],
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"], Float[np.ndarray, "f f"]]:
    """Return the mean and scale of measured pictures, and the inverse of their covariance then."""
    least = np.concatenate([np.full(size, LEAST[name]) for name, size in BLOCKS.items()])
    mean, scale = rows.mean(0), np.maximum(rows.std(0), least)
    return mean, scale, np.linalg.inv(shrunk_covariance((rows - mean) / scale))


def shrunk_covariance(rows: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "f f"]:
    """Return the covariance of centred rows, shrunk towards the identity times its mean variance.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004,
    lemma 3.3 ff.: the shrinkage is b² / d², d² = ‖S − mI‖² and b² = min(d², Σ ‖xxᵀ − S‖² / n²).
    """
    count, width = rows.shape
    sample = rows.T @ rows / count
    level = float(np.trace(sample) / width)
    apart = float(((sample - level * np.eye(width)) ** 2).sum())
    noise = float(((rows**2).sum(1) ** 2).sum() / count - (sample**2).sum()) / count
    share = min(1.0, max(noise, 0.0) / apart) if apart > 0 else 1.0
    # what no picture varies in has no variance at all, and still an inverse
    level = max(level, 1e-6)
    shrunk: Float[np.ndarray, "f f"] = (1 - share) * sample + share * level * np.eye(width)
    return shrunk + 1e-9 * np.eye(width)
