"""The kinds that support the five nouns: parts, trunks, annotators, data sets, metrics."""

from abc import ABC, abstractmethod
from typing import TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

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
    room: int = 0
    """Tokens it is to hold at most, if that is known: memory may be taken for them at once."""

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
