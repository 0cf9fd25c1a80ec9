"""The five nouns: encoder, adapter, objective, masking, decoder."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float
from numpy.random import Generator
from torch import Tensor, nn

from rrgcore.study import Study
from rrgcore.tokens import Tokenizer
from rrgcore.types import (
    Batch,
    Decoded,
    Encoded,
    Generated,
    Generation,
    MaskedText,
    ObjectiveOutput,
    Tokens,
    Visual,
)

if TYPE_CHECKING:
    from rrgcore.features import Features, Parts


class VisualEncoder(nn.Module, ABC):
    """Turns images into visual tokens.

    Patch tokens come last, row by row, after any [CLS]: `tokens[:, -rows * columns:]`.
    """

    dim: int
    """Width of its tokens."""
    grid: tuple[int, int]
    """Patches down, patches across."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """How its weights want pixels normalised; wired to the loader."""

    @abstractmethod
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Encoded:
        """Encode images, one at a time: views are fused by the model."""


class Adapter(nn.Module, ABC):
    """Turns visual tokens into what the decoder reads."""

    requires: ClassVar[Mapping[str, type]] = {}
    """Slot to capability, as an objective's; any component may say it."""

    def bind(self, parts: "Parts") -> None:
        """Borrow from the assembled model. Called once; most adapters need nothing."""

    @abstractmethod
    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        """Adapt a study's tokens, its views fused already."""


class AlignmentObjective(nn.Module, ABC):
    """One term of the loss. Knows the features, never the other terms."""

    requires: ClassVar[Mapping[str, type]] = {}
    """Slot (encoder, adapter, decoder, text_encoder) to capability; checked before anything is
    built.
    """
    special_tokens: ClassVar[tuple[str, ...]] = ()
    """Tokens that the text encoder's tokenizer must hold for it."""

    def bind(self, parts: "Parts") -> None:
        """Borrow from the assembled model. Called once."""

    @abstractmethod
    def forward(self, features: "Features", prepared: Any = None) -> ObjectiveOutput:
        """Compute the term for one batch."""

    def count(self, batch: Batch, prepared: Any = None) -> int:
        """Count the items of a batch that `forward` will be a mean over, without running anything.

        An optimizer step of several batches or processes weighs their means by it. Here the
        studies; who counts words or patches says so.
        """
        return len(batch)

    def after_step(self) -> None:
        """Follow an optimizer step in which this objective took part."""


class MaskingStrategy(ABC):  # noqa: B024  what it hides, its two subclasses say
    """Decides what is hidden. Pure: a study and a generator in, a mask out; no parameters, no
    device.
    """

    reads: ClassVar[tuple[type, ...]] = ()
    """Annotation classes that studies must carry for it; who holds it says so for it
    (`Prepares.annotations_read`).
    """


class ImageMasking(MaskingStrategy):
    """Hides patches of an image."""

    @abstractmethod
    def mask_image(
        self, study: Study, image: int, grid: tuple[int, int], rng: Generator
    ) -> Bool[np.ndarray, " n"]:
        """Mask one of the study's images, row by row; which one matters: a lateral has another
        prior.
        """

    def key_patches(
        self, study: Study, image: int, grid: tuple[int, int]
    ) -> Bool[np.ndarray, " n"]:
        """Return the patches that its knowledge singles out, row by row; none unless it has any."""
        return np.zeros(grid[0] * grid[1], dtype=bool)


class TextMasking(MaskingStrategy):
    """Hides words of a text."""

    words: ClassVar[tuple[str, ...]] = ()
    """Words it writes itself, so that a word vocabulary holds them ("present", "absent")."""

    @abstractmethod
    def mask_text(
        self, study: Study, tokenizer: Tokenizer, rng: Generator, *, max_tokens: int
    ) -> MaskedText:
        """Return a corrupted text of the study, `[t]` without a batch axis."""


class Decoder(nn.Module, ABC):
    """Writes reports."""

    dim: int
    """Width of the visual tokens it reads."""
    tokenizer: Tokenizer
    max_tokens: int | None = None
    """Longest text that it has positions for; None where there is no such end."""
    special_tokens: ClassVar[tuple[str, ...]] = ()
    """Tokens that its tokenizer must hold for it."""
    words: ClassVar[tuple[str, ...]] = ()
    """Words that it reads beside a report's, so that a word vocabulary holds them (a prompt)."""

    @abstractmethod
    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        """Return the loss of a report given the images; logits stay inside."""

    def count(self, report: Tokens) -> int:
        """Count the tokens that this loss is a mean over: all but the first."""
        return int(report.mask[:, 1:].sum())

    @abstractmethod
    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        """Write a report for each row of the batch."""
