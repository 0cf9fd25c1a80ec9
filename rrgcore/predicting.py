"""Reports for images that belong to no data set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from accelerate import Accelerator
from jaxtyping import UInt8

from rrgcore.errors import DataError, RunError
from rrgcore.evaluate import generate_reports
from rrgcore.folder import RunFolder
from rrgcore.images import read_image
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.studies import Studies
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset
from rrgcore.watch import Watcher, tracking

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".dcm", ".dicom"))
"""What is taken from a folder; a file that is named itself may be called anything."""


@final
@dataclass(frozen=True, slots=True)
class Written:
    """A report of an image that nobody has reported."""

    id: str
    """The file."""
    report: str
    logprob: float
    """Mean over the tokens."""


def predict_reports(
    *,
    plan: Plan,
    model: ReportModel,
    folder: RunFolder,
    paths: Sequence[Path],
    accelerator: Accelerator,
    watcher: Watcher,
) -> list[Written]:
    """Write a report for each image file, in order; what annotators learned in the run is loaded.

    Raises DataError for a file that is no image, RunError where the run did not keep what it needs.
    """
    if plan.data.oracle:
        raise RunError(
            f"{folder.path} is an oracle's run: its model reads what a report says, and a new "
            "image has none. Train one without data.oracle"
        )
    pictures = Pictures(paths)
    alone = replace(plan, data=replace(plan.data, limit=None, splits={}))
    studies = Studies(
        alone,
        pictures,
        track=tracking(watcher),
        device=str(accelerator.device),
        kept=folder.given,
    )
    studies.knowledge.keep_in(folder.artefacts, writes=False)
    loader = studies.loader(model, "test", training=False, batch_size=plan.evaluation.batch_size)
    found = generate_reports(
        model,
        loader,
        studies.references("test"),
        plan.generation,
        accelerator,
        watcher,
        "writing reports",
    )
    return [Written(each.id, each.prediction, each.logprob) for each in found]


def find_images(paths: Sequence[Path]) -> list[Path]:
    """List the image files among paths, those below folders by name; raises DataError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise DataError(f"{path} holds no image: expected {', '.join(sorted(SUFFIXES))}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"{path} does not exist")
    return list(dict.fromkeys(found))


@final
class Pictures(Dataset):
    """Image files, each a study of its own of which nothing else is known."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def studies(self, split: str) -> Sequence[Study]:
        """List them, whatever the split is called."""
        return [Study(str(p), (ImageRef(str(p)),), ("unknown",)) for p in self.paths]

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read a file; raises DataError naming it."""
        return read_image(Path(image.where))
