"""`rrg predict`: reports for images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

import typer

from rrgcore.cli.options import (
    BatchSize,
    NoPlugins,
    PluginFiles,
    RunName,
    Trust,
    find_plugins,
    is_main_process,
)
from rrgcore.errors import DataError, RunError, UserError, printable

if TYPE_CHECKING:  # --help imports none of it
    from rrgcore.prediction.inputs import TableOptions
    from rrgcore.prediction.output import Row
    from rrgcore.prediction.predictor import Predictor
    from rrgcore.prediction.written import Origin, Written
    from rrgcore.run import Run

RESEARCH = (
    "For research only: nobody has checked these reports. They are no diagnosis, and must not be "
    "used to care for a patient."
)
SHOWN = 20
"""Files that could not be read that are told one by one; the others are counted."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict)


def predict(
    run: RunName,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Image files, folders of them, tables of studies, or an annotation.json.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="JSONL or CSV, by its name; printed where not given."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="MEANING=NAME,…",
            help="A table's columns: id, image or view; they are found by their usual names.",
        ),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option("--separator", metavar="TEXT", help="Between images in one cell of a table."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which studies of an annotation.json; test unless said."),
    ] = None,
    batch_size: BatchSize = None,
    trust: Trust = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Write a report for each image, with the best checkpoint of a run. For research only."""
    tables = _table_options(column or (), separator, split)
    found = find_plugins(plugin, no_plugin)
    if not is_main_process():
        return
    from rrgcore.cli.display import Display
    from rrgcore.prediction.inputs import find_requests, paths_of
    from rrgcore.prediction.output import format_of
    from rrgcore.prediction.resuming import still_to_write
    from rrgcore.run import load_run

    if out is not None:
        format_of(out)
    with Display(stderr=True) as display:
        display.note(RESEARCH)
        asked = paths_of(paths)
        _check_tables(asked, bool(column or separator is not None), split)
        requests = find_requests(asked, tables)
        loaded = load_run(run, plugins=found, trust=trust)
        predictor = loaded.predictor(batch_size=batch_size)
        display.note(predictor.origin.line)
        for line in about(loaded, predictor):
            display.note(line)
        tally = _Tally()
        with _sink(out, predictor.origin) as sink:
            looking = display.track(requests, "looking for what is done", len(requests))
            waiting = still_to_write(looking if sink.rows else requests, sink.rows, out or Path())
            if done := len(requests) - len(waiting):
                display.note(f"{done:,} of {len(requests):,} are in {out} already")
            count = -(-len(waiting) // predictor.batch_size)
            batches = predictor.batches(waiting)
            try:
                for batch in display.track(batches, "writing reports", count):
                    tally.count(batch)
                    sink.append(batch)
            except KeyboardInterrupt:
                if out is not None:
                    display.note(f"stopped; what was written is in {out}: the same command goes on")
                raise
            sink.finish()
        for line in tally.told(out):
            display.note(line)
    if tally.failed:
        raise typer.Exit(1)


def _check_tables(paths: Sequence[Path], of_tables: bool, split: str | None) -> None:
    """Refuse what is said of tables where none is named."""
    from rrgcore.tables import is_json, table_suffix

    named = ", ".join(map(str, paths[:3]))
    if of_tables and not any(table_suffix(path) or is_json(path) for path in paths):
        raise UserError(f"--column and --separator are of a table of studies, and {named} is none")
    if split is not None and not any(map(is_json, paths)):
        raise UserError(f"--split is of an annotation.json, and {named} is none")


def _table_options(
    columns: Sequence[str], separator: str | None, split: str | None
) -> "TableOptions":
    """Read --column and --separator."""
    from rrgcore.prediction.inputs import TableOptions

    found: dict[str, list[str]] = {}
    for each in columns:
        meaning, equals, names = each.partition("=")
        if not equals or meaning not in ("id", "image", "view") or not names:
            raise typer.BadParameter(
                f"'{each}': expected id=NAME, image=NAME,NAME,… or view=NAME,NAME,…",
                param_hint="--column",
            )
        found[meaning] = names.split(",")
    if separator == "":
        raise typer.BadParameter("nothing separates nothing", param_hint="--separator")
    return TableOptions(found, separator, split or "test")


def about(run: "Run", predictor: "Predictor") -> Iterator[str]:
    """Say what a run's reports are worth, and what cannot be told of them."""
    untold = predictor.judge.untold()
    for why in dict.fromkeys(untold.values()):
        what = " and ".join(_WHAT[name] for name, reason in untold.items() if reason == why)
        yield f"This run cannot tell {what}: {why}"
    if "confidence" not in untold:
        yield _worth(run)


_WHAT: Mapping[str, str] = {
    "familiarity": "whether an image is unlike those it was trained on",
    "confidence": "how far a report can be believed",
}


def _worth(run: "Run") -> str:
    from rrgcore.cli.judged import confidence_line

    try:
        return confidence_line(run.scores.get("judged", {}))
    except RunError as error:
        return f"What its confidence is worth is not known: {error}"


@final
class _Tally:
    """How many there were of what."""

    def __init__(self) -> None:
        self.written = self.unfamiliar = 0
        self.failed: list[str] = []

    def count(self, batch: Sequence["Written"]) -> None:
        for each in batch:
            if each.error is not None:
                self.failed.append(each.error)
                if len(self.failed) <= SHOWN:
                    typer.echo(printable(each.error), err=True)
            else:
                self.written += 1
                kinds = {warning.kind for warning in each.warnings}
                self.unfamiliar += "unfamiliar" in kinds

    def told(self, out: Path | None) -> Iterator[str]:
        if more := max(0, len(self.failed) - SHOWN):
            yield f"… and {more:,} more"
        where = f" written to {out}" if out else ""
        yield f"{self.written:,} {'report' if self.written == 1 else 'reports'}{where}"
        if self.unfamiliar:
            yield f"{self.unfamiliar:,} of them of images unlike those that the run was trained on"
        if self.failed:
            yield f"{len(self.failed):,} could not be read"


@final
class _Sink:
    """Where rows go: a file, or standard output.

    Until there is a report, errors are held back: where no image can be read, nothing is written.
    """

    def __init__(
        self, write: Callable[[Sequence["Written"]], None], rows: "Mapping[str, Row]"
    ) -> None:
        self.rows = rows
        self._write = write
        self._held: list[Written] | None = [] if not rows else None

    def append(self, batch: Sequence["Written"]) -> None:
        """Add rows."""
        if self._held is None:
            self._write(batch)
            return
        self._held += batch
        if any(each.error is None for each in batch):
            self._write(self._held)
            self._held = None

    def finish(self) -> None:
        """Raise DataError where there was nothing but errors."""
        if self._held:
            raise DataError(f"no image could be read, of {len(self._held):,}: nothing was written")


@contextmanager
def _sink(out: Path | None, origin: "Origin") -> Iterator[_Sink]:
    from rrgcore.prediction.output import JsonLines, opened

    if out is None:
        lines = JsonLines()

        def show(batch: Sequence["Written"]) -> None:
            for each in batch:
                typer.echo(lines.line(each, origin))

        yield _Sink(show, {})
        return
    with opened(out.expanduser(), origin) as output:
        yield _Sink(output.append, output.rows)
