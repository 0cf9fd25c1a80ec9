"""`rrg run`: the whole job."""

from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import (
    NoPlugins,
    Overrides,
    PluginFiles,
    RecipeName,
    Variants,
    find_plugins,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    variant: Variants = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run folder; resumed if unfinished."),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start afresh instead of going on with an unfinished run.")
    ] = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Train every stage, test once with the best checkpoint, and fill a run folder."""
    found = find_plugins(plugin, no_plugin)
    from rrgcore.cli.display import Display
    from rrgcore.recipe import load_recipe as read_recipe

    # before torch is imported: a mistake in the recipe's own text should not take seconds to show
    read = read_recipe(recipe, variants=variant or (), overrides=overrides or ())
    from rrgcore.session import Session

    with Display() as display:
        session = Session(read, found)
        display.introduce(session.plan)
        finished = session.run(out, new=new, watcher=display)
        display.scores(finished)
