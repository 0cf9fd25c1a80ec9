"""`rrg data`: data sets by themselves, without a recipe."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli import data_cache, data_checking
from rrgcore.cli.options import Json, NoPlugins, PluginFiles, find_plugins
from rrgcore.errors import DataError, WriteError
from rrgcore.interrupts import Interrupts

GO_ON = "give the same command again, which goes on from there"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Build, check and export data sets.")
    group.command("build")(build)
    group.command("check")(data_checking.check)
    group.command("export")(export)
    group.command("cache")(data_cache.cache)
    app.add_typer(group, name="data")


def build(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="As listed by: rrg list sources")],
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="The folder into which it was downloaded.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that is new, or empty.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION=VALUE", help="Options of the source: text=both"),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out, and count, what is bad; else stop.")
    ] = False,
    size: Annotated[
        int, typer.Option("--size", metavar="N", help="Short side of images; 0: as it is.")
    ] = 512,
    link: Annotated[
        bool, typer.Option("--link", help="Convert no image: link to the originals.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Threads; all processors.")
    ] = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Build a data set in R2Gen's layout from an archive as it is downloaded.

    A build that was stopped goes on where it was when the same command is given again.
    """
    found = find_plugins(plugin, no_plugin)
    found.registry.entry("source", source)
    from rrgcore.cli.progress import shown_progress
    from rrgcore.cli.written import built_json, in_a_recipe, tell_built
    from rrgcore.options import load_source
    from rrgcore.sources.building import build_dataset
    from rrgcore.sources.partial import partial_folder
    from rrgcore.sources.record import Order

    archive, given = load_source(source, root, options or (), found.registry)
    order = Order(source=source, options=given, size=size, link=link)
    try:
        with shown_progress("studies") as tell, Interrupts() as stop, stop.let_through():
            built = build_dataset(
                archive,
                folder,
                order,
                skip_bad=skip_bad,
                workers=workers,
                progress=tell,
                resumed=_tell_resumed,
            )
    except (DataError, WriteError, KeyboardInterrupt) as error:
        if not (partial := partial_folder(folder)).is_dir():
            raise
        kept = f"What was done is kept in {partial}: the same command goes on from there"
        if isinstance(error, DataError):
            raise DataError(f"{error}\n{kept}") from error
        if isinstance(error, WriteError):
            raise error.told(f"What was done is kept in {partial}", GO_ON) from error
        typer.echo(kept, err=True)
        raise
    if as_json:
        answer = built_json(built, source, folder, archive.cleaning)
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    typer.echo("\n".join(tell_built(built, source, folder)))
    if link:
        data_root = shlex.quote(f"root={folder}")
        typer.echo(f"No image was opened; rrg data check r2gen {data_root} opens them")
    typer.echo(f"To read it in a recipe: {in_a_recipe(folder, archive.cleaning)}")


def _tell_resumed(partial: Path, images: int) -> None:
    there = "1 image is" if images == 1 else f"{images:,} images are"
    typer.echo(f"Going on with {partial}: {there} there already", err=True)


def export(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="As listed by: rrg list datasets")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new, or empty.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION=VALUE", help="Options of the data set: train=50"),
    ] = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Write the studies of a data set in R2Gen's layout, with their annotations beside them."""
    found = find_plugins(plugin, no_plugin)
    found.registry.entry("dataset", dataset)  # before torch is imported
    from rrgcore.cli.display import Display
    from rrgcore.cli.written import in_a_recipe, summary
    from rrgcore.datasets import load_dataset
    from rrgcore.export import export_dataset

    source = load_dataset(dataset, options or (), found.registry)
    with Display(quiet=as_json) as display, Interrupts() as interrupts, interrupts.let_through():
        written = export_dataset(source, folder, progress=display.progress("writing studies"))
    if as_json:
        answer = {
            "folder": str(folder),
            "studies": dict(written.studies),
            "images": written.images,
            "annotations": list(written.annotations),
            "partial": dict(written.partial),
            "caution": source.caution,
            "overrides": in_a_recipe(folder, written.cleaning),
        }
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    typer.echo(summary(folder, written.studies, written.images, list(written.annotations)))
    total = sum(written.studies.values())
    for slug, count in written.partial.items():
        typer.echo(f"{slug}: left out, since only {count:,} of {total:,} studies have it")
    if source.caution:
        typer.echo(source.caution)
    typer.echo(f"To read it in a recipe: {in_a_recipe(folder, written.cleaning)}")
