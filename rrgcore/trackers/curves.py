"""What a run folder says, as points of curves, and its recipe as a tracker's configuration."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from rrgcore.files import read_json
from rrgcore.json_text import parse_json


@final
class Curves:
    """The lines of metrics.jsonl as points of curves over all stages: a stage's steps are counted
    on from those of the stages before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._stage: str | None = None
        self._before = 0
        self._in_stage = 0

    @property
    def step(self) -> int:
        """How many steps all stages have taken."""
        return self._before + self._in_stage

    def new(self) -> Iterator[tuple[str, int, dict[str, float]]]:
        """Yield split, step and values of each line that was written since this was asked last."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield self._point(parse_json(line))

    def _point(self, entry: Mapping[str, Any]) -> tuple[str, int, dict[str, float]]:
        if entry["stage"] != self._stage:
            self._before, self._in_stage, self._stage = self.step, 0, entry["stage"]
        self._in_stage = max(self._in_stage, entry["step"])
        split = entry.get("split", "train")
        values = {
            f"{split}/{key}": float(value)
            for key, value in entry.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and key != "step"
        }
        return split, self._before + entry["step"], values


def final_curves(path: Path) -> dict[str, float]:
    """Return the scores of scores.json, and those with exchanged images, under curves' names."""
    found = read_json(path)
    parts = {"test": found["protocols"], "test_exchanged": found.get("shuffled images") or {}}
    return {
        f"{part}/{protocol}.{name}": float(value)
        for part, protocols in parts.items()
        for protocol, scores in protocols.items()
        for name, value in scores.items()
    }


def flat(recipe: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a recipe's values by address, as trackers take them: lists become text."""
    for key, value in recipe.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{key}.")
        else:
            plain = isinstance(value, str | int | float)
            yield f"{above}{key}", value if plain else json.dumps(value)
