"""Each benchmark, and the line it prints: `pytest tests/benchmarks -m benchmark`.

Those with a row in docs/benchmarks.md give it to `python tests/benchmarks/run.py`, too.

A benchmark runs in a process of its own, since in this one shape checks slow every call. It fails
where what it measures is not what it says, never because of a time.
"""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.benchmark
@pytest.mark.parametrize(
    "name",
    [
        "startup",
        "decoding",
        "phantoms",
        "steps",
        "kia_step",
        "cmeaa_step",
        "growth",
        "gpu",
        "labelling",
        "radgraph",
        "mimic",
        "scale",
        "memory",
        "scoring",
        "ngrams",
        "observations",
        "images",
    ],
)
def test_a_benchmark_prints_its_figures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, HERE / f"{name}.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)

    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    with capsys.disabled():
        print(f"\n{line}")
