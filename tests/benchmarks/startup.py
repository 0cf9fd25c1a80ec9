"""How long the commands take that should answer in a blink, beside Python's own start."""

import subprocess
import sys
from functools import partial

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


def main() -> None:
    for name, arguments in COMMANDS.items():
        modules = imported(*arguments)
        assert "rrgcore.cli" in modules, f"{name} did not say what it imports"
        assert "torch" not in modules, f"{name} imports torch"
    seconds = medians(
        {
            "python": partial(run, "-c", "pass"),
            **{name: partial(run, "-m", "rrgcore", *said) for name, said in COMMANDS.items()},
        },
        rounds=9,
    )
    own = seconds.pop("python")
    figures = ", ".join(f"{name} {s:.2f} s ({s / own:.1f} ×)" for name, s in seconds.items())
    print(f"start-up: {figures}; `python -c pass` {own:.3f} s (1 ×); torch is not imported")


if __name__ == "__main__":
    main()
