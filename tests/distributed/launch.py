"""Two processes that talk through gloo."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def launch(module: str, *words: object, **said: str) -> None:
    """Run a module as two processes, with what a launcher `said` in their environment."""
    done = launched(module, *words, **said)
    assert done.returncode == 0, done.stderr[-6000:]


def launched(module: str, *words: object, **said: str) -> subprocess.CompletedProcess[str]:
    """Run a module as two processes, however they end."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone",
        "-m", module, *map(str, words),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        **said,
    }
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=300, env=environment
    )
