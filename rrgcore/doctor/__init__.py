"""What this machine has and lacks for rrg, and what to do about it: `rrg doctor`.

Looking changes nothing, takes seconds, and never fails: what cannot be looked at is a finding too.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rrgcore.doctor import machine, software
from rrgcore.doctor.finding import Finding, State
from rrgcore.doctor.timed import looked_at

SECONDS: Final = 20.0
"""That a part may take; torch on a cold disk takes most."""
SECONDS_OF_A_RECIPE: Final = 120.0
"""Its data is listed, and its model assembled without values."""


def examine(
    *,
    files: Sequence[Path] = (),
    blocked: Sequence[str] = (),
    weights: bool = True,
    seconds: float = SECONDS,
) -> Iterator[Finding]:
    """Look at the machine, a part after the other; `weights`: and for those that installed recipes
    name.
    """
    parts: dict[str, Callable[[], Iterator[Finding]]] = {
        "Python": machine.python,
        "packages": software.packages,
        "torch": partial(software.torch, seconds),
        "processors": machine.processors,
        "memory": machine.memory,
        "disk": machine.disks,
        "clock": machine.clock,
        "locale": machine.locale,
        "Java": partial(software.java, seconds),
        "extras": software.extras,
    }
    if weights:
        parts["weights"] = software.weights
    for name, look in parts.items():
        yield from looked_at(name, look, seconds)
    # each by itself: one that hangs or fails is named, and hides no other
    for name, look in software.plugins(files, blocked):
        yield from looked_at(name, look, seconds)


def examine_recipe(
    recipe: str,
    *,
    variants: Sequence[str] = (),
    overrides: Sequence[str] = (),
    files: Sequence[Path] = (),
    blocked: Sequence[str] = (),
    seconds: float = SECONDS_OF_A_RECIPE,
) -> Iterator[Finding]:
    """Look for what a recipe needs; all of it is needed."""

    def look() -> Iterator[Finding]:
        from rrgcore.doctor.recipe import needs  # imports torch

        return needs(recipe, variants, overrides, files, blocked)

    yield from looked_at("recipe", look, seconds)


__all__ = ["Finding", "State", "examine", "examine_recipe"]
