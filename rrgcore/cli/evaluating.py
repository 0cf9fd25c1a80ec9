"""`rrg evaluate`: generate and score again."""

import json
from typing import Annotated

import typer

from rrgcore.cli.options import (
    BatchSize,
    Json,
    NoPlugins,
    PluginFiles,
    Role,
    RunName,
    Trust,
    find_plugins,
    is_main_process,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: RunName,
    split: Role = "test",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol", "-p", metavar="NAME", help="Another metric beside the recipe's."
        ),
    ] = None,
    batch_size: BatchSize = None,
    as_json: Json = False,
    trust: Trust = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Generate the reports of a split with the best checkpoint and score them again."""
    found = find_plugins(plugin, no_plugin)
    from rrgcore.cli.display import Display
    from rrgcore.job import write_assessment
    from rrgcore.run import load_run

    with Display(quiet=as_json) as display:
        loaded = load_run(run, plugins=found, trust=trust)
        loaded.folder.writes = is_main_process()
        with loaded.folder.held():
            measured = loaded.evaluate(
                split, protocols=protocol or (), batch_size=batch_size, watcher=display
            )
            write_assessment(loaded.folder, measured)
            if split == "test" and is_main_process():
                loaded.write_card()
        if not as_json:
            display.assessment(measured.to_json(), loaded.plan)
        elif is_main_process():
            typer.echo(json.dumps(measured.to_json(), indent=1, ensure_ascii=False))
