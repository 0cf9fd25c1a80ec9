"""A signal that one process of several hears alone stops all of them, and all is saved."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rrgcore.checkpoint import STATE
from rrgcore.files import read_json
from tests.conftest import TINY

from .launch import ROOT


@pytest.mark.slow
def test_who_has_nothing_to_save_waits_for_the_process_that_saves(tmp_path: Path) -> None:
    """Else it ends, the launcher ends the others, and the one that saves takes that for a second
    signal.
    """
    out = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"),
        *("-m", "tests.distributed.stopping", str(TINY), str(out)),
    ]
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    said = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env=environment,
        check=False,
    )

    assert said.returncode != 0
    words = f"rrg run {out / 'recipe.yaml'} --out {out}"
    assert f"process 0: stopped; to go on, under the same launcher: {words}" in said.stdout
    assert "at once" not in said.stdout, said.stdout
    assert read_json(out / "checkpoints/align/last" / STATE)["position"]["step"] == 1
    assert json.loads((out / "run.json").read_text())["state"] == "stopped"
