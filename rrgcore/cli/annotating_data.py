"""What `rrg annotate` is about: a data set or a recipe's data, and who annotates it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from rrgcore.cli.options import refuse_unless_recipe
from rrgcore.errors import RecipeError

if TYPE_CHECKING:  # --help imports none of it
    from rrgcore.plugins import Discovered
    from rrgcore.recipe import Recipe
    from rrgcore.recipe_data import RecipeData
    from rrgcore.supply import Annotator


def data_of(
    name: str,
    options: Sequence[str],
    variants: Sequence[str],
    overrides: Sequence[str],
    found: "Discovered",
) -> "RecipeData":
    """Read the data of a recipe, or a data set as if a recipe were around it."""
    if name in found.registry.names("dataset"):
        if variants:
            raise typer.BadParameter(
                f"'{name}' is a data set, which has no variants", param_hint="--variant"
            )
        recipe = _around(name, [*options, *overrides])
    else:
        refuse_unless_recipe(
            name, found, of_folder="annotate the data in it: rrg annotate ANNOTATOR"
        )
        from rrgcore.recipe import load_recipe

        ours = [f"data.{override}" for override in overrides]
        recipe = load_recipe(name, variants=variants, overrides=[*options, *ours])
    from rrgcore.recipe_data import recipe_data

    return recipe_data(recipe, found.registry)


def _around(dataset: str, options: Sequence[str]) -> "Recipe":
    from rrgcore.options import PLACE, read_options
    from rrgcore.recipe import Recipe

    values, problems = read_options(dataset, options, "this dataset")
    source = f"dataset {dataset}"
    if problems:
        raise RecipeError(source, problems)
    return Recipe(source, source, {"data": values}, {"data": PLACE}, (), (), ())


def annotators_of(data: "RecipeData", kind: type) -> Iterator[tuple[type, "Annotator"]]:
    """Build who makes a class of annotations, and who makes what they read; nobody else."""
    needed = [kind]
    for each in needed:
        if each in data.annotators:
            annotator = data.annotator(each)
            needed += [reads for reads in annotator.reads if reads not in needed]
            yield each, annotator


def as_typed(error: RecipeError, slug: str, annotator: str) -> RecipeError:
    """Name options as they are given here, where no recipe has an address for them."""
    if not error.source.startswith("dataset "):
        return error
    ours = f"data.annotations.{slug}"

    def address(given: str) -> str:
        if given == ours:
            return annotator
        if given.startswith(f"{ours}."):
            return f"--set {annotator}{given.removeprefix(ours)}"
        return given.removeprefix("data.")

    problems = [replace(each, address=address(each.address)) for each in error.problems]
    return RecipeError(error.source, problems)
