"""What a tracker has been sent."""

import json
from pathlib import Path
from typing import final

from rrgcore.errors import RunError
from rrgcore.files import append_line, whole_lines
from rrgcore.json_text import parse_json


@final
class Sent:
    """What a tracker was sent, kept in the run folder: its own name for the run, and how far each
    curve is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id: str | None = None
        self.steps: dict[str, int] = {}
        for line in whole_lines(path):
            try:
                entry = parse_json(line)
                self.id = entry.pop("id", self.id)
                self.steps.update({str(split): int(step) for split, step in entry.items()})
            except (ValueError, TypeError, AttributeError) as error:
                raise RunError(
                    f"{path} is damaged ({error}): remove it, and the tracker is sent all again"
                ) from error

    def begin(self, id: str) -> None:
        """Note what the tracker calls the run."""
        self.id = id
        append_line(self.path, json.dumps({"id": id}))

    def is_new(self, split: str, step: int) -> bool:
        """Whether a point was not sent yet."""
        return step > self.steps.get(split, -1)

    def add(self, split: str, step: int) -> None:
        """Note that a point is sent."""
        self.steps[split] = step
        append_line(self.path, json.dumps({split: step}))
