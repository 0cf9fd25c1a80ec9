"""What a run wrote about each study, read so that a page can hold it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from rrgcore.errors import printable
from rrgcore.folder import RunFolder

LARGEST = 1e300
"""Of numbers; JSON has larger ones, no number, and whole ones of any length."""


@final
@dataclass(frozen=True, slots=True)
class Line:
    """A line of predictions.jsonl."""

    id: str
    reference: str
    prediction: str
    logprob: float | None
    confidence: float | None = None


def read_lines(folder: RunFolder, split: str) -> list[Line]:
    """Read what a run wrote about each study of a split, nothing where it wrote of none; raises
    RunError where the file is damaged.
    """
    found = folder.predictions(split) if folder.has_predictions(split) else []
    return [_line(entry) for entry in found]


def readable(text: str) -> str:
    """Return a text that any file can hold and that steers nothing."""
    return printable(text.replace("\r\n", "\n").replace("\r", "\n"))


def is_number(value: object) -> bool:
    """Whether what JSON holds is a number that a chart or a table can show."""
    return isinstance(value, int | float) and type(value) is not bool and abs(value) < LARGEST


def _line(entry: Mapping[str, Any]) -> Line:
    texts = (entry["id"], entry["reference"], entry["prediction"])
    id, reference, prediction = map(readable, texts)
    logprob, confidence = (_number(entry.get(name)) for name in ("logprob", "confidence"))
    return Line(id, reference, prediction, logprob, confidence)


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
