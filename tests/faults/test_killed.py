"""A run that is killed, whenever, goes on by the same command and ends as if nothing had been."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .comparing import differences

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def kill(recipe: str, folder: Path, *, seed: int, kills: int, timeout: int) -> dict[str, Any]:
    """Run a recipe that is killed so often; what killed it."""
    command = [sys.executable, str(HERE / "killing.py"), recipe, str(folder), str(seed), str(kills)]
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT, cwd=folder
    )
    assert said.returncode == 0, f"{said.stdout}\n{said.stderr}"
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


def assert_all_the_same(folder: Path, told: dict[str, Any]) -> None:
    runs = sorted(folder.glob("run-*"))
    assert runs
    for run in runs:
        assert differences(folder / "whole", run) == [], (run.name, told["kills"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_that_is_killed_twenty_times_is_the_same(tmp_path: Path) -> None:
    """Of KIA's state: queues, twin, three stages; half of the kills in the middle of a write, and
    six more in the very beginning.
    """
    told = kill(str(HERE / "killed.yaml"), tmp_path, seed=1, kills=20, timeout=280)

    assert len(told["kills"]) == 26
    assert_all_the_same(tmp_path, told)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("recipe", [str(HERE / "killed.yaml"), "cmeaa,tiny"])
def test_a_run_that_is_killed_a_hundred_times_is_the_same(
    recipe: str, seed: int, tmp_path: Path
) -> None:
    told = kill(recipe, tmp_path, seed=seed, kills=100, timeout=3000)

    assert len(told["kills"]) == 106
    assert_all_the_same(tmp_path, told)


def finished(folder: Path) -> bool:
    """Whether the run below it is: killed while it shows its scores, it is."""
    records = [json.loads(path.read_text()) for path in folder.glob("runs/*/*/run.json")]
    return any(record["state"] == "finished" for record in records)


@pytest.mark.slow
def test_commands_that_are_killed_go_on_by_the_same_command(tmp_path: Path) -> None:
    """CmEAA with everything that it learns before it trains, in processes of its own."""
    options = ["--variant", "tiny", "stages.train.steps=12", "stages.train.save_every=1"]
    command = [sys.executable, "-m", "rrgcore", "run", "cmeaa", *options]
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()

    def run(folder: str, seconds: float | None = None) -> bool:
        """Give the command, and return whether it was killed after so many seconds."""
        where = tmp_path / folder
        try:
            said = subprocess.run(
                command, cwd=where, env=ENVIRONMENT, timeout=seconds, capture_output=True, text=True
            )
        except subprocess.TimeoutExpired:  # SIGKILL was sent
            return True
        assert said.returncode == 0, said.stderr
        return False

    began = time.monotonic()
    run("whole")
    seconds = time.monotonic() - began
    rng, kills = random.Random(4), 0
    while not finished(tmp_path / "killed") and run("killed", rng.uniform(0.4, 1.2) * seconds):
        kills += 1
    assert kills
    (one,), (other,) = (list((tmp_path / f).glob("runs/*/*")) for f in ("whole", "killed"))
    assert differences(one, other) == []
