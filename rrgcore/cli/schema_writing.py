"""`rrg schema`: a JSON Schema of recipes, for completion in editors."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import NoPlugins, PluginFiles, find_plugins


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schema")(schema)


def schema(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it here; else print it.")
    ] = None,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Print a JSON Schema of recipes, with which editors complete and check them."""
    found = find_plugins(plugin, no_plugin)
    from rrgcore.cli.scoring_options import check_out
    from rrgcore.files import write_text
    from rrgcore.schema import make_schema

    check_out(out)
    text = json.dumps(make_schema(found.registry), indent=1, ensure_ascii=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    line = f"# yaml-language-server: $schema={out.name}"
    typer.echo(f"{out}: a recipe beside it names it by the line\n{line}")
