"""What else a component can do: inherited beside its kind, asked for by `isinstance`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, final

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from torch import Tensor, nn

from rrgcore.study import Study
from rrgcore.tokens import Tokenizer
from rrgcore.types import Encoded, TakenIn, Tokens, Visual

if TYPE_CHECKING:
    from rrgcore.features import Features


P = TypeVar("P")


@final
class Lacks(Exception):
    """Raised by `check_capability` of an instance that was built without a capability; says which
    option to set.
    """


class MayLack(ABC):
    """A component one of whose capabilities depends on its options."""

    @abstractmethod
    def lacks(self, capability: type) -> str | None:
        """Return why this instance lacks a capability of its class, and which option to set."""


def check_capability(component: object, capability: type) -> None:
    """Raise Lacks unless the instance, as it was built, has the capability.

    A class may have it in general and an instance not: such a class defines `lacks(capability)`,
    which returns the sentence that says which option to set, or None.
    """
    if not isinstance(component, capability):
        raise Lacks(f"is not {capability.__name__}")
    if isinstance(component, MayLack) and (reason := component.lacks(capability)) is not None:
        raise Lacks(reason)


class Prepares(ABC, Generic[P]):
    """A component with work to do on raw studies, in the loading worker."""

    reads: ClassVar[tuple[type, ...]] = ()
    """What every instance reads: the answer of `annotations_read` unless a class gives its own."""

    def annotations_read(self) -> tuple[type, ...]:
        """Return the annotation classes studies must carry; those of nested maskings included.

        Core asks the built component and nobody else: options may decide.
        """
        return self.reads

    @abstractmethod
    def prepare(self, studies: Sequence[Study], rngs: Sequence[Generator]) -> P:
        """Return what `forward` gets as `prepared`; one generator a study, so that order is
        irrelevant.
        """


class Pretrained(ABC):
    """A component that can start from published weights."""

    weights: str | None
    """A local file or folder, or a hub name; None starts from random values."""

    @abstractmethod
    def load_weights(self) -> frozenset[str]:
        """Read them into the module; return the names of the parameters that were set.

        Raises WeightsError when they are absent or do not fit.
        """


class ImageGivenText(ABC):
    """An encoder that can also read text (KIA's I-CMEnc)."""

    @abstractmethod
    def encode_given_text(
        self,
        images: Float[Tensor, "b 3 h w"],
        patch_mask: Bool[Tensor, "b n"],
        text: Encoded,
    ) -> Encoded:
        """Encode images whose masked patches are hidden, with the help of a text."""


class TextEncoder(ABC):
    """Usually the decoder itself (KIA's T-Enc; Llama's embeddings)."""

    text_dim: int
    tokenizer: Tokenizer

    @abstractmethod
    def encode_text(self, tokens: Tokens) -> Encoded:
        """Encode texts alone."""


class TextGivenImage(TextEncoder):
    """A text encoder that can also read images (KIA's T-CMEnc)."""

    @abstractmethod
    def encode_text_given(self, tokens: Tokens, image: Encoded) -> Encoded:
        """Encode texts with the encoder's tokens of images (never the decoder-width Visual)."""

    @abstractmethod
    def token_logits(self, hidden: Float[Tensor, "m d"]) -> Float[Tensor, "m vocab"]:
        """Score every word at gathered positions, never over the whole sequence."""


class EmbedsTokens(ABC):
    """A decoder whose token embeddings others may use (CmEAA's CFE)."""

    token_dim: int

    @abstractmethod
    def embed_tokens(self, ids: Int[Tensor, "*b t"]) -> Float[Tensor, "*b t c"]:
        """Look up token embeddings."""


class OffersAlignment(ABC):
    """An adapter whose Visual carries `alignment`; `alignment_dim` is None when that is switched
    off.
    """

    alignment_dim: int | None


class CrossModal(ABC):
    """A component of which some modules run only when it reads the other modality."""

    @abstractmethod
    def cross_modal(self) -> Iterable[nn.Module]:
        """Return those modules: cross-attention, an output layer; none that is its own other half
        too.

        A momentum twin goes without them.
        """


class ChecksTrainingSet(ABC):
    """A component that works only with a training set large enough (a queue of past studies)."""

    @abstractmethod
    def check_training_size(self, count: int) -> str | None:
        """Return what is wrong with a training set of so many studies and the remedy, or None."""


class Attends(ABC):
    """Cross-attention of given tokens over image tokens, by layer and head."""

    @abstractmethod
    def attention(self, tokens: Tokens, image: Encoded) -> Float[Tensor, "b l heads t n"]:
        """Return attention weights; each row over `n` sums to one."""


class AttendsWriting(ABC):
    """A decoder that tells where it looks in the course of writing, by layer and head."""

    @abstractmethod
    def writing_attention(self, visual: Visual, report: Tokens) -> Float[Tensor, "b l heads s n"]:
        """Return how each step of writing a report looked at the visual tokens.

        `s` is one less than the report's tokens: row i is of the step that has read tokens 0 to i
        and names token i + 1. Where token i was written is row i - 1, where it was first read is
        row i. A row over `n` sums to one where the image is read apart, and to less where it stands
        among other tokens: the rest lies on these. Nothing lies on an absent token, and rows of
        padding mean nothing.
        """


class KeepsPlaces(ABC):  # noqa: B024  a promise, and nothing to call
    """An adapter of which visual token i is made of image token i, whatever is mixed in: what looks
    at the one looks at the other's place.
    """


class ShowsKnowledge(ABC):
    """An adapter that brings knowledge to the image's tokens, and shows how much each took."""

    @abstractmethod
    def taken_in(self, image: Encoded, prepared: Any) -> TakenIn:
        """Return how the terms were weighed, and what of the knowledge each image token read."""


class ShowsLandmarks(ABC):
    """A masking that knows where anatomical landmarks lie on a frontal image."""

    @abstractmethod
    def landmarks(self, grid: tuple[int, int]) -> Mapping[str, Bool[np.ndarray, " n"]]:
        """Return each landmark's patches, row by row, by name."""


class Reconstructs(ABC):
    """An objective whose guess of what is behind the mask can be scored."""

    @abstractmethod
    def reconstruct(self, features: "Features", prepared: Any) -> Mapping[str, Tensor]:
        """Return "error" `[b]`, each study's mean error at what was hidden.

        One that names words adds `study`, `expected` and `guessed`, each `[m]`, a row a hidden
        token; one that paints adds `image` `[b v 3 h w]`, and may add `key_error` `[b]`: the mean
        error at what knowledge singles out, NaN where a study has none of it hidden. To learn what
        the other modality contributes, give it features of a batch whose images or texts were
        exchanged.
        """


class Matches(ABC):
    """An objective that scores image-report pairs (KIA's [MATCH])."""

    @abstractmethod
    def match(self, tokens: Tokens, image: Encoded) -> Float[Tensor, " b"]:
        """Return the log-odds that each text belongs to its image."""


class Embeds(ABC):
    """An objective or part that embeds images and reports in one space: retrieval."""

    @abstractmethod
    def embed_image(self, image: Encoded) -> Float[Tensor, "b k"]:
        """Embed images at unit length."""

    @abstractmethod
    def embed_text(self, text: Encoded) -> Float[Tensor, "b k"]:
        """Embed texts at unit length."""
