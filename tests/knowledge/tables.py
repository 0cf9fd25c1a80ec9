"""Tables of labels as a test needs them."""

import csv
from collections.abc import Sequence
from pathlib import Path

from rrgcore.chest import OBSERVATIONS


def write_rows(path: Path, *rows: Sequence[str]) -> str:
    """Write a CSV, and return its path as an option is given."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def write_label_table(path: Path, ids: Sequence[str]) -> str:
    """Write the same three labels for each study."""
    labels = {"Edema": "1", "Pneumothorax": "0", "Lung Lesion": "-1"}
    cells = [labels.get(name, "") for name in OBSERVATIONS]
    return write_rows(path, ["id", *OBSERVATIONS], *([id, *cells] for id in ids))
