"""A row of the table of benchmarks: what was asked, and what was found.

A benchmark's file prints a line; with --rows it prints its rows as JSON, which `run.py` reads.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured against what, beside what was asked for."""

    what: str
    against: str
    asked: str
    measured: str
    reached: bool


def at_least(what: str, against: str, asked: float, found: float, more: str = "") -> Row:
    """Make the row of a figure that is to be so many times as large."""
    return Row(what, against, f"≥ {asked:g} ×", _with(f"{found:.2f} ×", more), found >= asked)


def at_most(what: str, against: str, asked: float, found: float, more: str = "") -> Row:
    """Make the row of a figure that is to be a small share."""
    return Row(what, against, f"≤ {asked:g}", _with(f"{found:.2f}", more), found <= asked)


def share(what: str, against: str, asked: float, found: float, more: str = "") -> Row:
    """Make the row of a share that is to be large."""
    return Row(what, against, f"≥ {asked:.0%}", _with(f"{found:.0%}", more), found >= asked)


def tell(line: str, rows: Sequence[Row]) -> None:
    """Print what a benchmark found, as it was asked to."""
    print(json.dumps([asdict(row) for row in rows]) if "--rows" in sys.argv else line)


def _with(found: str, more: str) -> str:
    return f"{found}; {more}" if more else found
