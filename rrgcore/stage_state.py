"""Where a stage stood when it was saved: state.json, read as if a stranger had written it."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Final

from rrgcore.errors import RunError
from rrgcore.files import read_json

LARGEST: Final = 2**53
"""Beyond it JSON's numbers are no longer whole."""
AGAIN: Final = "Go on from another checkpoint, or begin anew"

Test = tuple[str, Callable[[Any], bool]]
COUNT: Final[Test] = (
    "a whole number from 0",
    lambda value: type(value) is int and 0 <= value <= LARGEST,
)
NUMBER: Final[Test] = ("a finite number", lambda value: is_number(value))
NUMBERS: Final[Test] = (
    "a list of finite numbers",
    lambda value: isinstance(value, list) and bool(value) and all(map(is_number, value)),
)
SCORE: Final[Test] = ("a finite number or null", lambda v: v is None or is_number(v))
FLAG: Final[Test] = ("true or false", lambda value: isinstance(value, bool))
SECTION: Final[Test] = ("an object", lambda value: isinstance(value, dict))
LAST: Final[Mapping[str, Test]] = {
    "best": SCORE,
    "waiting": COUNT,
    "position": SECTION,
    "position.epoch": COUNT,
    "position.batches": COUNT,
    "position.step": COUNT,
    "optimizer": SECTION,
    "schedule": SECTION,
    "schedule.steps": COUNT,
    "schedule.rates": NUMBERS,
    "schedule.scheduler": SECTION,
    "schedule.scheduler.base_lrs": NUMBERS,
    "schedule.scheduler.last_epoch": NUMBER,
    "metrics_lines": COUNT,
    "unvalidated": FLAG,
    "done": FLAG,
}
"""What a run that goes on reads of `last`."""
BEST: Final[Mapping[str, Test]] = {"score": SCORE}
"""What is read of `best`."""


def read_state(path: Path, stage: str, tests: Mapping[str, Test]) -> dict[str, Any]:
    """Read a state; raises RunError naming what is not as it should be."""
    state = read_json(path)
    if state.get("stage") != stage:
        raise RunError(
            f"{path} is of the stage {state.get('stage')!r}; expected '{stage}'. Somebody has "
            f"moved it. {AGAIN}"
        )
    for address, (expected, holds) in tests.items():
        value: Any = state
        for key in address.split("."):
            if key not in value:
                raise RunError(f"{path} is damaged: it does not say {address}. {AGAIN}")
            value = value[key]
        if not holds(value):
            raise RunError(f"{path} is damaged: {address} is {_shown(value)}, not {expected}")
    return state


def check_at_most(path: Path, limits: Mapping[str, tuple[int, int]]) -> None:
    """Raise RunError for a value that is beyond what there is: its address to both."""
    for address, (value, limit) in limits.items():
        if value > limit:
            raise RunError(
                f"{path}: {address} is {value:,}, and there are {limit:,}. Is the run gone on with "
                f"by as many processes as it was begun with? {AGAIN}"
            )


def check_alike(path: Path, address: str, found: Any, expected: Any) -> None:
    """Raise RunError unless what was saved has the form of what is there now: the same keys, as
    many items, numbers for numbers.
    """
    if isinstance(expected, Mapping):
        alike = isinstance(found, dict) and found.keys() == expected.keys()
        for key in expected if alike else ():
            check_alike(path, f"{address}.{key}", found[key], expected[key])
    elif isinstance(expected, Sequence) and not isinstance(expected, str):
        alike = isinstance(found, list) and len(found) == len(expected)
        for index, value in enumerate(expected if alike else ()):
            check_alike(path, f"{address}[{index}]", found[index], value)
    elif isinstance(expected, str | bool):
        alike = type(found) is type(expected)
    else:  # what is none yet may be a number later
        alike = found is None or isinstance(found, bool | str) or is_number(found)
        alike = alike if expected is None else is_number(found)
    if not alike:
        raise RunError(
            f"{path}: {address} is {_shown(found)}; expected the like of {_shown(expected)}. "
            "Was it saved by another recipe?"
        )


def is_number(value: Any) -> bool:
    """Whether it is a number that can be computed with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST if isinstance(value, int) else isfinite(value)


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, Mapping) else f"{{{', '.join(map(str, value))}}}"
    return text if len(text) <= 80 else f"{text[:79]}…"
