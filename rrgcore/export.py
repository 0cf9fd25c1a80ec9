"""A dataset as files: its studies in R2Gen's layout (Chen et al., 2020)."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from rrgcore.annotations import Annotation, Boxes, Labels, NGrams, RadGraph
from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError, UserError
from rrgcore.files import written_whole
from rrgcore.layout import IMAGES, SPLITS, LayoutWriter, check_free, check_readable, folder_name
from rrgcore.settings import Split
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset

KINDS: tuple[type, ...] = (RadGraph, Labels, Boxes, NGrams)
"""The annotations that a dataset is asked for; others are written where studies carry them."""

Splits = Mapping[Split, Sequence[Study]]
Progress = Callable[[int, int], None]


@final
@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    studies: Mapping[str, int]
    """How many of each split."""
    images: int
    annotations: tuple[str, ...]
    """The kinds that have a sidecar, by slug."""
    partial: Mapping[str, int]
    """The kinds that have none because only so many studies are annotated."""


def export_dataset(
    dataset: Dataset, folder: str | Path, *, progress: Progress | None = None
) -> Exported:
    """Write the studies of a dataset into a new folder, which appears whole or not at all.

    It gets `annotation.json`, `images/<id>/<number>.png`, and `annotations/<slug>.jsonl` for each
    annotation that every study has. Reports are written as the dataset gives them: cleaned.
    Raises DataError for a study that this layout has no place for, and UserError for a folder that
    holds something or cannot be written.
    """
    folder = Path(folder).expanduser()
    studies = {split: dataset.studies(split) for split in SPLITS}
    _check_studies([study for each in studies.values() for study in each])
    try:
        check_free(folder)
        with written_whole(folder.resolve()) as beside:
            return _write(dataset, studies, beside, progress)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}); name another folder") from error


def _check_studies(studies: Sequence[Study]) -> None:
    """Find what the layout has no place for, before anything is written."""
    if not studies:
        raise DataError("the data has no studies in train, val or test: there is nothing to write")
    ids = Counter(study.id for study in studies)
    for wrong, text in (
        ([study.id for study in studies if is_empty(study.report or "")], "has no report"),
        ([study.id for study in studies if not study.images], "has no image"),
        ([id for id, count in ids.items() if count > 1], "is there twice"),
    ):
        if wrong:
            others = f" and {len(wrong) - 1:,} more of {len(ids):,}" if len(wrong) > 1 else ""
            raise DataError(
                f"study '{wrong[0]}'{others} {text}; in R2Gen's layout a study has an id of its "
                "own, a report and an image"
            )


def _write(dataset: Dataset, studies: Splits, folder: Path, progress: Progress | None) -> Exported:
    everything = [(split, study) for split, each in studies.items() for study in each]
    with LayoutWriter(folder) as layout:
        for done, (split, study) in enumerate(everything, start=1):
            paths = list(_write_images(dataset, study, folder / IMAGES))
            layout.add(split, study, paths, _annotations(dataset, study))
            if progress is not None:
                progress(done, len(everything))
        written = layout.finish(keep_partial=False)
    partial = {slug: n for slug, n in written.annotations.items() if n < len(everything)}
    return Exported(
        studies=written.studies,
        images=written.images,
        annotations=tuple(slug for slug in written.annotations if slug not in partial),
        partial=partial,
    )


def _write_images(dataset: Dataset, study: Study, folder: Path) -> Iterator[str]:
    """Write a study's images; yield where, from the folder."""
    name = folder_name(study.id)
    (folder / name).mkdir(parents=True)
    for number, image in enumerate(study.images):
        path = f"{name}/{number}.png"
        try:
            _open(dataset, image).save(folder / path)
        except DataError as error:
            raise DataError(f"study '{study.id}': {error}") from error
        yield path


def _open(dataset: Dataset, image: ImageRef) -> Image.Image:
    pixels = dataset.open(image)
    assert pixels.dtype == np.uint8, "a dataset opens images as 8-bit grey"
    check_readable(pixels, image.where)
    return Image.fromarray(pixels)


def _annotations(dataset: Dataset, study: Study) -> Iterator[Annotation]:
    """What a study carries comes before what the data knows of it, as in a run."""
    for kind in dict.fromkeys((*KINDS, *study.annotations)):
        carried = study.annotations.get(kind)
        found = dataset.annotation(study, kind) if carried is None else carried
        if isinstance(found, Annotation):
            yield found
