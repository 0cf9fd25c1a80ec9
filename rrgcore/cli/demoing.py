"""`rrg demo`: a page on this machine to drop an image on."""

import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rrgcore.cli.options import NoPlugins, PluginFiles, RunName, Trust, find_plugins
from rrgcore.cli.predicting import RESEARCH, about

if TYPE_CHECKING:
    from rrgcore.prediction.predictor import Predictor
    from rrgcore.run import Run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    run: RunName,
    host: Annotated[
        str,
        typer.Option(metavar="HOST", help="0.0.0.0 lets other machines in."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="0 for any that is free.")
    ] = 7860,
    max_megabytes: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Of an image file, at most.")
    ] = 32,
    max_megapixels: Annotated[
        int, typer.Option(metavar="N", min=1, max=80, help="Of an image, at most.")
    ] = 40,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = False,
    trust: Trust = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Serve a page to drop an image on and read its report, with where the model looked.

    It ends with Ctrl-C. For research only.
    """
    from rrgcore.demo.app import check_gradio, opened
    from rrgcore.demo.serving import Address, serve

    check_gradio()
    found = find_plugins(plugin, no_plugin)
    debug = "--debug" in sys.argv
    address = Address(host, port)
    try:
        from rrgcore.demo.answering import Answers, make_examples
        from rrgcore.demo.uploads import Limits
        from rrgcore.run import load_run

        loaded = load_run(run, plugins=found, trust=trust)
        predictor = loaded.predictor(batch_size=1)
        answers = Answers(
            predictor,
            Limits(max_megabytes, max_megapixels),
            make_examples(loaded.plan),
            traceback.print_exception if debug else _pass_over,
        )
        with opened(answers, _about(loaded, predictor), local=address.is_local) as app:
            if not address.is_local:
                typer.echo(OPEN_TO_OTHERS.format(host=host), err=True)
            typer.echo(f"{address.url}  (Ctrl-C ends it)")
            if open_browser:
                import webbrowser
                from threading import Thread

                # one that runs in the terminal comes back when it is left
                Thread(target=webbrowser.open, args=(address.url,), daemon=True).start()
            serve(app, address, debug=debug)
    finally:
        address.close()


OPEN_TO_OTHERS = (
    "Warning: --host {host} lets other machines in. There is no password, and images travel "
    "unencrypted: whoever reaches this machine can use the page"
)


def _pass_over(error: Exception) -> None:
    """Print nothing: the page names the kind of a failure, and a traceback is for --debug."""


def _about(run: "Run", predictor: "Predictor") -> dict[str, Any]:
    """Return what the page says of a run; of its folder only the name."""
    origin = replace(predictor.origin, run=Path(predictor.origin.run).name)
    return {
        "title": "-".join((run.folder.record["recipe"], *run.folder.record["variants"])),
        "research": RESEARCH,
        "cautions": [f"Of the run itself: {caution}" for caution in run.plan.cautions],
        "notes": list(about(run, predictor)),
        "origin": origin.line,
    }
