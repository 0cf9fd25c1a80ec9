"""How fast training goes, and how much memory it takes."""

import time
from typing import final

import torch


@final
class Clock:
    """Studies a second between two readings, pauses left out, and the most memory used."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._studies = 0
        self._training: float | None = None

    def add(self, studies: int) -> None:
        """Count studies that were trained on."""
        self._studies += studies

    def pause(self) -> None:
        """Stop counting time as training."""
        self._training = time.perf_counter() - self._start

    def read(self) -> dict[str, float]:
        """Return what was measured since the last reading, and begin anew."""
        now = time.perf_counter() - self._start
        training = self._training or now
        entry = {
            "training_s": round(training, 3),
            "validating_s": round(now - training, 3),
            "studies_per_s": round(self._studies / training, 2),
            "memory_mb": round(_memory() / 2**20, 1),
        }
        self._start, self._studies, self._training = time.perf_counter(), 0, None
        return entry


def _memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    except ImportError:
        return 0
