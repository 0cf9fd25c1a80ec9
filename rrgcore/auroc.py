"""The area under the ROC curve: how often a positive has a higher score than a negative."""

import numpy as np
from jaxtyping import Bool, Float


def auroc(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float | None:
    """Return how often a positive has a higher score than a negative, a tie being half; None where
    either kind is missing.
    """
    if positive.all() or not positive.any():
        return None
    return float(weighted_auroc(scores, positive, np.ones(len(scores))))


def weighted_auroc(
    scores: Float[np.ndarray, " n"],
    positive: Bool[np.ndarray, " n"],
    counts: Float[np.ndarray, "*draws n"],
) -> Float[np.ndarray, "*draws"]:
    """Return `auroc` where each item counts so many times, as a bootstrap draws them; 0.5 where
    either kind is missing.
    """
    order = np.argsort(scores, kind="stable")
    _, ties = np.unique(scores[order], return_inverse=True)
    starts = np.flatnonzero(np.r_[True, np.diff(ties) > 0])
    ups = np.add.reduceat(counts[..., order] * positive[order], starts, axis=-1)
    downs = np.add.reduceat(counts[..., order] * ~positive[order], starts, axis=-1)
    below = np.cumsum(downs, axis=-1) - downs / 2
    pairs = ups.sum(-1) * downs.sum(-1)
    found: Float[np.ndarray, "*draws"] = np.where(
        pairs > 0, (ups * below).sum(-1) / np.maximum(pairs, 1e-12), 0.5
    )
    return found
