"""What a run wrote about each study, read so that a page can hold it."""

from dataclasses import dataclass
from typing import Any, final

from rrgcore.errors import RunError, printable
from rrgcore.files import whole_lines
from rrgcore.folder import RunFolder
from rrgcore.json_text import parse_json

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


def read_lines(folder: RunFolder, name: str) -> list[Line]:
    """Read what a run wrote about each study; raises RunError where the file is damaged."""
    found = []
    for number, line in enumerate(whole_lines(folder.path / name), start=1):
        try:
            found.append(_line(parse_json(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"{folder.path / name}, line {number}, is damaged ({error!r}): write it again, "
                f"rrg evaluate {folder.path}"
            ) from error
    return found


def readable(text: str) -> str:
    """Return a text that any file can hold and that steers nothing."""
    return printable(text.replace("\r\n", "\n").replace("\r", "\n"))


def is_number(value: object) -> bool:
    """Whether what JSON holds is a number that a chart or a table can show."""
    return isinstance(value, int | float) and type(value) is not bool and abs(value) < LARGEST


def _line(entry: Any) -> Line:
    texts = [entry["id"], entry["reference"], entry["prediction"]]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("id, reference and prediction are to be texts")
    id, reference, prediction = map(readable, texts)
    logprob = entry.get("logprob")
    return Line(id, reference, prediction, float(logprob) if is_number(logprob) else None)
