"""The contract of a data set, and what a source shares of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrgcore.annotations import KINDS, Boxes, RadGraph
from rrgcore.chest import VIEWS
from rrgcore.images import read_image
from rrgcore.sources import Source
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset
from rrgcore.testing.annotators import check_round_trip
from rrgcore.testing.subject import Subject

SPLITS = ("train", "val", "test")
MOST_IMAGES = 4
Opens = Dataset | Source


def check_dataset(s: Subject) -> None:
    """Check the studies of each split, some images, annotations and the fingerprint."""
    dataset: Dataset = s.build()
    s.expect(isinstance(dataset.caution, str), "`caution` is no text")
    listed = {split: _studies(s, dataset, split) for split in SPLITS}
    studies = [study for split in SPLITS for study in listed[split]]
    s.expect(bool(studies), "has no study in train, val or test")
    ids = [study.id for study in studies]
    twice = sorted({id for id in ids if ids.count(id) > 1}) if len(set(ids)) < len(ids) else []
    s.expect(not twice, f"lists study '{twice[0] if twice else ''}' twice: ids are unique")
    for study in studies:
        check_study(s, study)
    other: Dataset = s.build(seed=1)
    for split in SPLITS:
        again = [study.id for study in other.studies(split)]
        s.expect(
            again == [study.id for study in listed[split]],
            f"lists other studies of '{split}', or in another order, when it is built again",
        )
    images = [image for study in studies for image in study.images]
    for image in images[:MOST_IMAGES]:
        check_image(s, dataset, other, image)
        _check_file(s, dataset, image)
    for study in studies[:MOST_IMAGES]:
        for kind in KINDS:
            _check_annotation(s, dataset, study, kind)
    _check_fingerprint(s, dataset)


def _studies(s: Subject, dataset: Dataset, split: str) -> Sequence[Study]:
    with s.trying(f"studies('{split}')"):
        found = dataset.studies(split)
    s.expect(
        isinstance(found, Sequence),
        f"studies('{split}') returns a {type(found).__name__}; expected a list of studies",
    )
    s.expect(
        all(isinstance(study, Study) for study in found),
        f"studies('{split}') holds what is no Study",
    )
    return found


def check_study(s: Subject, study: Study) -> None:
    """Check a study's id, images, views and report."""
    s.expect(isinstance(study.id, str) and bool(study.id), f"a study has the id {study.id!r}")
    s.expect(bool(study.images), f"study '{study.id}' has no image")
    s.expect(
        len(study.views) == len(study.images),
        f"study '{study.id}' has {len(study.images)} images and {len(study.views)} views; expected "
        "a view an image",
    )
    strange = [view for view in study.views if view not in VIEWS]
    s.expect(not strange, f"study '{study.id}' has the views {strange}; known: {', '.join(VIEWS)}")
    s.expect(
        study.report is None or isinstance(study.report, str),
        f"study '{study.id}' has a report that is a {type(study.report).__name__}",
    )


def check_image(s: Subject, dataset: Opens, other: Opens, image: ImageRef) -> None:
    """Check that an image is grey of 8 bits, and the same when it is opened again."""
    with s.trying(f"open('{image.where}')"):
        one, two = dataset.open(image), other.open(image)
    s.expect(
        isinstance(one, np.ndarray) and one.dtype == np.uint8 and one.ndim == 2,
        f"open returns {_kind_of(one)}; expected grey of 8 bits: uint8 [h w]",
    )
    s.expect(np.array_equal(one, two), f"open('{image.where}') gives another image each time")


def _check_file(s: Subject, dataset: Dataset, image: ImageRef) -> None:
    """Check that the file of an image is all that its pixels are made of."""
    with s.trying(f"file_of('{image.where}')"):
        path = dataset.file_of(image)
        if path is None:
            return
        s.expect(
            isinstance(path, Path),
            f"file_of('{image.where}') returns {path!r}; expected a Path, or None",
        )
        read = read_image(path)
    s.expect(
        np.array_equal(read, dataset.open(image)),
        f"open('{image.where}') gives other pixels than read_image of file_of('{image.where}'), "
        "from which images are cached; file_of may return None",
    )


def _check_annotation(s: Subject, dataset: Dataset, study: Study, kind: type) -> None:
    with s.trying(f"annotation(study, {kind.__name__})"):
        found = study.annotations.get(kind) or dataset.annotation(study, kind)
    if found is None:
        return
    s.expect(
        isinstance(found, kind),
        f"annotation(study, {kind.__name__}) returns a {type(found).__name__}",
    )
    check_round_trip(s, found)
    if isinstance(found, RadGraph):
        s.expect(
            " ".join(found.words).split() == (study.report or "").split(),
            f"RadGraph counts other words than the report of study '{study.id}' has",
        )
    if isinstance(found, Boxes):
        s.expect(
            len(found.images) == len(study.images),
            f"study '{study.id}' has boxes of {len(found.images)} images; it has "
            f"{len(study.images)}",
        )


def _check_fingerprint(s: Subject, dataset: Dataset) -> None:
    fingerprint = dataset.fingerprint()
    try:
        written = json.loads(json.dumps(fingerprint))
    except (TypeError, ValueError) as error:
        s.refuse_from(error, f"its fingerprint cannot be written as JSON: {error}")
    s.expect(bool(written), "its fingerprint says nothing: a run must know what it was trained on")
    s.expect(
        json.dumps(fingerprint) == json.dumps(s.build().fingerprint()),
        "its fingerprint is another one when it is built again",
    )


def _kind_of(value: Any) -> str:
    described = f"a {type(value).__name__}"
    if isinstance(value, np.ndarray):
        described += f" of {value.dtype} with shape {value.shape}"
    return described
