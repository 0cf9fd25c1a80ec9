"""Studies as large as a recipe allows, of which nothing is known but how large they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from torch import Tensor

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
from rrgcore.chest import ORDERS
from rrgcore.data import study_rng
from rrgcore.errors import DataError
from rrgcore.gathering import slug_of
from rrgcore.interfaces import Prepares
from rrgcore.study import ImageRef, Study
from rrgcore.tokens import SPECIAL, Tokenizer
from rrgcore.types import Tokens, pad_sequences

SENTENCE = ("the", "enlarged", "heart", "left", "lung", "pleural", "effusion", "is", "seen", ".")
OBSERVATIONS, ANATOMY = (1, 6, 8), (2, 3, 4, 5)
"""Where the sentence observes, and where it says where: as dense as RadGraph finds reports."""
TOP = 30
"""N-grams of an observation, as ORGan keeps of MIMIC-CXR."""


@final
class CountingTokenizer:
    """Stands in for a tokenizer that is not at hand: a word is a token, whichever."""

    def __init__(self, *, size: int) -> None:
        self.size = size
        self.pad_id, self.cls_id, self.sep_id, self.mask_id = range(4)

    def __len__(self) -> int:
        return self.size

    def encode(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Return as many ids as the text has words, framed, and cut where that is said."""
        words = len(text.split())
        words = words if max_tokens is None else min(words, max_tokens - 2)
        return [self.cls_id, *[len(SPECIAL)] * words, self.sep_id]

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
        """Return an id a word, framed, and each token's index of its word."""
        return self.encode(" ".join(words)), [None, *range(len(words)), None]

    def decode(self, ids: Sequence[int]) -> str:
        """Return a word an id."""
        return " ".join("word" for _ in ids)

    def id_of(self, token: str) -> int:
        """Return the id of every token."""
        return len(SPECIAL)

    def save(self, folder: Any) -> None:
        """Refuse: it knows no words."""
        raise AssertionError("a tokenizer that only counts is never saved")


def imagine_studies(count: int, *, views: int, words: int) -> list[Study]:
    """Make studies with so many images and words in the report, no two reports the same,
    annotated in every way that core knows.
    """
    return [_imagine(number, views=views, words=words) for number in range(count)]


def imagine_prepared(
    slots: Mapping[str, Prepares[Any]], studies: Sequence[Study]
) -> dict[str, Any]:
    """Return what components prepare of these studies, by slot; raises DataError for one that
    reads annotations core does not know.
    """
    for slot, component in slots.items():
        for kind in component.annotations_read():
            if kind not in studies[0].annotations:
                raise DataError(
                    f"{slot} reads {slug_of(kind)} ({kind.__name__}), and how large those are only "
                    "its plugin knows: the memory of this recipe cannot be told without running it"
                )
    rngs = [study_rng(0, 0, study.id, "memory") for study in studies]
    return {slot: component.prepare(studies, rngs) for slot, component in slots.items()}


def imagine_text(studies: Sequence[Study], tokenizer: Tokenizer, *, max_tokens: int) -> Tokens:
    """Return the reports as tokens, each as long as is allowed."""
    rows = [tokenizer.encode(study.report or "", max_tokens=max_tokens) for study in studies]
    mask: Tensor = pad_sequences([[1] * len(row) for row in rows], 0).bool()
    return Tokens(pad_sequences(rows, tokenizer.pad_id), mask)


def _imagine(number: int, *, views: int, words: int) -> Study:
    report = [SENTENCE[i % len(SENTENCE)] for i in range(words)]
    report[0] = f"study{number}"
    heart = Box("cardiac silhouette", 0.3, 0.4, 0.7, 0.8)
    names = ORDERS["alphabetical"]
    return Study(
        id=f"imagined-{number}",
        images=tuple(ImageRef(f"{number}/{view}") for view in range(views)),
        views=tuple("lateral" if view else "frontal" for view in range(views)),
        report=" ".join(report),
        annotations={
            RadGraph: RadGraph(tuple(report), dict(_entities(report))),
            Labels: Labels({name: number % 2 for name in names}),
            Probabilities: Probabilities(dict.fromkeys(names, 0.5)),
            NearestReport: NearestReport(" ".join(report), f"imagined-{number}", 0.5),
            NGrams: NGrams({f"{name}_{number % 2 == 0}": _phrases(name, number) for name in names}),
            Boxes: Boxes(tuple((heart,) for _ in range(views))),
        },
    )


def _entities(words: Sequence[str]) -> Iterator[tuple[str, Entity]]:
    for at, word in enumerate(words):
        place = at % len(SENTENCE)
        if place in OBSERVATIONS:
            yield str(at), Entity(word, "OBS-DP", at, at)
        elif place in ANATOMY:
            yield str(at), Entity(word, "ANAT-DP", at, at)


def _phrases(name: str, number: int) -> tuple[str, ...]:
    sign = "no" if number % 2 else "some"
    return tuple(f"{sign} {name.lower()} {rank}" for rank in range(TOP))
