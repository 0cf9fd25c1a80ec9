"""The kinds that support the five nouns: parts, trunks, annotators, data sets, metrics."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from rrgcore.types import (
    ImageRef,
    Pair,
    Scores,
    Study,
)

A = TypeVar("A")


class Part(nn.Module, ABC):
    """A module that several components may hold: named under model.shared, or nested where it is
    used.
    """


class JointSpace(Part):
    """Where images and texts are compared."""

    dim: int

    @abstractmethod
    def project_image(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Map an image's summary to the space, at unit length."""

    @abstractmethod
    def project_text(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Map a text's summary to the space, at unit length."""


class TrunkCache(ABC):
    """What a trunk keeps between decoding steps."""

    length: int
    """Tokens held so far."""

    @abstractmethod
    def select(self, rows: Int[Tensor, " b"]) -> None:
        """Keep these rows, in this order (beam search)."""


class Trunk(Part):
    """A stack of transformer layers that may attend to a context. The thing KIA shares."""

    dim: int
    context_dim: int
    """Width of what it attends to; 0 where it attends to nothing."""
    heads: int
    norm: str
    """"pre" or "post": pretrained weights fit only one of the two."""

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "b n d"],
        *,
        mask: Bool[Tensor, "b n"] | None = None,
        context: Float[Tensor, "b m c"] | None = None,
        context_mask: Bool[Tensor, "b m"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b n d"]:
        """Run all layers; cross-attention takes part when there is a context (KIA, eq. 1b)."""

    @abstractmethod
    def begin(
        self,
        context: Float[Tensor, "b m c"] | None = None,
        context_mask: Bool[Tensor, "b m"] | None = None,
    ) -> "TrunkCache":
        """Start causal decoding: project the context once, hold no token yet."""

    @abstractmethod
    def extend(self, x: Float[Tensor, "b n d"], cache: "TrunkCache") -> Float[Tensor, "b n d"]:
        """Run the next tokens; equals the last `n` rows of the full causal forward."""

    @abstractmethod
    def attention(
        self,
        x: Float[Tensor, "b n d"],
        *,
        mask: Bool[Tensor, "b n"] | None = None,
        context: Float[Tensor, "b m c"],
        context_mask: Bool[Tensor, "b m"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b l heads n m"]:
        """Return the cross-attention weights of every layer that has cross-attention."""


class Annotator(ABC):
    """Makes one typed annotation a study; used by recipes, by metrics, and to write sidecars."""

    writes: ClassVar[type]
    reads: ClassVar[tuple[type, ...]] = ()
    """Annotation classes that studies carry already when it is asked."""

    def fit(self, studies: Iterable[Study]) -> None:  # noqa: B027  most learn nothing
        """Learn from the training split, whose studies carry what it reads; before it annotates.

        Provisional: nothing learned is saved. A run that goes on, and one that is evaluated, learns
        it again from the training split, so the same studies must teach it the same.
        """

    @abstractmethod
    def annotate(self, studies: Iterable[Study]) -> Iterator[Any]:
        """Yield an annotation for each study, in order."""


class Dataset(ABC):
    """Studies by split, images on demand."""

    caution: ClassVar[str] = ""
    """What must be said beside every number that is measured on it."""

    @abstractmethod
    def studies(self, split: str) -> Sequence[Study]:
        """List the studies of "train", "val" or "test"; cheap, no image is opened."""

    @abstractmethod
    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Read one image as 8-bit grey; raises DataError naming the file."""

    def annotation(self, study: Study, kind: type[A]) -> A | None:
        """Return what the data itself knows of a study, or None."""
        return None

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what identifies the data, for the run's record."""
        return {}


class Metric(ABC):
    """Pairs in, named numbers with a fingerprint out; corpus level, on the gathered whole."""

    @abstractmethod
    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        """Score a corpus; `quick` leaves out what is slow (while training)."""

    def score_all(self, systems: Mapping[str, Sequence[Pair]]) -> Mapping[str, Scores]:
        """Score several systems on the same references at once, where that is cheaper."""
        return {name: self.score(pairs) for name, pairs in systems.items()}
