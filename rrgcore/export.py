"""A dataset as files: its studies in R2Gen's layout (Chen et al., 2020)."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final, get_args
from urllib.parse import quote

import numpy as np
from PIL import Image

from rrgcore.annotations import Annotation, Boxes, Labels, NGrams, RadGraph
from rrgcore.checkpoint import write_json, written_whole
from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError, UserError
from rrgcore.images import SMALLEST_SIDE
from rrgcore.interfaces import Dataset
from rrgcore.settings import Split
from rrgcore.types import ImageRef, Study

KINDS: tuple[type, ...] = (RadGraph, Labels, Boxes, NGrams)
"""The annotations that a dataset is asked for; others are written where studies carry them."""

Splits = Mapping[str, Sequence[Study]]
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
    studies = {split: dataset.studies(split) for split in get_args(Split)}
    _check_studies([study for each in studies.values() for study in each])
    try:
        _check_free(folder)
        with written_whole(folder.resolve()) as beside:
            return _write(dataset, studies, beside, progress)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}); name another folder") from error


def _check_free(folder: Path) -> None:
    if not folder.is_dir():
        if folder.exists():
            raise UserError(f"{folder} is a file; name a folder that does not exist yet")
        return
    if there := sorted(path.name for path in folder.iterdir()):
        others = f" and {len(there) - 1:,} more" if len(there) > 1 else ""
        raise UserError(
            f"{folder} is not empty: it holds {there[0]}{others}. Name a folder that does not "
            "exist yet, or an empty one"
        )
    if folder.samefile(Path.cwd()):
        # it will be replaced, and whoever stands in it would see the old one
        raise UserError(f"{folder} is the folder that you are in; name one below it")


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
    rows: dict[str, list[Mapping[str, Any]]] = {split: [] for split in studies}
    everything = [(split, study) for split, each in studies.items() for study in each]
    with _Sidecars(folder / "annotations") as sidecars:
        for done, (split, study) in enumerate(everything, start=1):
            paths = list(_write_images(dataset, study, folder / "images"))
            row = {"id": study.id, "report": study.report, "image_path": paths}
            rows[split].append({**row, "views": list(study.views)})
            for annotation in _annotations(dataset, study):
                sidecars.add(study, annotation)
            if progress is not None:
                progress(done, len(everything))
    write_json(folder / "annotation.json", rows)
    partial = sidecars.drop_partial(len(everything))
    return Exported(
        studies={split: len(each) for split, each in studies.items()},
        images=sum(len(row["image_path"]) for each in rows.values() for row in each),
        annotations=tuple(slug for slug in sidecars.counts if slug not in partial),
        partial=partial,
    )


def _write_images(dataset: Dataset, study: Study, folder: Path) -> Iterator[str]:
    """Write a study's images; yield where, from the folder."""
    name = quote(study.id, safe=" ")  # an id may be a path, or what no file system takes
    name = name.replace(".", "%2E", 1) if name.startswith(".") else name
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
    if min(pixels.shape) < SMALLEST_SIDE:
        height, width = pixels.shape
        raise DataError(
            f"image {image.where}: is {width} × {height} pixels; expected at least "
            f"{SMALLEST_SIDE} × {SMALLEST_SIDE}, or it cannot be read back"
        )
    return Image.fromarray(pixels)


def _annotations(dataset: Dataset, study: Study) -> Iterator[Annotation]:
    """What a study carries comes before what the data knows of it, as in a run."""
    for kind in dict.fromkeys((*KINDS, *study.annotations)):
        carried = study.annotations.get(kind)
        found = dataset.annotation(study, kind) if carried is None else carried
        if isinstance(found, Annotation):
            yield found


@final
class _Sidecars:
    """The annotation files, each made when its first line comes, a line a study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self._files: dict[str, IO[str]] = {}
        self._open = ExitStack()

    def __enter__(self) -> "_Sidecars":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, study: Study, annotation: Annotation) -> None:
        slug = annotation.slug
        if slug not in self._files:
            self.folder.mkdir(exist_ok=True)
            file = self._path(slug).open("w", encoding="utf-8")
            self._files[slug] = self._open.enter_context(file)
        line = {"id": study.id, "value": annotation.to_json()}
        self._files[slug].write(json.dumps(line, ensure_ascii=False) + "\n")
        self.counts[slug] += 1

    def drop_partial(self, total: int) -> dict[str, int]:
        """Take away the files that lack a study; return how many each has."""
        partial = {slug: count for slug, count in self.counts.items() if count < total}
        for slug in partial:
            self._path(slug).unlink()
        if partial and len(partial) == len(self.counts):
            self.folder.rmdir()
        return partial

    def _path(self, slug: str) -> Path:
        return self.folder / f"{slug}.jsonl"
