"""Trivial baselines: what any score must be read beside."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

DRAWS = 20
"""One random draw moves by a fifth from the next; the mean of so many is steady."""


def baseline_reports(
    training: Sequence[str], count: int, rng: np.random.Generator
) -> dict[str, list[list[str]]]:
    """Return by name the draws of each baseline, `count` reports a draw.

    "most frequent report" gives every study the commonest training report (of equals the first);
    "random report" draws a training report for each.
    """
    frequent = Counter(training).most_common(1)[0][0]
    draws = [[training[i] for i in rng.integers(0, len(training), count)] for _ in range(DRAWS)]
    return {"most frequent report": [[frequent] * count], "random report": draws}
