"""`rrg export`: a run as one folder that another machine predicts from."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import Json, NoPlugins, PluginFiles, RunName, find_plugins


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    run: RunName,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new, or empty.")],
    zipped: Annotated[bool, typer.Option("--zip", help="Write DIR.zip instead.")] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Of a run that is not finished, what there is.")
    ] = False,
    training_data: Annotated[
        bool,
        typer.Option("--training-data", help="Where the model needs them, training reports too."),
    ] = False,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Write what predicting takes: no training data, and no path of this machine."""
    found = find_plugins(plugin, no_plugin)
    from rrgcore.disk import size_of
    from rrgcore.run import load_run
    from rrgcore.run_export import needs

    written = load_run(run, plugins=found).export(
        folder, zipped=zipped, unfinished=unfinished, training_data=training_data
    )
    if as_json:
        answer = {"path": str(written.path), "bytes": written.bytes, **written.to_json()}
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    typer.echo(f"{written.path}: {len(written.files)} files, {size_of(written.bytes)}")
    for sentence in needs(written):
        typer.echo(sentence)
    where = shlex.quote(written.path.name.removesuffix(".zip"))
    unpacked = " when it is unpacked" if zipped else ""
    typer.echo(f"To use it{unpacked}: rrg predict {where} IMAGE…")
