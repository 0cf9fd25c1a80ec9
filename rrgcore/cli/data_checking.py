"""`rrg data check`: what is in a data set, and what is wrong with it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rrgcore.cli.options import (
    DataName,
    DataOptions,
    Json,
    NoPlugins,
    PluginFiles,
    Variants,
    find_plugins,
    refuse_unless_recipe,
)
from rrgcore.errors import DataError, UserError
from rrgcore.interrupts import Interrupts

if TYPE_CHECKING:
    from rrgcore.data_check import Reading
    from rrgcore.plugins import Discovered
    from rrgcore.supply import Dataset


def check(
    name: DataName,
    options: DataOptions = None,
    variant: Variants = None,
    as_json: Json = False,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Open every image.")] = True,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", metavar="N", min=3, help="Where reports are cut; 100."),
    ] = None,
    min_count: Annotated[
        int | None,
        typer.Option(
            "--min-count", metavar="N", min=1, help="Words that train has so often are known; 1."
        ),
    ] = None,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Describe a data set, and find what is wrong with it: exit status 1 if a result would be."""
    found = find_plugins(plugin, no_plugin)
    if name in found.registry.names("dataset"):
        if variant:
            raise typer.BadParameter(
                f"'{name}' is a data set, which has no variants", param_hint="--variant"
            )
        splits: Mapping[str, str] = {}
        dataset, wrong_rows, reading = _of_dataset(name, options or (), found)
    else:
        dataset, wrong_rows, reading, splits = _of_recipe(name, options or (), variant or (), found)
    from rrgcore.cli.progress import shown_progress
    from rrgcore.data_check import DataCheck
    from rrgcore.data_check.report import report_lines, verdict

    reading = replace(
        reading,
        max_tokens=tokens if tokens is not None else reading.max_tokens,
        min_count=min_count if min_count is not None else reading.min_count,
    )
    work = DataCheck(dataset, reading=reading, splits=splits, wrong_rows=wrong_rows)
    with Interrupts() as stop, stop.let_through():
        with shown_progress("reading studies") as tell:
            work.read(tell)
        if images:
            with shown_progress("opening images") as tell:
                work.open_images(tell)
        checked = work.finish()
    if as_json:
        asked = {"name": name, "options": list(options or ()), "variants": list(variant or ())}
        typer.echo(_as_json({**asked, **checked.to_json()}))
    else:
        title = " ".join([name, *(options or ()), *(f"--variant {v}" for v in variant or ())])
        typer.echo("\n".join([title, "", *report_lines(checked), "", verdict(checked)]))
    if checked.errors:
        raise typer.Exit(1)


def _as_json(value: Any) -> str:
    """Return JSON; half a surrogate pair, which no file can hold, is escaped."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def _of_dataset(
    name: str, options: Sequence[str], found: "Discovered"
) -> tuple["Dataset", Sequence[str], "Reading"]:
    from rrgcore.data_check import Reading
    from rrgcore.datasets import load_dataset

    dataset, wrong_rows = _whole_rows(lambda: load_dataset(name, options, found.registry))
    return dataset, wrong_rows, Reading()


def _of_recipe(
    name: str, overrides: Sequence[str], variants: Sequence[str], found: "Discovered"
) -> tuple["Dataset", Sequence[str], "Reading", Mapping[str, str]]:
    """Return the data of a recipe, how its decoder's tokenizer reads reports, and the splits."""
    from rrgcore.recipe import load_recipe as read_recipe

    refuse_unless_recipe(name, found, of_folder="check the data in it: rrg data check")
    recipe = read_recipe(name, variants=variants, overrides=overrides)
    from rrgcore.data_check import Reading
    from rrgcore.recipe_data import recipe_data

    data = recipe_data(recipe, found.registry)
    dataset, wrong_rows = _whole_rows(data.dataset)
    reading = Reading(
        max_tokens=data.settings.max_report_tokens,
        min_count=data.settings.min_word_count,
        tokenizer=data.tokenizer(),
        tokenizer_name=data.tokenizer_name,
    )
    return (
        dataset,
        wrong_rows,
        reading,
        {str(role): split for role, split in data.settings.splits.items()},
    )


def _whole_rows(load: Callable[[], "Dataset"]) -> tuple["Dataset", Sequence[str]]:
    """Return a dataset, or what is left of it without the rows that are wrong, and these."""
    try:
        return load(), ()
    except UserError as error:
        cause = error if isinstance(error, DataError) else error.__cause__
        if isinstance(cause, DataError) and cause.rest is not None:
            return cast("Dataset", cause.rest), cause.problems
        raise
