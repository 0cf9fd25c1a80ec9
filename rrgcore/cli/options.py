"""Options that mean the same in every command."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.plugins import Discovered, discover

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A file, or the name of an installed recipe.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="ADDRESS=VALUE", help="Options to change: objectives.irm=off"),
]
Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", "-v", metavar="NAME", help="A variant of the recipe; they stack."),
]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE", help="A plugin in one file.")
]
NoPlugins = Annotated[
    list[str] | None, typer.Option("--no-plugin", metavar="NAME", help="Leave a plugin out.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def find_plugins(files: Sequence[Path] | None, blocked: Sequence[str] | None) -> Discovered:
    """Discover plugins; RRG_TRACE_PLUGINS=1 says what was found and where."""
    found = discover(files=files or (), blocked=blocked or ())
    if os.environ.get("RRG_TRACE_PLUGINS") == "1":
        for plugin in found.plugins:
            state = "left out" if plugin.blocked else f"{len(plugin.components)} components"
            typer.echo(
                f"rrg: plugin {plugin.name} from {plugin.origin} {plugin.version}: {state}",
                err=True,
            )
    return found


def is_main_process() -> bool:
    """Whether this process prints: with several (`accelerate launch`), the first one does."""
    return os.environ.get("RANK", "0") == "0"
