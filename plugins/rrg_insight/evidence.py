"""Findings that are there and are named, with the attention of the words that name them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, final

import numpy as np

from rrg_insight.mask_attention import row_of, why_reads_not, word_objectives
from rrgcore.api import FindingBoxes, Matches, OpenRun, Study, Tokens
from rrgcore.insight.attending import (
    Attended,
    Step,
    attend_reading,
    attend_writing,
    check_attends_writing,
)
from rrgcore.insight.masked import MaskedWords
from rrgcore.insight.naming import Named, statuses
from rrgcore.insight.pointing import Case, inside_boxes
from rrgcore.interfaces import Lacks

Split = Literal["train", "val", "test"]
Words = Mapping[str, Sequence[int]]
"""Observation to the words that name it."""


@final
@dataclass(frozen=True, slots=True)
class Read:
    """Where the words of one text looked, and which of them name what."""

    study: Study
    attended: Attended
    naming: Words
    sentence: Words


@final
@dataclass(frozen=True, slots=True)
class Way:
    """A way to ask a model where it looks."""

    name: str
    reads: Callable[[OpenRun, Split, int | None], Iterator[Read]]
    """Over a split, or the first so many of its studies."""


def ways(run: OpenRun) -> list[Way]:
    """List the ways that a run offers."""
    found: list[Way] = []
    try:
        check_attends_writing(run.model())
        found += [
            Way("decoder, written report", partial(_written, step="writes")),
            Way("decoder, reference", partial(_reference, step="writes")),
            Way("decoder, reference, next step", partial(_reference, step="reads")),
        ]
    except Lacks:
        pass
    if why_reads_not(run) is not None:
        return found
    for name in run.objectives(Matches):
        found.append(Way(f"T-CMEnc, reference ({name})", partial(_read, name=name)))
    for name in word_objectives(run):
        found.append(Way(f"T-CMEnc, [MASK] ({name})", partial(_masked, name=name)))
    return found


@final
class Collected:
    """The cases of a split: by the words that name a finding, and by their sentences.

    A case is a finding that has a box on one of the study's images, and is named. `usual` is the
    mean map of all words, by view.
    """

    def __init__(self, run: OpenRun, split: Split, way: Way, *, first: int | None = None) -> None:
        self.cases: dict[str, list[Case]] = {"words": [], "sentences": []}
        self._sums: dict[int, np.ndarray] = {}
        self._counts: dict[int, int] = {}
        for read in way.reads(run, split, first):
            self._count(read)
            boxes = run.finding_boxes(read.study)
            if boxes is None:
                continue
            for what, naming in (("words", read.naming), ("sentences", read.sentence)):
                for observation, words in naming.items():
                    case = _case(read, boxes, observation, words)
                    if case is not None:
                        self.cases[what].append(case)

    @property
    def usual(self) -> dict[int, np.ndarray]:
        """Return what words look at on each view, whatever they name."""
        return {view: total / self._counts[view] for view, total in self._sums.items()}

    def _count(self, read: Read) -> None:
        weights = read.attended.weights
        for view in range(len(read.study.images)):
            total = weights[:, :, :, view].sum(2, dtype=np.float64)
            self._sums[view] = self._sums.get(view, 0.0) + total
            self._counts[view] = self._counts.get(view, 0) + weights.shape[2]


def _case(read: Read, boxes: FindingBoxes, observation: str, words: Sequence[int]) -> Case | None:
    for view, image in enumerate(boxes.images):
        own = [box for box in image if box.name == observation]
        if own and words:
            weights = read.attended[words].weights.mean(2)[:, :, view].copy()
            around = read.attended.weights.mean(2)[:, :, view].copy()
            inside = inside_boxes(own, (weights.shape[-2], weights.shape[-1]))
            return Case(read.study.id, observation, weights, around, inside, view)
    return None


def _named(run: OpenRun, study: Study, attended: Attended) -> Read:
    named = Named.of(attended.words, run.mentions)
    assert named is not None, "asked for where somebody can tell"
    return Read(study, attended, named.naming, named.sentence)


def _written(run: OpenRun, split: Split, first: int | None, *, step: Step) -> Iterator[Read]:
    model = run.model()
    for studies, batch in run.batches(
        f"attention of written reports ({split})", (), split, first=first
    ):
        reports = run.written([study.id for study in studies], split)
        found = attend_writing(model, batch, [report.ids for report in reports], step=step)
        yield from (_named(run, *each) for each in zip(studies, found, strict=True))


def _reference(run: OpenRun, split: Split, first: int | None, *, step: Step) -> Iterator[Read]:
    model = run.model()
    for studies, batch in run.batches(f"attention of references ({split})", (), split, first=first):
        lengths = batch.report.mask.sum(1).tolist()
        rows = [
            ids[1:length] for ids, length in zip(batch.report.ids.tolist(), lengths, strict=True)
        ]
        found = attend_writing(model, batch, rows, step=step)
        yield from (_named(run, *each) for each in zip(studies, found, strict=True))


def _read(run: OpenRun, split: Split, first: int | None, *, name: str) -> Iterator[Read]:
    batches = run.batches(f"attention of T-CMEnc ({split})", (), split, first=first)
    model = run.model(name)
    for studies, batch in batches:
        found = attend_reading(model, batch, batch.text)
        yield from (_named(run, *each) for each in zip(studies, found, strict=True))


def _masked(run: OpenRun, split: Split, first: int | None, *, name: str) -> Iterator[Read]:
    batches = run.batches(f"attention of [MASK] ({split})", (name,), split, first=first)
    model = run.model(name)
    decode = model.parts.text_encoder.tokenizer.decode
    for studies, batch in batches:
        prepared = batch.prepared[f"objectives.{name}"]
        texts = [MaskedWords.of(row_of(prepared, row), decode) for row in range(len(batch))]
        found = attend_reading(
            model, batch, Tokens(prepared.ids, prepared.mask), [text.asked() for text in texts]
        )
        for study, text, attended in zip(studies, texts, found, strict=True):
            yield Read(study, attended, *_of_masks(run, text))


def _of_masks(run: OpenRun, text: MaskedWords) -> tuple[Words, Words]:
    """Return the masked words of each finding, as they count among all masked words."""
    number = {word: n for n, word in enumerate(text.hidden)}
    stated = statuses(text.words)
    if stated:
        of = {
            name: [number[at]]
            for name, (at, said) in stated.items()
            if at in number and said == "present"
        }
        return of, of
    named = Named.of(text.words, run.mentions)
    assert named is not None, "asked for where somebody can tell"
    both = []
    for naming in (named.naming, named.sentence):
        of = {
            name: hidden
            for name, words in naming.items()
            if (hidden := [number[word] for word in words if word in number])
        }
        both.append(of)
    return both[0], both[1]


def studies_with_boxes(run: OpenRun, split: Split) -> bool:
    """Whether the data says of some study of a split where findings lie."""
    return any(
        (found := run.finding_boxes(study)) is not None and any(found.images)
        for study in run.studies(split)
    )
