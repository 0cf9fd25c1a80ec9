"""A dataset as files: its studies in R2Gen's layout (Chen et al., 2020)."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from rrgcore.annotations import KINDS, Annotation
from rrgcore.cleaning import CLEANERS, cleaner, is_empty
from rrgcore.errors import DataError, UserError
from rrgcore.files import written_whole
from rrgcore.layout import IMAGES, SPLITS, LayoutWriter, check_free, check_readable, folder_name
from rrgcore.settings import Split
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset, KeepsRawReports

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
    cleaning: str
    """The rule of `rrgcore.cleaning` by which reports read back as the dataset gave them."""


def export_dataset(
    dataset: Dataset, folder: str | Path, *, progress: Progress | None = None
) -> Exported:
    """Write the studies of a dataset into a new folder, which appears whole or not at all.

    It gets `annotation.json`, `images/<id>/<number>.png`, and `annotations/<slug>.jsonl` for each
    annotation that every study has. Reports are written as they stand in the dataset's own files
    (`KeepsRawReports`), with case, commas and decimals, if its rule makes of each what the dataset
    gives; else as the dataset gives them. Raises DataError for a study that this layout has no
    place for, and UserError for a folder that holds something or cannot be written.
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


def _raw_reports(dataset: Dataset, studies: Splits) -> tuple[str, Mapping[str, str]]:
    """Return raw reports by study, and the rule by which they read back as the dataset gives them:
    none of either where it does not tell, or where one would read back otherwise.
    """
    if not isinstance(dataset, KeepsRawReports) or dataset.cleaning not in CLEANERS:
        return "none", {}
    clean = cleaner(dataset.cleaning)
    reports: dict[str, str] = {}
    for study in (study for each in studies.values() for study in each):
        raw = dataset.raw_report(study)
        if raw is None or clean(raw) != study.report:
            return "none", {}
        reports[study.id] = raw
    return dataset.cleaning, reports


def _write(dataset: Dataset, studies: Splits, folder: Path, progress: Progress | None) -> Exported:
    cleaning, reports = _raw_reports(dataset, studies)
    everything = [(split, study) for split, each in studies.items() for study in each]
    with LayoutWriter(folder) as layout:
        for done, (split, study) in enumerate(everything, start=1):
            paths = list(_write_images(dataset, study, folder / IMAGES))
            written_as = replace(study, report=reports.get(study.id, study.report))
            layout.add(split, written_as, paths, _annotations(dataset, study))
            if progress is not None:
                progress(done, len(everything))
        written = layout.finish(keep_partial=False)
    partial = {slug: n for slug, n in written.annotations.items() if n < len(everything)}
    return Exported(
        studies=written.studies,
        images=written.images,
        annotations=tuple(slug for slug in written.annotations if slug not in partial),
        partial=partial,
        cleaning=cleaning,
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
