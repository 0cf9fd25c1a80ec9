"""`rrg data`: data sets by themselves, without a recipe."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import NoPlugins, PluginFiles, find_plugins
from rrgcore.interrupts import Interrupts


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Write data sets into files.")
    group.command("export")(export)
    app.add_typer(group, name="data")


def export(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="As listed by: rrg list datasets")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new, or empty.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION=VALUE", help="Options of the data set: train=50"),
    ] = None,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Write the studies of a data set in R2Gen's layout, with their annotations beside them."""
    found = find_plugins(plugin, no_plugin)
    found.registry.entry("dataset", dataset)  # before torch is imported
    from rrgcore.cli.display import Display
    from rrgcore.datasets import load_dataset
    from rrgcore.export import export_dataset

    source = load_dataset(dataset, options or (), found.registry)
    with Display() as display, Interrupts() as interrupts, interrupts.let_through():
        written = export_dataset(source, folder, progress=display.progress("writing studies"))
    total = sum(written.studies.values())
    by_split = ", ".join(f"{count:,} {split}" for split, count in written.studies.items())
    typer.echo(
        f"{folder}: {total:,} studies ({by_split}), {written.images:,} images, "
        f"annotations: {', '.join(written.annotations) or 'none'}"
    )
    for slug, count in written.partial.items():
        typer.echo(f"{slug}: left out, since only {count:,} of {total:,} studies have it")
    if source.caution:
        typer.echo(source.caution)
    root = shlex.quote(f"data.root={folder}")
    typer.echo(f"To read it in a recipe: data.name=r2gen {root} data.cleaning=none")
