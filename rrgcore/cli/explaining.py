"""`rrg explain`: what a run's model does, as pictures and as numbers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rrgcore.cli.options import Json, NoPlugins, PluginFiles, Role, RunName, Trust, find_plugins

if TYPE_CHECKING:
    from rrgcore.insight.explaining import Explained, Offer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    run: RunName,
    studies: Annotated[
        list[str] | None,
        typer.Argument(metavar="STUDY…", help="Ids of the split; three telling ones unless said."),
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", metavar="FIGURE", help="A figure, as in: rrg list figures."),
    ] = None,
    split: Role = "test",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="RUN/explain unless said.")
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Say which figures the run can draw, and draw none.")
    ] = False,
    as_json: Json = False,
    trust: Trust = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Draw what a run's model does for studies: attention, reconstruction, retrieval, and more."""
    found = find_plugins(plugin, no_plugin)
    for name in figure or ():
        found.registry.entry("figure", name)
    from rrgcore.cli.display import Display
    from rrgcore.run import load_run

    with Display(quiet=as_json) as display:
        loaded = load_run(run, plugins=found, trust=trust)
        if only_list:
            offers = loaded.figures(split)
        else:
            explained = loaded.explain(
                studies or (),
                figures=figure or (),
                split=split,
                out=out,
                watcher=display,
            )
    if only_list:
        _tell_offers(offers, as_json=as_json)
    elif as_json:
        typer.echo(json.dumps(explained.to_json(), indent=1, ensure_ascii=False))
    else:
        _tell(explained, loaded.plan.cautions)


def _tell_offers(offers: "list[Offer]", *, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if as_json:
        rows = [offer.to_json() for offer in offers]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("figure", "what it draws", "after", "why not"):
        table.add_column(heading, overflow="fold")
    for offer in offers:
        cells = (offer.name, offer.summary, offer.shows, offer.why_not or "")
        table.add_row(*map(Text, cells))
    Console(highlight=False).print(table)


def _tell(explained: "Explained", cautions: list[str]) -> None:
    from rrgcore.insight.explaining import NUMBERS

    if explained.how:
        typer.echo(f"Studies, {explained.how}:")
        for id, why in explained.studies.items():
            typer.echo(f"  {id}: {why}")
    for picture in explained.pictures:
        for line in picture.said:
            typer.echo(line)
    for name, why in explained.not_drawn.items():
        typer.echo(f"not drawn, {name}: {why}")
    for caution in cautions:
        typer.echo(caution)
    count = len(explained.pictures)
    typer.echo(f"{count} picture{'s' * (count != 1)} and {NUMBERS}: {explained.folder}")
    typer.echo("They hold images and reports. If these are of patients, so is the folder's content")
