"""Several commands at a time, each a process of its own; one that fails takes no other with it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, final

from rrgcore.interrupts import Interrupts

INTERVAL = 0.1
"""Seconds between two looks at what is running."""
PATIENCE = 20.0
"""Seconds that a process which was told to stop at once has for it."""


@final
@dataclass(frozen=True, slots=True)
class Task:
    """A command, and the file that hears what it prints."""

    name: str
    command: tuple[str, ...]
    log: Path


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    seconds: float
    code: int
    """Its exit status; minus the signal that killed it."""


class PoolWatcher:
    """Ignores everything; a command overrides what it wants to show."""

    def began(self, task: Task) -> None:
        """Hear that a command was started."""

    def ended(self, task: Task, outcome: Outcome) -> None:
        """Hear that a command ended, well or not."""

    def look(self, running: Mapping[Task, float], waiting: int) -> None:
        """Hear what runs, for how many seconds each, several times a second."""

    def stopping(self, running: int) -> None:
        """Hear that so many commands were asked to stop."""


@final
@dataclass(slots=True)
class _Running:
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]
    slot: int
    began: float


def run_all(
    tasks: Sequence[Task],
    *,
    jobs: int,
    environment: Callable[[int], Mapping[str, str]] | None = None,
    watcher: PoolWatcher | None = None,
) -> dict[Task, Outcome]:
    """Run commands, `jobs` at a time, in order; return how each of them ended.

    `environment` is asked for each command's variables, by the number of the place it runs in,
    from 0. At Ctrl-C or SIGTERM all that run are asked once to stop where they can go on, and at
    the second one to stop at once; when they have, KeyboardInterrupt is raised.
    """
    watcher = watcher or PoolWatcher()
    waiting, free = list(tasks), list(range(jobs))
    running: dict[Task, _Running] = {}
    outcomes: dict[Task, Outcome] = {}
    asked = False
    with Interrupts() as interrupts:
        try:
            while running or waiting:
                if interrupts.asked and not asked:
                    asked = True
                    waiting.clear()
                    watcher.stopping(len(running))
                    _signal(running)
                while waiting and free:
                    task, slot = waiting.pop(0), free.pop(0)
                    running[task] = _start(task, slot, environment(slot) if environment else None)
                    watcher.began(task)
                for task, found in list(running.items()):
                    if (code := found.process.poll()) is not None:
                        found.log.close()
                        free.append(running.pop(task).slot)
                        outcomes[task] = Outcome(time.monotonic() - found.began, code)
                        watcher.ended(task, outcomes[task])
                now = time.monotonic()
                watcher.look({task: now - r.began for task, r in running.items()}, len(waiting))
                if running:
                    time.sleep(INTERVAL)
        finally:
            _end(running)
        interrupts.check()
    return outcomes


def threads_each(jobs: int) -> int:
    """Return how many threads each of so many processes may use, one at least.

    Of those that OMP_NUM_THREADS allows, where it is set, else of the processors.
    """
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    if not allowed.isdecimal():
        affinity = getattr(os, "sched_getaffinity", None)  # not on macOS or Windows
        allowed = str(len(affinity(0)) if affinity else os.cpu_count() or 1)
    return max(1, int(allowed) // jobs)


def environment_of(slot: int, jobs: int, devices: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables of a process among so many: its share of the threads, and its GPU.

    With several GPUs each place has one in turn; else all share what there is.
    """
    variables = dict(os.environ)
    if jobs > 1:
        variables["OMP_NUM_THREADS"] = str(threads_each(jobs))
        if len(devices) > 1:
            variables["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return variables


def duration(seconds: float | None) -> str:
    """Write seconds as one would say them: 48 s, 12 min, 3 h 05 min."""
    if seconds is None:
        return "–"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _start(task: Task, slot: int, variables: Mapping[str, str] | None) -> _Running:
    task.log.parent.mkdir(parents=True, exist_ok=True)
    log = task.log.open("ab")
    process = subprocess.Popen(
        task.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=variables,
        # a group of its own: a terminal's Ctrl-C reaches us, and from us each exactly once, since a
        # run that hears it twice gives up what it has not saved
        start_new_session=True,
    )
    return _Running(process, log, slot, time.monotonic())


def _signal(running: Mapping[Task, _Running]) -> None:
    for found in running.values():
        if found.process.poll() is None:
            found.process.send_signal(signal.SIGTERM)


def _end(running: Mapping[Task, _Running]) -> None:
    """Stop at once what still runs: nobody would hear of it any more."""
    _signal(running)
    last = time.monotonic() + PATIENCE
    try:
        for found in running.values():
            with suppress(subprocess.TimeoutExpired):
                found.process.wait(max(0.0, last - time.monotonic()))
    finally:  # also of whoever asks a third time
        for found in running.values():
            found.process.kill()
            found.process.wait()
            found.log.close()
