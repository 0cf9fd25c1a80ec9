"""Where a stage stood when it was saved: state.json, read as if a stranger had written it."""

from collections.abc import Callable, Mapping, Sequence
from math import isclose, isfinite
from pathlib import Path
from typing import Any, Final

from rrgcore.errors import RunError
from rrgcore.files import read_json

LARGEST: Final = 2**53
"""Beyond it JSON's numbers are no longer whole."""
PROCESSES: Final = "Is the run gone on with by as many processes as it was begun with?"
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
POSITION: Final = ("epoch", "batches", "step")
"""What a position says, and nothing else."""
LAST: Final[Mapping[str, Test]] = {
    "best": SCORE,
    "waiting": COUNT,
    "position": SECTION,
    **{f"position.{key}": COUNT for key in POSITION},
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
    if more := sorted(state["position"].keys() - set(POSITION)) if "position" in tests else []:
        raise RunError(f"{path} is damaged: position says {_shown(more[0])} as well. {AGAIN}")
    return state


def check_position(path: Path, state: Mapping[str, Any], *, steps: int, each: int, by: int) -> None:
    """Raise RunError unless a stage of so many optimizer steps, `each` an epoch and each `by` so
    many batches, can stand where a state says.
    """
    found = state["position"]
    epochs, within = divmod(found["step"], each)
    if found["step"] == steps and within:  # the last epoch of a stage may be a short one
        epochs, within = epochs + 1, 0
    expected = {"epoch": epochs, "batches": within * by}
    for key in ("epoch", "batches"):
        if found[key] != expected[key]:
            raise RunError(
                f"{path}: position.{key} is {found[key]:,}, and after step {found['step']:,} it is "
                f"{expected[key]:,}. {PROCESSES} {AGAIN}"
            )
    if state["waiting"] > epochs:
        raise RunError(
            f"{path}: waiting is {state['waiting']:,}, and there were at most {epochs:,} "
            f"validations. {AGAIN}"
        )
    if state["unvalidated"] and within:
        raise RunError(f"{path}: unvalidated is true, and no epoch has ended there. {AGAIN}")


def check_at_most(path: Path, limits: Mapping[str, tuple[int, int]]) -> None:
    """Raise RunError for a value that is beyond what there is: its address to both."""
    for address, (value, limit) in limits.items():
        if value > limit:
            raise RunError(
                f"{path}: {address} is {value:,}, and there are {limit:,}. {PROCESSES} {AGAIN}"
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


def check_same(path: Path, address: str, found: Any, expected: Any) -> None:
    """Raise RunError unless a saved value of the right form is the one that is computed here."""
    if isinstance(expected, Mapping):
        for key in expected:
            check_same(path, f"{address}.{key}", found[key], expected[key])
    elif isinstance(expected, Sequence) and not isinstance(expected, str):
        for index, value in enumerate(expected):
            check_same(path, f"{address}[{index}]", found[index], value)
    elif not (
        # another version of torch may round otherwise
        isclose(found, expected, rel_tol=1e-6, abs_tol=1e-12)
        if is_number(found) and is_number(expected)
        else found == expected
    ):
        raise RunError(
            f"{path}: {address} is {_shown(found)}, and this recipe's is {_shown(expected)} there. "
            f"{AGAIN}"
        )


def is_number(value: Any) -> bool:
    """Whether it is a number that can be computed with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST if isinstance(value, int) else isfinite(value)


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, Mapping) else f"{{{', '.join(map(str, value))}}}"
    return text if len(text) <= 80 else f"{text[:79]}…"
