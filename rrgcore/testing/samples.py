"""Studies and batches small enough to read, annotated in every way that core knows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rrgcore.annotations import (
    Box,
    Boxes,
    Entity,
    Labels,
    NearestReport,
    NGrams,
    Probabilities,
    RadGraph,
)
from rrgcore.chest import View
from rrgcore.data import Collator, ImageCache, study_rng
from rrgcore.interfaces import Prepares
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset
from rrgcore.testing.fake_data import FakeDataset
from rrgcore.tokens import Tokenizer, WordTokenizer
from rrgcore.types import Batch

HALF = (0.5, 0.5, 0.5)
ANATOMY = {"heart", "lungs", "lung", "pleural", "mediastinum"}
OBSERVATIONS = {"enlarged": "Cardiomegaly", "effusion": "Pleural Effusion", "edema": "Edema"}
OTHER_OBSERVATIONS = {"normal", "clear", "small", "mild"}
REPORTS = (
    "the heart is enlarged . no pleural effusion .",
    "the lungs are clear . the heart is normal .",
    "small left pleural effusion . mild edema of the lungs .",
    "the lungs are clear . the heart is normal .",
)


def make_study(
    id: str = "study-0",
    *,
    report: str | None = REPORTS[0],
    views: Sequence[View] = ("frontal",),
    annotations: Mapping[type, Any] | None = None,
) -> Study:
    """Make a study whose images a `FakeDataset` can open.

    Unless `annotations` are given it carries core's own (RadGraph, Labels, Boxes, …), read off the
    report's words with the vocabulary of these samples.
    """
    return Study(
        id=id,
        images=tuple(ImageRef(f"{id}/{number}") for number in range(len(views))),
        views=tuple(views),
        report=report,
        annotations=_annotate(report or "", views) if annotations is None else annotations,
    )


def make_studies() -> list[Study]:
    """Make four studies: one of two views, one a lateral alone, and two that say the same."""
    views: tuple[tuple[View, ...], ...] = (
        ("frontal",),
        ("frontal", "lateral"),
        ("lateral",),
        ("unknown",),
    )
    return [
        make_study(f"study-{number}", report=report, views=seen)
        for number, (report, seen) in enumerate(zip(REPORTS, views, strict=True))
    ]


def make_rngs(studies: Sequence[Study], *, seed: int = 0) -> list[np.random.Generator]:
    """Make one generator a study, as the loader does."""
    return [study_rng(seed, 0, study.id, "testing") for study in studies]


def make_tokenizer(
    studies: Sequence[Study] | None = None,
    *,
    special: Sequence[str] = (),
    words: Sequence[str] = (),
) -> WordTokenizer:
    """Make the word tokenizer of some studies' reports, and of more `words`."""
    reports = [study.report or "" for study in (make_studies() if studies is None else studies)]
    return WordTokenizer.of_texts(reports, special=special, extra=words)


def make_batch(
    studies: Sequence[Study] | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    text_tokenizer: Tokenizer | None = None,
    image_size: int = 32,
    max_report_tokens: int = 24,
    prepares: Mapping[str, Prepares[Any]] | None = None,
    dataset: Dataset | None = None,
) -> Batch:
    """Collate studies as the loader does; images are noise unless a `dataset` opens them.

    `prepares` maps a slot ("adapter", "objectives.mine") to the component that prepares for it.
    """
    studies = make_studies() if studies is None else studies
    collate = Collator(
        images=ImageCache(dataset or FakeDataset(studies=studies), size=image_size),
        mean=HALF,
        std=HALF,
        report_tokenizer=tokenizer or make_tokenizer(studies),
        text_tokenizer=text_tokenizer,
        max_report_tokens=max_report_tokens,
        prepares=prepares or {},
    )
    return collate(studies)


def _annotate(report: str, views: Sequence[View]) -> dict[type, Any]:
    words = tuple(report.split())
    entities: dict[str, Entity] = {}
    labels: dict[str, int] = {}
    phrases: dict[str, tuple[str, ...]] = {}
    first = 0
    for sentence in report.split(" ."):
        found = sentence.split()
        denied = "no" in found
        places = [str(first + i) for i, word in enumerate(found) if word in ANATOMY]
        for at, word in enumerate(found, start=first):
            if word in ANATOMY:
                entities[str(at)] = Entity(word, "ANAT-DP", at, at)
            elif word in OBSERVATIONS or word in OTHER_OBSERVATIONS:
                relations = tuple(("located_at", place) for place in places)
                label = "OBS-DA" if denied else "OBS-DP"
                entities[str(at)] = Entity(word, label, at, at, relations)
            if word in OBSERVATIONS:
                labels[OBSERVATIONS[word]] = int(not denied)
                phrases[f"{OBSERVATIONS[word]}_{not denied}"] = (" ".join(found), word)
        first += len(found) + 1
    heart = Box("cardiac silhouette", 0.3, 0.4, 0.7, 0.8)
    return {
        RadGraph: RadGraph(words, entities),
        Labels: Labels(labels),
        Probabilities: Probabilities(
            {name: 0.9 if labels.get(name) else 0.1 for name in OBSERVATIONS.values()}
        ),
        NearestReport: NearestReport(report, "study-0", 0.5),
        NGrams: NGrams(phrases),
        Boxes: Boxes(tuple(() if view == "lateral" else (heart,) for view in views)),
    }
