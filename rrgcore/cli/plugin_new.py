"""`rrg plugin new`: a plugin to begin with. Imports no torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import NoPlugins, find_plugins
from rrgcore.errors import UserError, did_you_mean
from rrgcore.scaffold.kinds import BEGINNINGS
from rrgcore.scaffold.names import parse_name
from rrgcore.scaffold.write import write_plugin


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(no_args_is_help=True, help="Write plugins; those there are: rrg plugins.")
    group.callback()(_plugin)
    group.command("new")(new)
    app.add_typer(group, name="plugin")


def _plugin() -> None:
    """Keep the group a group, though it has one command."""


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="my-idea, or my_idea.thing with the component's.")
    ],
    kind: Annotated[
        str, typer.Option(metavar="KIND", help=f"Of its component: {', '.join(BEGINNINGS)}.")
    ] = "adapter",
    where: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="The folder that it is written into.")
    ] = Path(),
    no_plugin: NoPlugins = None,
) -> None:
    """Write a plugin that can be installed, with a component, a recipe, tests and a README."""
    wanted = kind.lower().removesuffix("s")
    if wanted not in BEGINNINGS:
        known = f"expected one of {', '.join(BEGINNINGS)}"
        raise UserError(f"--kind {kind}: {known}.{did_you_mean(kind, BEGINNINGS)}")
    taken = [plugin.name for plugin in find_plugins((), no_plugin).plugins if not plugin.blocked]
    names = parse_name(name, thing=BEGINNINGS[wanted].thing, taken=taken)
    if find_spec(names.package) is not None:
        raise UserError(f"a package is called {names.package} already; choose another name")
    folder = write_plugin(names, wanted, where)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        typer.echo(f"  {path}")
    typer.echo(
        f"\n{folder}: a plugin with the {wanted} {names.component}. Next:\n"
        f"  cd {folder}\n"
        "  pip install -e '.[test]'\n"
        "  pytest\n"
        f"  rrg run {names.plugin}.yaml --variant tiny\n"
        f"Begin in {names.package}/{names.thing}.py; README.md says what is where"
    )
