"""What a run's recipe says otherwise than one that is to be run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rrgcore.folder import RECIPE
from rrgcore.recipe import load_recipe
from rrgcore.yaml_loader import shown

MOST = 4
"""Addresses that are named."""


def recipe_changes(run: Path, values: Mapping[str, Any]) -> str:
    """Say which addresses of a run's recipe are not as in the resolved recipe `values`."""
    if not (run / RECIPE).is_file():
        return f"it has no {RECIPE}"
    found = list(_apart(load_recipe(run / RECIPE).values, values, ""))
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(found[:MOST]) + more


def _apart(there: Any, wanted: Any, address: str) -> Iterator[str]:
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        for key in dict.fromkeys([*there, *wanted]):
            below = f"{address}.{key}" if address else str(key)
            if key not in wanted:
                yield f"{below} is there, now not"
            elif key not in there:
                yield f"{below} is not there, now it is"
            else:
                yield from _apart(there[key], wanted[key], below)
    elif there != wanted:
        yield f"{address} is {shown(there)}, now {shown(wanted)}"
