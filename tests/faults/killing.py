"""Runs a recipe that SIGKILL ends again and again until it is finished; for test_killed.py.

    python killing.py RECIPE[,VARIANT…] FOLDER SEED KILLS

Everything is imported once; each attempt is a child, forked from there, that does what `rrg run`
does. The first ones kill themselves while the folder is made. Of the others every second one is
killed by its parent at a random moment, and the rest kill themselves at something that they write:
before it, after it, or with half of it written. After a run that is finished all the same comes the
next one. On standard output: what ended each attempt, as JSON.
"""

import gc
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

import rrgcore.folder
import rrgcore.tensors
from rrgcore import load_recipe
from rrgcore.session import Session

WRITES: Mapping[str, tuple[Any, str]] = {
    "os.replace": (os, "replace"),
    "os.rename": (os, "rename"),
    "os.fsync": (os, "fsync"),
    "os.mkdir": (os, "mkdir"),
    "os.unlink": (os, "unlink"),  # what shutil.rmtree does, file by file
    "os.truncate": (os, "truncate"),
    "write_bytes": (Path, "write_bytes"),
    "append_line": (rrgcore.folder, "append_line"),
    "save_file": (rrgcore.tensors, "save_file"),
}
"""What a run writes with, and where it is looked up."""


@dataclass(frozen=True)
class Blow:
    """At which call of what an attempt kills itself."""

    what: str
    number: int
    when: str

    def __str__(self) -> str:
        return f"{self.when} {self.what} no. {self.number}"


AT_THE_BEGINNING = (
    Blow("os.mkdir", 1, "after"),
    Blow("os.replace", 1, "before"),
    Blow("os.replace", 1, "after"),  # recipe.yaml is there, and no run.json
    Blow("os.replace", 2, "before"),
    Blow("os.rename", 1, "before"),  # the tokenizers
    Blow("os.rename", 4, "after"),  # a checkpoint has lost its name to the next, which has none yet
)


def main() -> None:
    """Kill, resume, and tell of it."""
    torch.set_num_threads(1)
    (recipe, *variants), root = sys.argv[1].split(","), Path(sys.argv[2])
    rng, wanted = random.Random(int(sys.argv[3])), int(sys.argv[4])
    session = load_recipe(recipe, variants=variants)
    session.check(images=False)  # what is imported late is imported now
    gc.collect()
    gc.freeze()  # else each child would copy this heap to look through it
    calls, seconds = undisturbed(session, root / "whole")
    kills: list[str] = []
    for blow in AT_THE_BEGINNING:
        assert killed(session, root / "run-0", blow), f"{blow} never came"
        kills.append(f"run-0 {blow}")
    number = 0
    while len(kills) < wanted + len(AT_THE_BEGINNING):
        folder = root / f"run-{number}"
        blow = draw(calls, rng) if len(kills) % 2 else None
        wait = rng.uniform(0, seconds) if blow is None else None
        if killed(session, folder, blow, wait):
            kills.append(f"{folder.name} {blow or f'after {wait:.2f} s'}")
        else:
            number += 1
    if (folder := root / f"run-{number}").exists():
        killed(session, folder)
    print(json.dumps({"kills": kills, "seconds": seconds, "calls": calls}))


def undisturbed(session: Session, folder: Path) -> tuple[dict[str, int], float]:
    """Run without a kill; return how often it writes with what, and how long it takes."""
    report = folder.with_suffix(".calls")
    began = time.monotonic()
    if (pid := os.fork()) == 0:
        run(session, folder, count=report)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the undisturbed run failed"
    return json.loads(report.read_text()), time.monotonic() - began


def draw(calls: Mapping[str, int], rng: random.Random) -> Blow:
    """Choose one of the calls of an undisturbed run, in its first half: one that goes on has fewer
    before it.
    """
    what = rng.choice([name for name, count in calls.items() if count])
    number = rng.randint(1, calls[what] // 2 + 1)
    return Blow(what, number, rng.choice(["within"] if what in HALVES else ["before", "after"]))


def killed(
    session: Session, folder: Path, blow: Blow | None = None, wait: float | None = None
) -> bool:
    """Run in a child, and return whether it was killed; what fails otherwise ends everything."""
    if (pid := os.fork()) == 0:
        run(session, folder, blow=blow)
    if wait is not None:
        time.sleep(wait)
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in (0, -signal.SIGKILL):
        sys.exit(f"an attempt in {folder} ended with {code}; {blow=}, {wait=}")
    return code != 0


# ---- in a child -----------------------------------------------------------------------------


def run(
    session: Session, folder: Path, *, blow: Blow | None = None, count: Path | None = None
) -> NoReturn:
    """Do what `rrg run` does, and end the process."""
    counts: Counter[str] = Counter()
    for name, (where, attribute) in WRITES.items():
        setattr(where, attribute, _watched(name, getattr(where, attribute), counts, blow))
    try:
        session.run(folder)
        if count is not None:
            seen = json.dumps(counts)
            count.write_text(seen)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _watched(
    name: str, function: Callable[..., Any], counts: Counter[str], blow: Blow | None
) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        counts[name] += 1
        if blow is None or (blow.what, blow.number) != (name, counts[name]):
            return function(*arguments, **options)
        if blow.when == "after":
            function(*arguments, **options)
        elif blow.when == "within":
            HALVES[name](*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    return call


def _half_of_a_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])


def _half_of_a_line(path: Path, line: str) -> None:
    with path.open("ab") as file:
        file.write(line.encode()[: len(line) // 2])


def _half_of_tensors(tensors: Mapping[str, torch.Tensor], path: Path, **_: Any) -> None:
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{" + bytes(1000))


HALVES = {
    "write_bytes": _half_of_a_file,
    "append_line": _half_of_a_line,
    "save_file": _half_of_tensors,
}

if __name__ == "__main__":
    main()
