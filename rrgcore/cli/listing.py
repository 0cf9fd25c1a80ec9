"""`rrg list` and `rrg plugins`: what there is, who offers it, from where. Imports no torch."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from rrgcore.cli.options import Json, NoPlugins, PluginFiles, find_plugins
from rrgcore.errors import RegistryError, did_you_mean
from rrgcore.installed import list_ablations, list_recipes
from rrgcore.registry import KINDS, Entry


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_components)
    app.command("plugins")(list_plugins)


def list_components(
    kind: Annotated[
        str | None, typer.Argument(help="encoder, adapter, objective, masking, decoder, part, …")
    ] = None,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """List components, and the installed recipes."""
    found = find_plugins(plugin, no_plugin)
    wanted = kind and kind.lower().removesuffix("s")
    if wanted in ("recipe", "ablation"):
        names = [*(list_recipes() if wanted == "recipe" else list_ablations())]
        typer.echo(json.dumps(names, indent=1) if as_json else "\n".join(names))
        return
    if wanted is not None and wanted not in KINDS:
        raise RegistryError(
            f"there is no kind '{kind}'.{did_you_mean(wanted, KINDS)}\n"
            f"Kinds: {', '.join([*KINDS, 'recipe', 'ablation'])}"
        )
    entries = list(found.registry.entries(wanted))
    if as_json:
        rows = [{**asdict(entry.component), "plugin": entry.plugin} for entry in entries]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    elif markdown:
        typer.echo(_markdown(entries))
    else:
        headings = ("kind", "name", "what it is", "plugin")
        _print(
            headings,
            [(e.component.kind, e.component.name, e.component.summary, e.plugin) for e in entries],
        )
        if wanted is None:
            typer.echo(f"\nrecipes: {', '.join(list_recipes())}")


def list_plugins(
    as_json: Json = False, plugin: PluginFiles = None, no_plugin: NoPlugins = None
) -> None:
    """List plugins: where each comes from, and how much it offers."""
    found = find_plugins(plugin, no_plugin)
    rows = [
        {
            "name": plugin.name,
            "from": plugin.origin,
            "version": plugin.version,
            "components": len(plugin.components),
            "left out": plugin.blocked,
        }
        for plugin in found.plugins
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    cells = [[str(value) if value is not False else "" for value in row.values()] for row in rows]
    if rows:
        _print(list(rows[0]), cells)


def _print(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: fitted to a terminal, or a line a row for the program that reads it."""
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        for row in (headings, *rows):
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    # words as they are: to learn emojis takes as long as to start
    Console(emoji=False, markup=False).print(table)


def _markdown(entries: Iterable[Entry]) -> str:
    lines: list[str] = []
    kind = None
    for entry in entries:
        part = entry.component
        if part.kind != kind:
            kind = part.kind
            lines += ["", f"## {kind}", "", "| name | what it is | plugin |", "| --- | --- | --- |"]
        lines.append(f"| `{part.name}` | {part.summary} | {entry.plugin} |")
    return "\n".join(lines).strip()
