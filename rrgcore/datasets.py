"""A dataset by its name and options, for commands that need no recipe around it."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, cast

from rrgcore.build import build_alone
from rrgcore.check.components import Components
from rrgcore.check.reader import Reader
from rrgcore.errors import Problem, RecipeError
from rrgcore.interfaces import Dataset
from rrgcore.overrides import COMMAND_LINE, apply_override
from rrgcore.recipe import Recipe
from rrgcore.registry import Registry
from rrgcore.settings import DataSettings
from rrgcore.yaml_loader import Node, Origin, plain

PLACE = Origin(COMMAND_LINE, None)


def load_dataset(name: str, overrides: Sequence[str], registry: Registry) -> Dataset:
    """Build a dataset from OPTION=VALUE …, each checked as in the `data` of a recipe.

    What core's settings fill in there (`image_size`) they fill in here. Raises RecipeError with
    everything that is wrong.
    """
    values, problems = _read(name, overrides)
    source = f"dataset {name}"
    recipe = Recipe(source, source, {"data": values}, {"data": PLACE}, (), (), ())
    reader = Reader(recipe, expand_paths=True)
    block = Components(reader, registry).block("dataset", values, "data")
    problems += reader.problems
    if block is not None and not problems:
        own = [field.name for field in fields(DataSettings)]
        given = {key: value for key, value in block.options.items() if key in own}
        settings = reader.settings(DataSettings, given, "data")
        if settings is not None:
            try:
                return cast(Dataset, build_alone(block, recipe, settings))
            except RecipeError as error:
                problems += error.problems
        problems += reader.problems
    raise RecipeError(
        source,
        [replace(p, address=p.address.removeprefix("data").removeprefix(".")) for p in problems],
    )


def _read(name: str, overrides: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Lay the values over the block of a dataset, in order, as overrides of a recipe."""
    root = Node({"data": Node({"name": Node(name, PLACE)}, PLACE)}, PLACE)
    problems: list[Problem] = []
    for override in overrides:
        option, equals, _ = override.partition("=")
        if not equals or option.strip() in ("", "name"):
            text = "expected OPTION=VALUE, with an option of this dataset"
            problems.append(Problem(override, text, None, COMMAND_LINE))
            continue
        root, wrong = apply_override(root, f"data.{override.strip()}")
        problems += wrong
    return plain(root.mapping["data"]), problems
