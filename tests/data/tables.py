"""A small table of reports, and an image for every file that it names."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def rows() -> list[dict[str, str]]:
    """Five studies of four patients in their splits."""
    return [
        row("a", split="train", patient="1"),
        row("b", split="train", patient="2", view="LATERAL"),
        row("c", split="train", patient="2"),
        row("d", split="valid", patient="3"),
        row("e", split="test", patient="4"),
    ]


def row(study: str, **more: str) -> dict[str, str]:
    """One study of one image."""
    report = f"Lungs of {study} are clear."
    return {"id": study, "report": report, "image": f"{study}.png", "view": "PA", **more}


def write_reports(
    root: Path,
    table: Sequence[Mapping[str, Any]] | None = None,
    *,
    file: str = "reports.csv",
    delimiter: str = ",",
) -> Path:
    """Write it as CSV."""
    table = rows() if table is None else table
    add_images(root, [each["image"] for each in table if each.get("image")])
    with (root / file).open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(table[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
    return root


def add_images(root: Path, names: Sequence[str], *, folder: str = "images") -> None:
    """Write images, each of another shade."""
    for number, name in enumerate(names):
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 16), number % 256, dtype=np.uint8)).save(path)
