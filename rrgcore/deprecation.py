"""Names of before: they work for one minor release more, and say what to write instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final
from warnings import warn

from rrgcore.errors import did_you_mean


@final
@dataclass(frozen=True, slots=True)
class Renamed:
    """What a name of before is now: another of the same module, or `package.module.name`."""

    now: str
    since: str
    """The minor release in which it warns; the next one is without it."""


def find_renamed(module: str, name: str, renamed: Mapping[str, Renamed]) -> Any:
    """Return what a module has under another name by now, with a DeprecationWarning.

    For a module's `__getattr__`: raises AttributeError for what is no name of before either.
    """
    if name not in renamed:
        known = getattr(import_module(module), "__all__", ())
        near = did_you_mean(name, known)
        raise AttributeError(f"module '{module}' has no attribute '{name}'.{near}")
    new = renamed[name]
    warn(
        f"{module}.{name} is called {new.now} since rrg {new.since}; the next minor release is "
        "without the old name",
        DeprecationWarning,
        stacklevel=3,
    )
    place, _, last = new.now.rpartition(".")
    return getattr(import_module(place or module), last)
