"""What must be said beside scores: that they are of phantoms, that the model saw the answers."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rrgcore.errors import DataError, RunError
from rrgcore.files import read_json
from rrgcore.json_text import parse_json
from rrgcore.scoring.metric import Pair

ORACLE = (
    "Oracle: the model was given annotations made of the very reports that it predicts. These "
    "scores are an upper bound, not a result."
)
MARK = "oracle"
"""The key that each line of an oracle's predictions carries, so that they say it wherever they go.
"""


EMPTY = frozenset(("nan", "none", "null", "<na>", "n/a"))
"""What programs write for a report that is not there."""


def no_words(pairs: Sequence[Pair]) -> str | None:
    """Say how many predictions are what a program writes for nothing; None where none is."""
    found = Counter(text for pair in pairs if (text := pair.prediction.strip()).lower() in EMPTY)
    if not found:
        return None
    text, _ = found.most_common(1)[0]
    return (
        f"{found.total():,} of {len(pairs):,} predictions are '{text}' or the like, which is how a "
        "table is written that lacks them: they are scored as that word. Write an empty text"
    )


def cautions_of(path: Path) -> list[str]:
    """Return what a run, or a file of predictions, wants said beside its scores; raises RunError
    or DataError where that is damaged.
    """
    scores = path / "scores.json"
    if scores.is_file():
        cautions = read_json(scores).get("cautions", [])
        if not isinstance(cautions, list) or not all(isinstance(each, str) for each in cautions):
            raise RunError(f"{scores} is damaged: its cautions are no list of sentences")
        return cautions
    if path.suffix != ".jsonl" or not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = parse_json(next((line for line in file if line.strip()), "{}"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return [ORACLE] if isinstance(first, dict) and first.get(MARK) else []
