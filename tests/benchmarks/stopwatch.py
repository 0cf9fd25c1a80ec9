"""Seconds that can be compared: medians of calls that take turns, so that a busy machine hits all
alike.
"""

import statistics
import time
from collections.abc import Callable, Mapping


def medians(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, uncounted: int = 1
) -> dict[str, float]:
    """Return each call's median seconds over some rounds, after some that are not counted."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(uncounted + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[uncounted:]) for name, seconds in taken.items()}
