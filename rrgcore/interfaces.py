"""The kinds of component and their capabilities, as abstract classes.

A kind says what a component is; a capability, inherited beside it, says what else it can do, and
`isinstance` answers "can you?". A capability that depends on options raises `Lacks` when it is
asked for on an instance that was built without it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, final

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy.random import Generator
from torch import Tensor, nn

from rrgcore.tokens import Tokenizer
from rrgcore.types import (
    Decoded,
    Encoded,
    Generated,
    Generation,
    ImageRef,
    MaskedText,
    ObjectiveOutput,
    Pair,
    Scores,
    Study,
    Tokens,
    Visual,
)

if TYPE_CHECKING:
    from rrgcore.features import Features, Parts

A = TypeVar("A")
P = TypeVar("P")
M = TypeVar("M")


@final
class Lacks(Exception):
    """Raised by `check_capability` of an instance that was built without a capability; says which
    option to set.
    """


# ---- the five nouns -------------------------------------------------------------------------


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

    def after_step(self) -> None:
        """Follow an optimizer step in which this objective took part."""


class MaskingStrategy(ABC):  # noqa: B024  what it hides, its two subclasses say
    """Decides what is hidden. Pure: a study and a generator in, a mask out; no parameters, no
    device.
    """

    reads: ClassVar[tuple[type, ...]] = ()
    """Annotation classes that studies must carry for it."""


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
    special_tokens: ClassVar[tuple[str, ...]] = ()
    """Tokens that its tokenizer must hold for it."""

    @abstractmethod
    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        """Return the loss of a report given the images; logits stay inside."""

    @abstractmethod
    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        """Write a report for each row of the batch."""


# ---- supporting kinds -----------------------------------------------------------------------


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
        """Learn from the training split; the state is saved in the run."""

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


# ---- capabilities ---------------------------------------------------------------------------


class Prepares(ABC, Generic[P]):
    """A component with work to do on raw studies, in the loading worker."""

    reads: ClassVar[tuple[type, ...]] = ()

    def annotations_read(self) -> tuple[type, ...]:
        """Return the annotation classes studies must carry; those of nested maskings included."""
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


class DataChecks(ABC):
    """A dataset that can look for everything that is wrong with its data, every image opened."""

    @abstractmethod
    def check_data(self, *, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Return a sentence for each problem; `progress` is told how many studies of how many are
        done.
        """


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


class Reconstructs(ABC):
    """An objective whose guess of what is behind the mask can be scored."""

    @abstractmethod
    def reconstruct(self, features: "Features", prepared: Any) -> Mapping[str, Tensor]:
        """Return "error" `[b]`, each study's mean error at what was hidden.

        One that names words adds `study`, `expected` and `guessed`, each `[m]`, a row a hidden
        token; one that paints adds `image` `[b v 3 h w]`. To learn what the other modality
        contributes, give it features of a batch whose images or texts were exchanged.
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


def check_capability(component: object, capability: type) -> None:
    """Raise Lacks unless the instance, as it was built, has the capability.

    A class may have it in general and an instance not: such a class defines `lacks(capability)`,
    which returns the sentence that says which option to set, or None.
    """
    if not isinstance(component, capability):
        raise Lacks(f"is not {capability.__name__}")
    if isinstance(component, MayLack) and (reason := component.lacks(capability)) is not None:
        raise Lacks(reason)


class MayLack(ABC):
    """A component one of whose capabilities depends on its options."""

    @abstractmethod
    def lacks(self, capability: type) -> str | None:
        """Return why this instance lacks a capability of its class, and which option to set."""


@final
class Borrowed(Generic[M]):
    """A module that is used but not owned.

    It stays out of parameters(), state_dict(), .to() and deepcopy, which follow owned modules.
    """

    __slots__ = ("module",)

    def __init__(self, module: M) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> "Borrowed[M]":
        return Borrowed(self.module)
