"""How long the commands take that should answer in a blink, beside Python's own start and torch's.

Seconds are those of the processor, of the process that was started: what else runs does not count.
"""

import os
import subprocess
import sys
from functools import partial

from rows import at_most, tell
from stopwatch import medians

COMMANDS = {"rrg --help": ["--help"], "rrg list": ["list"]}


def run(*arguments: str) -> str:
    """Run Python; what it said on stderr."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def imported(*arguments: str) -> set[str]:
    """The modules that an rrg command imports."""
    lines = run("-X", "importtime", "-m", "rrgcore", *arguments).splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def of_children() -> float:
    """Return the processor's seconds of all processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    for name, arguments in COMMANDS.items():
        modules = imported(*arguments)
        assert "rrgcore.cli" in modules, f"{name} did not say what it imports"
        assert "torch" not in modules, f"{name} imports torch"
    calls = {
        "python": partial(run, "-c", "pass"),
        "torch": partial(run, "-c", "import torch"),
        **{name: partial(run, "-m", "rrgcore", *said) for name, said in COMMANDS.items()},
    }
    seconds = medians(calls, rounds=9, clock=of_children)
    own, torch = seconds.pop("python"), seconds.pop("torch")
    figures = ", ".join(f"{name} {s:.2f} s ({s / own:.1f} ×)" for name, s in seconds.items())
    found = seconds["rrg list"] / torch
    tell(
        f"start-up: {figures}; `python -c pass` {own:.3f} s (1 ×); `rrg list` takes {found:.2f} of "
        f"`import torch`, {torch:.2f} s, which it does not import",
        [
            at_most(
                "start of `rrg list`",
                "`import torch`",
                0.15,
                found,
                f"{1000 * seconds['rrg list']:.0f} and {1000 * torch:.0f} ms",
            )
        ],
    )


if __name__ == "__main__":
    main()
