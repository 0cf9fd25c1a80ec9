"""What must be said beside scores: that they are of phantoms, that the model saw the answers."""

import json
from pathlib import Path

ORACLE = (
    "Oracle: the model was given annotations made of the very reports that it predicts. These "
    "scores are an upper bound, not a result."
)
MARK = "oracle"
"""The key that each line of an oracle's predictions carries, so that they say it wherever they go.
"""


def cautions_of(path: Path) -> list[str]:
    """Return what a run, or a file of predictions, wants said beside its scores."""
    scores = path / "scores.json"
    if scores.is_file():
        return list(json.loads(scores.read_text(encoding="utf-8")).get("cautions", []))
    if path.suffix != ".jsonl" or not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        first = json.loads(file.readline() or "{}")
    return [ORACLE] if isinstance(first, dict) and first.get(MARK) else []
