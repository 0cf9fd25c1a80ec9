"""`rrg run`: the whole job."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import (
    Json,
    NoPlugins,
    Overrides,
    PluginFiles,
    RecipeName,
    Variants,
    find_plugins,
    is_main_process,
)
from rrgcore.tracker_names import check_trackers


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
    track: Annotated[
        list[str] | None,
        typer.Option(
            "--track", metavar="NAME", envvar="RRG_TRACK", help="tensorboard, wandb or mlflow."
        ),
    ] = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Train every stage, test once with the best checkpoint, and fill a run folder."""
    found = find_plugins(plugin, no_plugin)
    trackers = check_trackers(track or ())
    from rrgcore.cli.display import Display
    from rrgcore.recipe import load_recipe as read_recipe

    # before torch is imported: a mistake in the recipe's own text should not take seconds to show
    read = read_recipe(recipe, variants=variant or (), overrides=overrides or ())
    from rrgcore.session import Session

    with Display(quiet=as_json) as display:
        session = Session(read, found)
        display.introduce(session.plan)
        finished = session.run(out, new=new, track=trackers, watcher=display)
        if not as_json:
            display.scores(finished)
        elif is_main_process():
            best = finished.folder.record.get("best")
            answer = {"run": str(finished.path), "best": best, "scores": finished.scores}
            typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
