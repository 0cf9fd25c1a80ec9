"""Options that mean the same in every command."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.errors import RegistryError, UserError
from rrgcore.plugins import Discovered, discover
from rrgcore.settings import ROLES, Split

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A file, or the name of an installed recipe.")
]
RunName = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="ADDRESS=VALUE", help="Options to change: objectives.irm=off"),
]
DataName = Annotated[
    str,
    typer.Argument(
        metavar="DATASET|RECIPE", help="As listed by: rrg list datasets, rrg list recipes"
    ),
]
DataOptions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="OPTION=VALUE",
        help="Options of the data set: root=DIR; of a recipe: data.root=DIR",
    ),
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
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", metavar="N", min=1, help="Reports written at a time, as memory allows."
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Let the run's annotators ask addresses and start programs it names."
    ),
]


def role(text: str) -> Split:
    """Take train, val or test; raises typer.BadParameter for another word."""
    if text not in ROLES:
        raise typer.BadParameter(f"'{text}' is none of {', '.join(ROLES)}")
    return text


Role = Annotated[
    Split, typer.Option("--split", metavar="SPLIT", parser=role, help="train, val or test.")
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


def refuse_unless_recipe(name: str, found: Discovered, *, of_folder: str) -> None:
    """Raise what names both data sets and recipes, for what is none of them; `of_folder` is the
    command to type for a folder of data.
    """
    from rrgcore.recipe import find_recipe

    try:
        find_recipe(name)
    except UserError as error:
        if Path(name).is_dir():
            raise UserError(f"'{name}' is a folder; to {of_folder} r2gen root={name}") from error
        try:
            found.registry.entry("dataset", name)
        except RegistryError as unknown:
            raise UserError(f"{unknown}\n{error}") from error


def is_main_process() -> bool:
    """Whether this process prints: with several (`accelerate launch`), the first one does."""
    return os.environ.get("RANK", "0") == "0"
