"""Lists of observation n-grams as ORGan publishes them: read, written, counted."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rrgcore.errors import DataError
from rrgcore.files import write_text
from rrgcore.json_text import parse_json

Lists = Mapping[str, tuple[str, ...]]
""" "Edema_True" to its n-grams, best first; observations without any are left out."""


def read_lists(path: Path) -> Lists:
    """Read `{"Edema_True": ["n-gram", …], …}`; raises DataError for a file that is not so."""
    try:
        data = parse_json(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"there are no observation n-grams at {path}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise DataError(f"{path} holds no mapping of observations to lists of n-grams")
    for observation, ngrams in data.items():
        if not observation.endswith(("_True", "_False")):
            raise DataError(
                f"{path}: '{observation}' is no observation that is present or denied; expected "
                "names like 'Edema_True' and 'Edema_False'"
            )
        if not isinstance(ngrams, list) or not all(isinstance(each, str) for each in ngrams):
            raise DataError(f"{path}: '{observation}' has no list of n-grams; expected strings")
    return {observation: tuple(ngrams) for observation, ngrams in data.items()}


def write_lists(lists: Lists, path: Path) -> None:
    """Write what `read_lists` and ORGan's own code read."""
    write_text(path, json.dumps(lists, ensure_ascii=False, indent=4) + "\n")


def count_by_length(lists: Lists) -> Mapping[str, Mapping[str, float]]:
    """Count pairs of observation and n-gram by the n-gram's words, and n-grams, each once.

    The pairs are the rows of CmEAA, Table 5.
    """
    unique = {ngram for ngrams in lists.values() for ngram in ngrams}
    pairs = Counter(len(ngram.split()) for ngrams in lists.values() for ngram in ngrams)
    alone = Counter(len(ngram.split()) for ngram in unique)
    return {
        f"{size}-gram": {"pairs": float(pairs[size]), "n-grams": float(alone[size])}
        for size in range(1, max(pairs, default=0) + 1)
    }
