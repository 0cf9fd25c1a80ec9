"""Commands in this process, as the console script runs them, on streams that encode as text."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from rrgcore.cli import main

from .harness import bounded, refused, tried


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


def call(target: str, *arguments: object, codes: tuple[int, ...] = (0, 2)) -> Said:
    """Run a command in the folder that one stands in; 1 is the code of what is no user's mistake.

    Fails unless it exits with one of the codes, in good time and memory, without a traceback and,
    where it refuses, without a file that was not there before.
    """
    tried[target] += 1
    before = listing(Path.cwd())
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)
        for errors in ("strict", "backslashreplace")
    )
    argv = ["rrg", *map(str, arguments)]
    stopped = None
    with (
        patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        bounded(60, 2048),
    ):
        try:
            main()
        except SystemExit as exit:
            stopped = exit
    assert stopped is not None, "a command ends with SystemExit"
    said = Said(
        int(stopped.code or 0),
        out.buffer.getvalue().decode("utf-8", "backslashreplace"),
        err.buffer.getvalue().decode("utf-8", "backslashreplace"),
    )
    assert said.code in codes, f"{argv} exits with {said.code}: {said.err[-2000:]}"
    assert "Traceback" not in said.out + said.err, said.err
    if said.code == 2:
        refused[target] += 1
        assert said.err.strip(), "a refusal says why"
        left = sorted(listing(Path.cwd()) - before)
        assert not left, f"a refused command left {left}"
    return said


def listing(folder: Path) -> set[str]:
    """Return every file and folder below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextlib.contextmanager
def standing_in(folder: Path) -> Iterator[Path]:
    """Stand in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
