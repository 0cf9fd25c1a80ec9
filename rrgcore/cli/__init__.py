"""The command line: thin over `rrgcore`, and the only part of it that prints."""

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, final

import typer
from typer.core import TyperGroup

from rrgcore import __version__
from rrgcore.cli.completing import add_completion
from rrgcore.cli.failing import LEFT, is_of_another, tell_failure
from rrgcore.disk import refusal
from rrgcore.errors import UserError
from rrgcore.faults.shortage import amounts, is_out_of_memory
from rrgcore.interrupts import Interrupts, exit_status


@final
class _Commands(TyperGroup):
    """Ends a command that a signal stopped with the status of that signal."""

    def invoke(self, ctx: Any) -> Any:  # click's Context, which typer may have taken in
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            if not getattr(error, "told", False):
                typer.echo("stopped", err=True)
            raise typer.Exit(exit_status(error)) from error


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"rrg {__version__}")
        raise typer.Exit
    return wanted  # what a callback returns is what the command gets


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


COMMANDS: Mapping[str, str] = {
    "run": "running",
    "check": "showing",
    "show": "showing",
    "list": "listing",
    "plugins": "listing",
    "evaluate": "evaluating",
    "predict": "predicting",
    "explain": "explaining",
    "page": "paging",
    "demo": "demoing",
    "score": "scoring",
    "compare": "comparing",
    "ablate": "ablating",
    "annotate": "annotating",
    "ask": "asking",
    "data": "data",
    "plugin": "plugin_new",
    "export": "exporting",
    "doctor": "doctoring",
    "schema": "schema_writing",
}
"""The module of each command, in the order of `rrg --help`."""


def make_app(words: Sequence[str] = ()) -> typer.Typer:
    """Make the command line that some words ask for: of one command where the first of them names
    it, since to import all of them takes longer than most of them do; else of all.
    """
    app = typer.Typer(
        name="rrg",
        cls=_Commands,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Radiology report generation from interchangeable parts.",
        epilog="Start here: rrg run kia_graph",
    )
    app.callback()(_options)
    named = COMMANDS.get(words[0]) if words else None
    for module in [named] if named else dict.fromkeys(COMMANDS.values()):
        import_module(f"rrgcore.cli.{module}").register(app)
    add_completion(app)
    return app


def main() -> None:
    """Run a command; a user's mistake is a paragraph and exit status 2, a failure exit status 1.

    SIGTERM ends a command as Ctrl-C does, so that nothing is left half done.
    """
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        with Interrupts() as stop, stop.let_through():
            code = make_app(arguments)(arguments, standalone_mode=False)
    except UserError as error:
        _say(str(error), error, debug)
        sys.exit(2)
    except BrokenPipeError:  # `rrg list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        # click's own usage errors know how to show themselves; they reach us out of standalone mode
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(error.exit_code)
        if (refused := refusal(error)) is not None:
            _say(str(refused), error, debug)
            sys.exit(2)
        if is_out_of_memory(error):
            said = f" ({found})" if (found := amounts(error)) else ""
            _say(f"out of memory{said}. Free some, or take a machine with more", error, debug)
            sys.exit(2)
        said = LEFT if is_of_another(error) else f"{type(error).__name__}: {error}"
        _say(f"{said}\n(--debug shows where)", error, debug)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, error: BaseException, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    tell_failure(text, error)
