"""`rrg predict`: reports for images."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rrgcore.cli.options import BatchSize, NoPlugins, PluginFiles, find_plugins


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict)


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="PNG, JPEG or DICOM files, and folders of them."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="JSONL; printed where not given.")
    ] = None,
    batch_size: BatchSize = None,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Write a report for each image, with the best checkpoint of a run. For research only."""
    found = find_plugins(plugin, no_plugin)
    from rrgcore.cli.display import Display
    from rrgcore.files import write_text
    from rrgcore.session import load_run

    with Display() as display:
        loaded = load_run(run, plugins=found)
        reports = loaded.predict(paths, batch_size=batch_size, watcher=display)
    entries = (
        {"id": each.id, "prediction": each.report, "logprob": each.logprob} for each in reports
    )
    text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        typer.echo(f"{len(reports)} reports in {out}")
