"""How long the commands take that should answer in a blink, beside Python's own start and torch's.

Seconds are those of the processor, of the process that was started: what else runs does not count.
"""

import contextlib
import os
import pty
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


def in_terminal(*arguments: str) -> None:
    """Run Python with a terminal to print to."""
    reads, prints = pty.openpty()
    with subprocess.Popen([sys.executable, *arguments], stdout=prints, stderr=prints) as process:
        os.close(prints)
        with contextlib.suppress(OSError):  # the end of what is printed there
            while os.read(reads, 1 << 16):
                pass
        os.close(reads)
    assert process.returncode == 0, "it failed"


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
        "rrg list in a terminal": partial(in_terminal, "-m", "rrgcore", "list"),
    }
    seconds = medians(calls, rounds=9, clock=of_children)
    own, torch = seconds.pop("python"), seconds.pop("torch")
    figures = ", ".join(f"{name} {s:.2f} s ({s / own:.1f} ×)" for name, s in seconds.items())
    found, shown = (seconds[name] / torch for name in ("rrg list", "rrg list in a terminal"))
    tell(
        f"start-up: {figures}; `python -c pass` {own:.3f} s (1 ×); `rrg list` takes {found:.2f} of "
        f"`import torch`, {torch:.2f} s, which it does not import",
        [
            at_most(
                "start of `rrg list`",
                "`import torch`",
                0.15,
                found,
                f"{1000 * seconds['rrg list']:.0f} and {1000 * torch:.0f} ms; {shown:.2f} where a "
                "terminal shows it as a table",
            )
        ],
    )


if __name__ == "__main__":
    main()
