"""The file that predictions are written to: batch by batch, and on from where it was stopped."""

import csv
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final, final

from rrgcore.disk import make_folder
from rrgcore.errors import RunError, UserError
from rrgcore.files import append_line, whole_lines
from rrgcore.json_text import parse_json
from rrgcore.lock import let_go, take
from rrgcore.prediction.written import Origin, Written

COLUMNS: Final = (
    "id", "report", "confidence", "logprob", "warnings", "images", "sha256", "error",
    "run", "recipe", "checkpoint", "versions",
)  # fmt: skip
"""Of a CSV file. It has no words with their probabilities: these are for JSON Lines."""
_BREAKS: Final = re.compile(r"[\r\n]+")
AGAIN: Final = "Name another file with --out, or remove this one"


@final
@dataclass(frozen=True, slots=True)
class Row:
    """What a row says of itself: for whom it is, by whom, and whether it has a report."""

    id: str
    recipe: str
    checkpoint: str
    digests: tuple[str, ...]
    """SHA-256 of each image file."""
    error: str | None


class Format(ABC):
    """How a prediction is a line of text; who wrote it is in every line, so that a line that is
    moved elsewhere still says it.
    """

    @abstractmethod
    def head(self) -> list[str]:
        """Return the lines that stand above the rows."""

    @abstractmethod
    def line(self, written: Written, origin: Origin) -> str:
        """Return a row without the end of its line."""

    @abstractmethod
    def read(self, line: str) -> Row:
        """Read a row; raises ValueError."""


@final
class JsonLines(Format):
    """A JSON object a line."""

    def head(self) -> list[str]:
        """Return nothing."""
        return []

    def line(self, written: Written, origin: Origin) -> str:
        """Return an object."""
        entry = {**written.to_json(), "provenance": origin.to_json()}
        return json.dumps(entry, ensure_ascii=False)

    def read(self, line: str) -> Row:
        """Read an object."""
        entry = parse_json(line)
        origin = entry.get("provenance") if isinstance(entry, dict) else None
        if not isinstance(origin, dict):
            raise ValueError("it has no provenance")
        digests, error = entry.get("sha256", []), entry.get("error")
        if not isinstance(digests, list) or not isinstance(error, str | None):
            raise ValueError("its images or its error are not as rrg writes them")
        return _row(entry.get("id"), origin.get("recipe"), origin.get("checkpoint"), digests, error)


@final
class Csv(Format):
    """A row a line: what has a line break is written with a space in its place."""

    def head(self) -> list[str]:
        """Return the columns."""
        return [_csv(COLUMNS)]

    def line(self, written: Written, origin: Origin) -> str:
        """Return a row."""
        row = {**written.to_json(), **origin.to_json()}
        row["warnings"] = " | ".join(f"{w.kind}: {w.text}" for w in written.warnings)
        row["images"], row["sha256"] = ";".join(written.images), ";".join(written.digests)
        row["versions"] = origin.versions
        return _csv([row.get(column) for column in COLUMNS])

    def read(self, line: str) -> Row:
        """Read a row."""
        rows = list(csv.reader([line], strict=True))
        if len(rows) != 1 or len(rows[0]) != len(COLUMNS):
            raise ValueError(f"it has not the columns {', '.join(COLUMNS)}")
        row = dict(zip(COLUMNS, rows[0], strict=True))
        digests = row["sha256"].split(";") if row["sha256"] else []
        return _row(row["id"], row["recipe"], row["checkpoint"], digests, row["error"] or None)


FORMATS: Final[dict[str, Format]] = {".jsonl": JsonLines(), ".ndjson": JsonLines(), ".csv": Csv()}


@final
class Output:
    """A file of predictions that is open: what is in it, and room for more."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self.path = path
        self.origin = origin
        self._format = format_of(path)
        self._empty = True
        self.rows = self._read()
        """The newest row of each study that has one, be it a report or why there is none."""

    def append(self, rows: Iterable[Written]) -> None:
        """Add rows, whole or not at all, but not an error that stands there already; raises
        WriteError.
        """
        lines = [self._format.line(row, self.origin) for row in rows if not self._says(row)]
        if not lines:
            return
        if self._empty:
            lines = [*self._format.head(), *lines]
        append_line(self.path, "\n".join(lines))
        self._empty = False

    def _says(self, row: Written) -> bool:
        known = self.rows.get(row.id)
        return known is not None and row.error is not None and known.error == row.error

    def _read(self) -> dict[str, Row]:
        """Return the rows that are there; raises RunError for rows of another run or checkpoint,
        and for what is no such file. A last line that was torn is no row.
        """
        lines = whole_lines(self.path)
        self._empty = not lines
        head = self._format.head()
        if lines and lines[: len(head)] != head:
            raise RunError(f"{self.path} is no file of predictions: expected {head[0]}. {AGAIN}")
        found: dict[str, Row] = {}
        for number, line in enumerate(lines[len(head) :], start=len(head) + 1):
            try:
                row = self._format.read(line)
            except (ValueError, csv.Error) as error:
                raise RunError(
                    f"{self.path}, line {number}, is no prediction of rrg's ({error}). {AGAIN}"
                ) from error
            self._check(number, "recipe", row.recipe, self.origin.recipe)
            self._check(number, "checkpoint", row.checkpoint, self.origin.checkpoint)
            found[row.id] = row
        return found

    def _check(self, line: int, what: str, found: str, expected: str) -> None:
        if found != expected:
            raise RunError(
                f"{self.path} was begun with another run: line {line} has the {what} "
                f"{found[:12]}, and {self.origin.run} has {expected[:12]}. {AGAIN}"
            )


@contextmanager
def opened(path: Path, origin: Origin) -> Iterator[Output]:
    """Open a file of predictions, a new one or one that was begun; raises RunError where it is of
    another run, or where somebody is writing to it.
    """
    format_of(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file for the predictions")
    beside = path.absolute().with_name(f".{path.name}.lock")
    make_folder(beside.parent)
    try:
        lock = take(beside)
    except OSError as error:
        why = error.strerror or error
        raise UserError(
            f"{path} cannot be written ({why}); name another file with --out"
        ) from error
    if lock is None:
        raise RunError(f"{path} is in use: another rrg is writing predictions to it")
    with lock:
        try:
            yield Output(path, origin)
        finally:
            let_go(lock, beside)


def format_of(path: Path) -> Format:
    """Return how a file of that name is written; raises UserError."""
    if (found := FORMATS.get(path.suffix.lower())) is None:
        raise UserError(f"{path}: expected a name that ends in {', '.join(FORMATS)}")
    return found


def _csv(cells: Sequence[Any]) -> str:
    text = StringIO(newline="")
    plain = ["" if cell is None else _BREAKS.sub(" ", str(cell)) for cell in cells]
    csv.writer(text, lineterminator="").writerow(plain)
    return text.getvalue()


def _row(id: Any, recipe: Any, checkpoint: Any, digests: list[Any], error: str | None) -> Row:
    if not all(isinstance(value, str) for value in (id, recipe, checkpoint, *digests)):
        raise ValueError("it does not say its id, recipe and checkpoint")
    return Row(id, recipe, checkpoint, tuple(digests), error)
