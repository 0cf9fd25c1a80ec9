"""A component by its name and options, for commands that need no recipe around it."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import cast

from rrgcore.build import build_alone
from rrgcore.check.components import Components
from rrgcore.check.reader import Reader
from rrgcore.errors import RecipeError
from rrgcore.options import PLACE, read_options
from rrgcore.recipe import Recipe
from rrgcore.registry import Registry
from rrgcore.settings import DataSettings
from rrgcore.supply import Dataset


def load_dataset(name: str, overrides: Sequence[str], registry: Registry) -> Dataset:
    """Build a dataset from OPTION=VALUE …, each checked as in the `data` of a recipe.

    What core's settings fill in there (`image_size`) they fill in here. Raises RecipeError with
    everything that is wrong; what the dataset's constructor raised is its cause.
    """
    return cast(Dataset, load_component("dataset", name, overrides, registry))


def load_component(kind: str, name: str, overrides: Sequence[str], registry: Registry) -> object:
    """Build a component that needs no model around it, as `load_dataset` builds a dataset.

    Its options may be components themselves: `labeler=rules`, `labeler.name=…`.
    """
    values, problems = read_options(name, overrides, f"this {kind}")
    source = f"{kind} {name}"
    recipe = Recipe(source, source, {"data": values}, {"data": PLACE}, (), (), ())
    reader = Reader(recipe, expand_paths=True)
    block = Components(reader, registry).block(kind, values, "data")
    problems += reader.problems
    cause: BaseException | None = None
    if block is not None and not problems:
        own = [field.name for field in fields(DataSettings)]
        given = {key: value for key, value in block.options.items() if key in own}
        settings = reader.settings(DataSettings, given, "data")
        if settings is not None:
            try:
                return build_alone(block, recipe, settings)
            except RecipeError as error:
                problems += error.problems
                cause = error.__cause__
        problems += reader.problems
    raise RecipeError(
        source,
        [replace(p, address=p.address.removeprefix("data").removeprefix(".")) for p in problems],
    ) from cause
