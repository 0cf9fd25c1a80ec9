"""Seconds that can be compared: medians of calls that take turns, so that a busy machine hits all
alike.

On one thread, as benchmarks run unless RRG_BENCHMARK_THREADS says otherwise, seconds are those of
the processor: what else the machine does then does not count.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping

import torch

THREADS = int(os.environ.get("RRG_BENCHMARK_THREADS", "1"))


def use_threads() -> None:
    """Compute on as many threads as is said; one unless it is."""
    torch.set_num_threads(THREADS)


def clock() -> float:
    """Return seconds: of the processor where there is one thread, else of the wall."""
    return time.process_time() if THREADS == 1 else time.perf_counter()


def medians(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    uncounted: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return each call's median seconds over some rounds, after some that are not counted."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(uncounted + rounds):
        for name, call in calls.items():
            start = clock()
            call()
            taken[name].append(clock() - start)
    return {name: statistics.median(seconds[uncounted:]) for name, seconds in taken.items()}
