"""What is shown of runs that are under way in processes of their own."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rrgcore.ablation.pool import Outcome, PoolWatcher, Task, duration
from rrgcore.cli.progress import LOG_SECONDS

TAIL = 4096
"""Bytes of a log in which its last line is looked for."""


@final
class RunLines(PoolWatcher):
    """A line for each run that is under way in a terminal; one now and then in a file."""

    def __init__(self, tasks: int, kept: int, note: Callable[[Task, Outcome], None]) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = (
            Live(console=self._console, refresh_per_second=4, transient=True)
            if self._console.is_terminal
            else None
        )
        self._note = note
        self._tasks = tasks
        self._ended = 0
        self._last = time.monotonic()
        self._offset: dict[Task, int] = {}
        if kept:
            self._say(f"finished already, and kept: {kept}")

    def __enter__(self) -> "RunLines":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def began(self, task: Task) -> None:
        """Say so."""
        self._offset[task] = task.log.stat().st_size if task.log.is_file() else 0
        if self._live is None:
            self._say(f"{task.name}: begun, log in {task.log}")

    def ended(self, task: Task, outcome: Outcome) -> None:
        """Say how it ended, and write it down."""
        self._note(task, outcome)
        self._ended += 1
        how = "done" if outcome.code == 0 else f"not finished ({ending(outcome)})"
        self._say(
            f"{task.name}: {how} after {duration(outcome.seconds)}, "
            f"{self._ended} of {self._tasks} runs"
        )

    def look(self, running: Mapping[Task, float], waiting: int) -> None:
        """Show how far each is: the last line that it printed."""
        if self._live is not None:
            lines = "\n".join(self._lines(running, waiting))
            self._live.update(Text(lines, style="dim", no_wrap=True, overflow="ellipsis"))
        elif time.monotonic() - self._last > LOG_SECONDS:
            self._last = time.monotonic()
            for line in self._lines(running, waiting):
                self._say(line)

    def stopping(self, running: int) -> None:
        """Say what is waited for."""
        self._say(f"stopping: {running} runs save where they are (once more to stop at once)")

    def _lines(self, running: Mapping[Task, float], waiting: int) -> list[str]:
        lines = []
        for task, seconds in running.items():
            new = task.log.is_file() and task.log.stat().st_size > self._offset[task]
            last = last_lines(task.log, 1) if new else []
            clock = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
            lines.append(" · ".join([task.name, clock, *last]))
        if waiting:
            lines.append(f"{waiting} more to begin")
        return lines

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a file that say something."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][-count:]


def ending(outcome: Outcome) -> str:
    """Say how a process ended."""
    if outcome.code < 0:
        return f"killed by signal {-outcome.code}"
    return f"exit status {outcome.code}"
