"""Fakes that no network is needed for: a data set of noise, and two maskings."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from numpy.random import Generator

from rrgcore.annotations import Boxes, Labels
from rrgcore.data import study_rng
from rrgcore.interfaces import ImageMasking, TextMasking
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset
from rrgcore.tokens import Tokenizer
from rrgcore.types import MaskedText


@final
class FakeDataset(Dataset):
    """Given studies as the split "train"; every image is noise, the same each time it is opened."""

    def __init__(self, *, studies: Sequence[Study], size: int = 32) -> None:
        self._studies = studies
        self.size = size

    def studies(self, split: str) -> Sequence[Study]:
        """List them."""
        return self._studies if split == "train" else ()

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Draw noise."""
        rng = study_rng(0, 0, image.where, "noise")
        return rng.integers(256, size=(self.size, self.size), dtype=np.uint8)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return how many there are."""
        return {"studies": len(self._studies)}


@final
class FakeImageMasking(ImageMasking):
    """Hides patches with probability 0.5; the first is a key patch of an image that has boxes."""

    reads: ClassVar[tuple[type, ...]] = (Boxes,)

    def mask_image(
        self, study: Study, image: int, grid: tuple[int, int], rng: Generator
    ) -> Bool[np.ndarray, " n"]:
        """Toss a coin for each patch; the first is always hidden."""
        hidden = rng.random(grid[0] * grid[1]) < 0.5
        hidden[0] = True
        return hidden

    def key_patches(
        self, study: Study, image: int, grid: tuple[int, int]
    ) -> Bool[np.ndarray, " n"]:
        """Return the first patch, if anything is in a box."""
        keys = np.zeros(grid[0] * grid[1], dtype=bool)
        keys[0] = bool(study[Boxes].images[image])
        return keys


@final
class FakeTextMasking(TextMasking):
    """Hides the report's first word and each other one with probability 0.5.

    It reads labels, so that a component which forgets to say what its masking reads is found out.
    """

    reads: ClassVar[tuple[type, ...]] = (Labels,)

    def mask_text(
        self, study: Study, tokenizer: Tokenizer, rng: Generator, *, max_tokens: int
    ) -> MaskedText:
        """Hide words by [MASK]."""
        assert isinstance(study[Labels], Labels), "annotations are looked up by their class"
        ids = torch.tensor(tokenizer.encode(study.report or "", max_tokens=max_tokens))
        hidden = torch.from_numpy(rng.random(len(ids)) < 0.5)
        hidden[0] = hidden[-1] = False
        hidden[1 : len(ids) - 1][:1] = True
        return MaskedText(
            ids.masked_fill(hidden, tokenizer.mask_id),
            torch.ones(len(ids), dtype=torch.bool),
            ids.masked_fill(~hidden, -100),
        )
