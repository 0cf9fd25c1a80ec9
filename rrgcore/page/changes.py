"""What a run's recipe says otherwise than the one it was made of, and who said so."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, final

from rrgcore.check import check_recipe
from rrgcore.errors import UserError
from rrgcore.installed import list_recipes
from rrgcore.plan import Plan
from rrgcore.recipe import Recipe, find_recipe, load_recipe, parent_of
from rrgcore.registry import Registry
from rrgcore.resolve import resolved
from rrgcore.yaml_loader import shown

NOTHING = "–"
Address = tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Change:
    """One address that is not as it was."""

    address: str
    before: str
    now: str
    by: str
    """The variant or override that said so last."""


@final
@dataclass(frozen=True, slots=True)
class Changes:
    """What was changed in one recipe to make another."""

    base: str
    of: str
    changes: Sequence[Change]


@final
@dataclass(frozen=True, slots=True)
class History:
    """How a run's recipe came to be, as far as that can be told."""

    steps: Sequence[Changes]
    unknown: str = ""
    """Why it cannot be told, or not wholly."""

    def written(self, how: Callable[[str], str]) -> "History":
        """Return it with every value written in another way."""
        steps = [
            Changes(
                step.base,
                how(step.of),
                [Change(c.address, how(c.before), how(c.now), how(c.by)) for c in step.changes],
            )
            for step in self.steps
        ]
        return History(steps, how(self.unknown))


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """What run.json says of the recipe that a run was made of."""

    recipe: str
    variants: Sequence[str]
    overrides: Sequence[str]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Origin":
        """Read it; raises TypeError or KeyError."""
        said = [list(map(str, record.get(name, ()))) for name in ("variants", "overrides")]
        return cls(str(record["recipe"]), *said)


def history(
    origin: Origin, plan: Plan | None, registry: Registry, *, recipe: str | Path | None = None
) -> History:
    """Compare a run's resolved recipe with the one it was made of, and that with what it extends.

    `recipe` names the recipe where a run's record, which keeps its name alone, does not suffice.
    Every default is filled in on both sides, so that only a choice is a change.
    """
    if plan is None:
        return History([], "What it changed cannot be told without its components.")
    name, variants, overrides = origin.recipe, origin.variants, origin.overrides
    try:
        path = find_recipe(str(recipe)) if recipe is not None else _named(name)
        said = [("the recipe", load_recipe(path))]
        for count in range(1, len(variants) + 1):
            with_some = load_recipe(path, variants=variants[:count])
            said.append((f"variant {variants[count - 1]}", with_some))
        for count in range(1, len(overrides) + 1):
            with_all = load_recipe(path, variants=variants, overrides=overrides[:count])
            said.append((f"override {overrides[count - 1]}", with_all))
        steps = [(by, _resolved(each, registry)) for by, each in said]
        made = " ".join([name, *(f"--variant {v}" for v in variants), *overrides])
        found = [Changes(name, made, _last_said([*steps, ("otherwise", resolved(plan))]))]
        parent = parent_of(path)
        if parent is not None:
            of_parent = _resolved(load_recipe(parent), registry)
            own = _last_said([("", of_parent), (f"recipe {name}", steps[0][1])])
            found.append(Changes(parent.stem, name, own))
    except UserError as error:
        return History([], str(error))
    unknown = ""
    if any(change.by == "otherwise" for change in found[0].changes):
        unknown = (
            f"The recipe {name} of this machine, with the run's variants and overrides, is not "
            "what ran: what differs besides is marked “otherwise”."
        )
    return History(found, unknown)


def _named(name: str) -> Path:
    """Find an installed recipe by the last part of its name; raises UserError."""
    known = list_recipes()
    same = [path for key, path in known.items() if key.rpartition("/")[2] == name]
    if len(same) != 1:
        raise UserError(
            f"No recipe called “{name}” came with rrg, so what this one changed cannot be told "
            "here: name its file with --recipe."
        )
    return same[0]


def _resolved(recipe: Recipe, registry: Registry) -> Mapping[str, Any]:
    try:
        return resolved(check_recipe(recipe, registry))
    except UserError:  # an environment variable that is not set here
        return resolved(check_recipe(recipe, registry, expand_paths=False))


def _last_said(steps: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Change]:
    """Return what the last step says otherwise than the first, and which step said it last."""
    found = []
    for path in _apart(steps[0][1], steps[-1][1], ()):
        if path == ("about",):
            continue
        values = [(by, _at(value, path)) for by, value in steps]
        by = [now[0] for before, now in pairwise(values) if before[1] != now[1]][-1]
        found.append(Change(".".join(path), _said(values[0][1]), _said(values[-1][1]), by))
    return found


def _apart(first: Any, last: Any, path: Address) -> Iterator[Address]:
    """Yield the addresses at which two values differ; what only one of them has is one."""
    if isinstance(first, Mapping) and isinstance(last, Mapping):
        for key in dict.fromkeys([*first, *last]):
            yield from _apart(first.get(key, NOTHING), last.get(key, NOTHING), (*path, str(key)))
    elif first != last:
        yield path


def _at(value: Any, path: Address) -> Any:
    for key in path:
        value = value.get(key, NOTHING) if isinstance(value, Mapping) else NOTHING
    return value


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(value)}}}"
    return NOTHING if value == NOTHING else shown(value)
