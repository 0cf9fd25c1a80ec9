"""`rrg page`: a run as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import NoPlugins, PluginFiles, Role, RunName, Trust, find_plugins
from rrgcore.cli.scoring_options import check_out


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("page")(page)


def page(
    run: RunName,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The page; RUN/page.html unless said."),
    ] = None,
    studies: Annotated[
        int, typer.Option(metavar="N", min=1, help="Studies in the browser, at most.")
    ] = 200,
    split: Role = "test",
    attention: Annotated[
        bool, typer.Option(help="Where the model looked for each word: runs the model.")
    ] = True,
    images: Annotated[bool, typer.Option(help="The studies' images.")] = True,
    no_studies: Annotated[
        bool, typer.Option("--no-studies", help="No study: no report and no image is in the page.")
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="What the run was made of, where rrg cannot tell."),
    ] = None,
    trust: Trust = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Write a run as one HTML file that needs nothing else: scores, curves, studies, recipe."""
    check_out(out)
    found = find_plugins(plugin, no_plugin)
    from rrgcore.cli.display import Display
    from rrgcore.run import load_run

    with Display() as display:
        written = load_run(run, plugins=found, trust=trust).page(
            out,
            split=split,
            studies=0 if no_studies else studies,
            images=images,
            attention=attention,
            recipe=recipe,
            watcher=display,
        )
    for note in written.notes:
        typer.echo(note)
    holds = "no study" if no_studies else f"{written.shown:,} of {written.total:,} studies"
    typer.echo(f"{written.path}: {written.bytes / 1e6:.1f} MB, {holds}")
    if written.shown:
        held = "reports and images" if written.with_images else "reports"
        typer.echo(
            f"It holds the {held} of these studies. If they are of patients, it is patient data: "
            "keep it where such data may be; --no-images and --no-studies leave them out"
        )
