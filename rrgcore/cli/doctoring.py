"""`rrg doctor`: what this machine has and lacks."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from rrgcore.cli.options import Json, NoPlugins, Overrides, PluginFiles, Variants

STYLES = {"ok": "green", "missing": "yellow", "broken": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="Look for what this recipe needs as well."),
    ] = None,
    overrides: Overrides = None,
    variant: Variants = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Say what this machine has and lacks for rrg, and what to do about it.

    Exit status 1 where something that is needed is broken.
    """
    from rrgcore.doctor import Finding, examine, examine_recipe

    console = Console(highlight=False, quiet=as_json)
    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        line = Text(f"{finding.state:<8}", style=STYLES[finding.state])
        line.append(f"{finding.part}: {finding.text}", style="default")
        if finding.remedy:
            line.append(f"\n        → {finding.remedy}", style="dim")
        console.print(line, soft_wrap=True)

    common: dict[str, Any] = {"files": plugin or (), "blocked": no_plugin or ()}
    for finding in examine(**common, weights=recipe is None):
        tell(finding)
    if recipe is not None:
        for finding in examine_recipe(
            recipe,
            variants=variant or (),
            overrides=overrides or (),
            **common,
        ):
            tell(finding)
    broken = [each for each in found if each.state == "broken"]
    missing = [each for each in found if each.state == "missing"]
    if as_json:
        answer = {
            "broken": len(broken),
            "missing": len(missing),
            "findings": [each.to_json() for each in found],
        }
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        summary = f"{len(broken)} broken, {len(missing)} missing that one can do without"
        console.print(Text(f"\n{summary}" if broken or missing else "\nall is well"))
    if broken:
        raise typer.Exit(1)
