"""A run of two processes of which one alone hears SIGTERM, while the other is slow to save."""

import os
import signal
import sys
import time
from pathlib import Path

import torch

from rrgcore import files, load_recipe
from rrgcore.engine import Step
from rrgcore.interrupts import exit_status
from rrgcore.watch import Watcher

SECONDS = 4.0
"""Longer than a signal that is passed on counts as the same one."""


class Stops(Watcher):
    """Has the second process asked to stop after the first step; says what it is told."""

    def __init__(self, rank: str) -> None:
        self.rank = rank

    def step(self, step: Step) -> None:
        if self.rank == "1" and step.position.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def note(self, text: str) -> None:
        print(f"process {self.rank}: {text}", flush=True)


def main(recipe: str, out: str) -> None:
    """Run until it is stopped, and end as `rrg run` does."""
    synced = files.sync_tree

    def slow(folder: Path) -> None:
        if folder.name == ".last.writing":
            time.sleep(SECONDS)
        synced(folder)

    files.sync_tree = slow
    try:
        session = load_recipe(recipe, variants=["short"], overrides=["stages.align.accumulate=1"])
        session.run(out, watcher=Stops(os.environ["RANK"]))
    except KeyboardInterrupt as error:
        sys.exit(exit_status(error))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
