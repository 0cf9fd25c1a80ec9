"""Whether a run is of a recipe, and where it is not; a run of an earlier rrg may lack options."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rrgcore.check import check_recipe
from rrgcore.confined import check_links
from rrgcore.errors import RunError, UserError
from rrgcore.folder import RECIPE, RUN, RunFolder
from rrgcore.lock import LOCK
from rrgcore.recipe import Recipe, load_recipe
from rrgcore.registry import Registry
from rrgcore.resolve import resolved
from rrgcore.yaml_loader import shown

MOST = 4
"""Addresses that are named."""


def is_run_of(folder: RunFolder, values: Mapping[str, Any], registry: Registry) -> bool:
    """Whether a run is of this resolved recipe, but for what changes no result. An option that the
    run's recipe does not name, since it came with a later version, has its default there; data may
    have been moved, and what they are is for their fingerprint to tell.
    """
    if folder.is_of(values):
        return True
    own = _of_today(folder.path, registry)
    if own is None:
        return False
    return folder.decide_alike(_elsewhere(own, registry), _elsewhere(values, registry))


def recipe_changes(run: Path, values: Mapping[str, Any], registry: Registry) -> str:
    """Say which addresses of a run's recipe are not as in the resolved recipe `values`."""
    if not (run / RECIPE).is_file():
        return f"it has no {RECIPE}"
    own = _of_today(run, registry) or load_recipe(run / RECIPE, alone=True).values
    found = list(_apart(own, values, ""))
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(found[:MOST]) + more


def unfinished(
    root: Path,
    recipe: Recipe,
    values: Mapping[str, Any],
    registry: Registry,
    note: Callable[[str], None],
) -> Path | None:
    """Find the newest unfinished run of the same resolved recipe; `note` hears of damage."""
    name = "-".join((recipe.name, *recipe.variants))
    for path in sorted((root / name).glob("*/"), reverse=True):
        folder = RunFolder(path)
        if not any((path / mark).is_file() for mark in (RUN, RECIPE, LOCK)):
            continue
        try:
            check_links(path)
            if not (path / RUN).is_file():
                # whoever makes one holds it; nobody does where that was killed
                ours = folder.is_beginning_of(values)
            else:
                ours = folder.state != "finished" and is_run_of(folder, values, registry)
        except RunError as error:
            note(f"{path} is passed over: {error}")
            continue
        if ours and not folder.in_use:
            return path
        if ours:
            note(f"{path} is of this recipe, and another rrg is running in it: this is another run")
    return None


def _of_today(run: Path, registry: Registry) -> Mapping[str, Any] | None:
    """Return a run's recipe with the defaults of what it does not name; None where this version
    cannot run it.
    """
    try:
        return resolved(check_recipe(load_recipe(run / RECIPE, alone=True), registry))
    except UserError:
        return None


def _elsewhere(values: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """Return a recipe without where its data are."""
    data = values.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        return dict(values)
    places: Sequence[str] = getattr(registry.get("dataset", data["name"]), "places", ())
    return {**values, "data": {key: data[key] for key in data if key not in places}}


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
