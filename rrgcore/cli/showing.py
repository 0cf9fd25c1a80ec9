"""`rrg check` and `rrg show`: a recipe, before anything is built."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rrgcore.cli.options import (
    Json,
    NoPlugins,
    Overrides,
    PluginFiles,
    RecipeName,
    Variants,
    find_plugins,
)
from rrgcore.errors import Problem, RecipeError, UserError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("check")(check)
    app.command("show")(show)


def check(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE|ADDRESS=VALUE", help="Recipes, overrides."),
    ],
    variant: Variants = None,
    all_variants: Annotated[
        bool, typer.Option("--all-variants", help="Each variant too, one at a time.")
    ] = False,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Open every image of the data.")
    ] = True,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Find everything that is wrong with recipes and their data; builds and allocates nothing."""
    from rrgcore import load_recipe
    from rrgcore.cli.display import Display

    found = find_plugins(plugin, no_plugin)
    names = [name for name in recipes if "=" not in name or Path(name).is_file()]
    overrides = [name for name in recipes if name not in names]
    if not names:
        raise typer.BadParameter("expected at least one recipe", param_hint="RECIPE")
    problems: list[str] = []
    answers: list[dict[str, Any]] = []
    for name in names:
        chosen: list[list[str]] = [list(variant or [])]
        if all_variants:
            available = load_recipe(name, plugins=found).recipe.available
            chosen += [[*chosen[0], extra] for extra in available]
        for variants in chosen:
            title = " ".join([name, *(f"--variant {v}" for v in variants)])
            answer: dict[str, Any] = {"recipe": name, "variants": variants, "problems": []}
            answers.append(answer)
            try:
                session = load_recipe(name, variants=variants, overrides=overrides, plugins=found)
                with Display(quiet=as_json) as display:
                    session.check(images=images, watcher=display)
                if not as_json:
                    typer.echo(f"{title}: good")
            except UserError as error:
                problems.append(f"{title}\n{error}" if variants else str(error))
                answer["problems"] = _problems(error)
    if as_json:
        typer.echo(json.dumps(answers, indent=1, ensure_ascii=False))
    if problems:
        if not as_json:
            typer.echo("\n\n".join(problems), err=True)
        raise typer.Exit(2)


def _problems(error: UserError) -> list[dict[str, Any]]:
    if isinstance(error, RecipeError):
        return [asdict(problem) for problem in error.problems]
    return [asdict(Problem("", str(error)))]


def show(
    recipe: RecipeName,
    overrides: Overrides = None,
    variant: Variants = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Predict the memory that training takes on a GPU.")
    ] = False,
    views: Annotated[
        int | None,
        typer.Option(
            "--views", metavar="N", min=1, help="Images of a study, for --memory without the data."
        ),
    ] = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Show a recipe with every default filled in, and count its parameters."""
    from rrgcore import load_recipe
    from rrgcore.recipe import dump_recipe

    found = find_plugins(plugin, no_plugin)
    session = load_recipe(recipe, variants=variant or (), overrides=overrides or (), plugins=found)
    if memory:
        from rrgcore.cli.memory_table import memory_json, print_memory

        predicted = session.memory(views=views)
        if as_json:
            typer.echo(json.dumps(memory_json(predicted), indent=1, ensure_ascii=False))
        else:
            print_memory(Console(highlight=False), predicted)
        return
    if views is not None:
        raise typer.BadParameter("is for --memory", param_hint="--views")
    shown = session.show()
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "recipe": shown.values,
                    "parameters": [asdict(weight) for weight in shown.weights],
                    "not at hand": list(shown.absent),
                },
                indent=1,
                ensure_ascii=False,
            )
        )
        return
    typer.echo(dump_recipe(shown.values))
    table = Table(box=None, pad_edge=False, title="parameters", title_justify="left")
    table.add_column("part")
    table.add_column("trainable", justify="right")
    table.add_column("frozen", justify="right")
    counted = [weight for weight in shown.weights if "twin" not in weight.part]
    twins = [weight for weight in shown.weights if "twin" in weight.part]
    for weight in counted:
        table.add_row(
            weight.part, f"{weight.trainable:,}", f"{weight.frozen:,}" if weight.frozen else ""
        )
    table.add_section()
    trainable, frozen = (sum(getattr(w, k) for w in counted) for k in ("trainable", "frozen"))
    table.add_row("all", f"{trainable:,}", f"{frozen:,}" if frozen else "")
    for weight in twins:
        table.add_row(weight.part, "", f"{weight.frozen:,}")
    Console().print(table)
    for line in shown.absent:
        typer.echo(f"not at hand: {line}")
