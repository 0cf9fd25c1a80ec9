"""The command line: thin over `rrgcore`, and the only part of it that prints."""

import os
import sys
import traceback
from typing import Annotated

import typer

from rrgcore import __version__
from rrgcore.cli import (
    ablating,
    annotating,
    comparing,
    data,
    evaluating,
    listing,
    plugin_new,
    predicting,
    running,
    scoring,
    showing,
)
from rrgcore.cli.options import is_main_process
from rrgcore.errors import UserError

app = typer.Typer(
    name="rrg",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Radiology report generation from interchangeable parts.",
    epilog="Start here: rrg run kia_graph",
)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"rrg {__version__}")
        raise typer.Exit
    return wanted  # what a callback returns is what the command gets


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


for group in (
    running,
    showing,
    listing,
    evaluating,
    predicting,
    scoring,
    comparing,
    ablating,
    annotating,
    data,
    plugin_new,
):
    group.register(app)


def main() -> None:
    """Run a command; a user's mistake is a paragraph and exit status 2, a failure exit status 1."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = app(arguments, standalone_mode=False)
    except UserError as error:
        _say(str(error), debug)
        sys.exit(2)
    except BrokenPipeError:  # `rrg list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        # click's own usage errors know how to show themselves; they reach us out of standalone mode
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(error.exit_code)
        _say(f"{type(error).__name__}: {error}\n(--debug shows where)", debug)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    if is_main_process():
        typer.echo(text, err=True)
