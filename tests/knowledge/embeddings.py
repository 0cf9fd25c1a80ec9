"""Matrices of embeddings as a test needs them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_embeddings(folder: Path, ids: Sequence[str]) -> dict[str, str]:
    """Write noise for the images and the report of each study; return the options that name it."""
    (folder / "ids.txt").write_text("\n".join(ids), encoding="utf-8")
    rng = np.random.default_rng(0)
    for name in ("images", "reports"):
        np.save(folder / f"{name}.npy", rng.normal(size=(len(ids), 4)).astype(np.float32))
    return {
        "images": str(folder / "images.npy"),
        "image_ids": str(folder / "ids.txt"),
        "reports": str(folder / "reports.npy"),
        "report_ids": str(folder / "ids.txt"),
    }


def write_probability_table(path: Path, ids: Sequence[str]) -> str:
    """Write the same two probabilities for each study; return the path as an option is given."""
    rows = ["id,Edema,Fracture", *(f"{id},0.25,0.5" for id in ids)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return str(path)
