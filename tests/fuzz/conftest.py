"""What is said after fuzzing: how many were tried."""

from typing import Any

from .harness import TIMES, refused, tried


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many inputs were tried, of each kind."""
    if TIMES and tried:
        terminalreporter.section("inputs tried")
        for target, count in sorted(tried.items()):
            terminalreporter.write_line(f"{target}: {count:,} tried, {refused[target]:,} refused")
