"""The file that predictions are written to: batch by batch, and on from where it was stopped."""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Final, final

from rrgcore.disk import make_folder
from rrgcore.errors import RunError, UserError
from rrgcore.files import append_line, lock_file, whole_lines
from rrgcore.json_text import parse_json
from rrgcore.prediction.written import Origin, Written

COLUMNS: Final = (
    "id", "report", "confidence", "logprob", "warnings", "images", "error",
    "run", "recipe", "checkpoint", "versions",
)  # fmt: skip
"""Of a CSV file. It has no words with their probabilities: these are for JSON Lines."""
AGAIN: Final = "Name another file with --out, or remove this one"


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
    def read(self, line: str) -> tuple[str, str, str]:
        """Return the id, the recipe and the checkpoint of a row; raises ValueError."""


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

    def read(self, line: str) -> tuple[str, str, str]:
        """Read an object."""
        entry = parse_json(line)
        origin = entry.get("provenance") if isinstance(entry, dict) else None
        if not isinstance(origin, dict):
            raise ValueError("it has no provenance")
        return _words(entry.get("id"), origin.get("recipe"), origin.get("checkpoint"))


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
        row["images"] = ";".join(written.images)
        row["versions"] = origin.versions
        return _csv([row.get(column) for column in COLUMNS])

    def read(self, line: str) -> tuple[str, str, str]:
        """Read a row."""
        rows = list(csv.reader([line], strict=True))
        if len(rows) != 1 or len(rows[0]) != len(COLUMNS):
            raise ValueError(f"it has not the columns {', '.join(COLUMNS)}")
        row = dict(zip(COLUMNS, rows[0], strict=True))
        return _words(row["id"], row["recipe"], row["checkpoint"])


FORMATS: Final[dict[str, Format]] = {".jsonl": JsonLines(), ".ndjson": JsonLines(), ".csv": Csv()}


@final
class Output:
    """A file of predictions that is open: what is in it, and room for more."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self.path = path
        self.origin = origin
        self._format = format_of(path)
        self._empty = True
        self.done = self._read()
        """The ids of the studies that have a row, be it a report or why there is none."""

    def append(self, rows: Iterable[Written]) -> None:
        """Add rows, whole or not at all; raises WriteError."""
        lines = [self._format.line(row, self.origin) for row in rows]
        if not lines:
            return
        if self._empty:
            lines = [*self._format.head(), *lines]
        append_line(self.path, "\n".join(lines))
        self._empty = False

    def _read(self) -> frozenset[str]:
        """Return the ids that are there; raises RunError for rows of another run or checkpoint, and
        for what is no such file. A last line that was torn is no row.
        """
        lines = whole_lines(self.path)
        self._empty = not lines
        head = self._format.head()
        if lines and lines[: len(head)] != head:
            raise RunError(f"{self.path} is no file of predictions: expected {head[0]}. {AGAIN}")
        found = set()
        for number, line in enumerate(lines[len(head) :], start=len(head) + 1):
            try:
                id, recipe, checkpoint = self._format.read(line)
            except (ValueError, csv.Error) as error:
                raise RunError(
                    f"{self.path}, line {number}, is no prediction of rrg's ({error}). {AGAIN}"
                ) from error
            self._check(number, "recipe", recipe, self.origin.recipe)
            self._check(number, "checkpoint", checkpoint, self.origin.checkpoint)
            found.add(id)
        return frozenset(found)

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
    make_folder(path.absolute().parent)
    beside = path.with_name(f".{path.name}.lock")
    with beside.open("w") as lock:
        if not lock_file(lock):
            raise RunError(f"{path} is in use: another rrg is writing predictions to it")
        try:
            yield Output(path, origin)
        finally:
            beside.unlink(missing_ok=True)


def format_of(path: Path) -> Format:
    """Return how a file of that name is written; raises UserError."""
    if (found := FORMATS.get(path.suffix.lower())) is None:
        raise UserError(f"{path}: expected a name that ends in {', '.join(FORMATS)}")
    return found


def _csv(cells: Sequence[Any]) -> str:
    text = StringIO(newline="")
    plain = ["" if cell is None else " ".join(str(cell).splitlines()) for cell in cells]
    csv.writer(text, lineterminator="").writerow(plain)
    return text.getvalue()


def _words(*values: Any) -> tuple[str, str, str]:
    if len(values) != 3 or not all(isinstance(value, str) for value in values):
        raise ValueError("it does not say its id, recipe and checkpoint")
    return (values[0], values[1], values[2])
