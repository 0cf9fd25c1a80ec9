"""Files that others made, as a test needs them."""

import csv
import json
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


def write_box_table(path: Path) -> str:
    """Write a box of an image of two of the studies that components are tried on."""
    head = ("image_id", "bbox_name", "x1", "y1", "x2", "y2")
    return write_rows(
        path, head, *((f"study-{i}/0", "spine", "0.4", "0", "0.6", "1") for i in (0, 1))
    )


def write_scene_graphs(folder: Path) -> str:
    """Write a graph of the first image of a study, as those are called on which components are
    tried, of 32 × 32 pixels.
    """
    edges = {"x1": 8, "y1": 4, "x2": 24, "y2": 30}
    padded = {key: edge * 7 for key, edge in edges.items()}
    spine = {"bbox_name": "spine", **padded, **{f"original_{k}": v for k, v in edges.items()}}
    folder.mkdir()
    (folder / "0_SceneGraph.json").write_text(json.dumps({"objects": [spine]}), encoding="utf-8")
    return str(folder)
