"""A whole run that stops after some steps where that is said: what every process does."""

import os
import sys
from collections.abc import Sequence

import torch

from rrgcore import discover, load_recipe, running
from rrgcore.engine import Step
from rrgcore.job import make_accelerator
from rrgcore.watch import Watcher

from .course import shard


class Stopping(Watcher):
    """Stops a run as Ctrl-C does, in every process after the same step."""

    def __init__(self, after: int) -> None:
        self.left = after

    def step(self, step: Step) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def main(recipe: str, out: str, shards: str, stop: str, overrides: Sequence[str]) -> None:
    """Run; `shards` are a layer's name, `whole` for one shard of everything, or `no`."""
    if shards != "no":
        layers = None if shards == "whole" else shards
        running.make_accelerator = lambda plan: shard(make_accelerator(plan), layers)
    try:
        files = [said] if (said := os.environ.get("RRG_TEST_PLUGIN")) else []
        session = load_recipe(recipe, overrides=overrides, plugins=discover(files=files))
        session.run(out, watcher=Stopping(int(stop)))
    except KeyboardInterrupt:
        assert stop != "0", "nobody else stops it"
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:5], sys.argv[5:])
