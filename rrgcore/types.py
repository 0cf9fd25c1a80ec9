"""What flows between components.

Letters in shapes: `b` batch, `v` views, `n` visual tokens, `t` text tokens, `d` width inside an
encoder, `e` width the decoder reads, `k` joint space, `m` gathered items, `h w` pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import inf
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@final
@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids, and which of them are real."""

    ids: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]

    def with_first(self, token: int) -> "Tokens":
        """Return the text with another token at position 0, where [CLS] stands (BLIP's habit)."""
        ids = self.ids.clone()
        ids[:, 0] = token
        return replace(self, ids=ids)

    def __getitem__(self, rows: Tensor) -> "Tokens":
        """Select rows of the batch."""
        return replace(self, ids=self.ids[rows], mask=self.mask[rows])


@final
@dataclass(frozen=True, slots=True)
class MaskedText:
    """A corrupted text, and what it should have said."""

    ids: Int[Tensor, "*b t"]
    mask: Bool[Tensor, "*b t"]
    labels: Int[Tensor, "*b t"]
    """-100 where nothing is asked."""


@final
@dataclass(frozen=True, slots=True)
class Batch:
    """Some studies as tensors, with what each component prepared from them."""

    ids: tuple[str, ...]
    images: Float[Tensor, "b v 3 h w"]
    present: Bool[Tensor, "b v"]
    """False where a study has fewer images."""
    report: Tokens
    """For the decoder."""
    text: Tokens
    """For the text encoder; the same object when the two share a tokenizer."""
    prepared: Mapping[str, Any] = field(default_factory=dict)
    """Slot to what that component's `prepare` returned; nobody else reads it."""

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on a device, prepared tensors included."""
        moved = {f.name: move(getattr(self, f.name), device) for f in fields(self)}
        if self.text is self.report:
            moved["text"] = moved["report"]
        return replace(self, **moved)

    def __len__(self) -> int:
        return len(self.ids)


def move(value: Any, device: torch.device | str) -> Any:
    """Return a value with every tensor in it (in dataclasses, mappings, sequences) on a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: move(getattr(value, f.name), device) for f in fields(value)}
        )
    if isinstance(value, Mapping):
        return {key: move(item, device) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(move(item, device) for item in value))  # a named tuple
    if isinstance(value, (list, tuple)):
        return type(value)(move(item, device) for item in value)
    return value


@final
@dataclass(frozen=True, slots=True)
class Encoded:
    """A sequence of features and its summary.

    An encoder of images puts its patches last, row by row, after any [CLS].
    """

    tokens: Float[Tensor, "b n d"]
    pooled: Float[Tensor, "b d"]
    mask: Bool[Tensor, "b n"] | None = None
    """None means that every token is real."""

    def __getitem__(self, rows: Tensor) -> "Encoded":
        """Select rows of the batch."""
        mask = None if self.mask is None else self.mask[rows]
        return replace(self, tokens=self.tokens[rows], pooled=self.pooled[rows], mask=mask)


@final
@dataclass(frozen=True, slots=True)
class Visual:
    """What the text side reads of the images."""

    tokens: Float[Tensor, "b n e"]
    mask: Bool[Tensor, "b n"] | None = None
    alignment: Float[Tensor, "b k"] | None = None
    """The image in a joint space, if the adapter keeps one."""


@final
@dataclass(frozen=True, slots=True)
class TakenIn:
    """What an adapter that brings knowledge to images made of it."""

    weights: Float[Tensor, "b m terms"]
    """How its terms were weighed: of an image (m is 1), or of each of its tokens; sums to one."""
    terms: tuple[str, ...]
    """What the terms are, in the paper's symbols."""
    phrases: tuple[tuple[str, ...], ...]
    """The knowledge of each study, as words."""
    attention: Float[Tensor, "b heads n g"] | None = None
    """How much each image token read of each phrase; a row over the study's phrases sums to one,
    to less where something else was read beside them. None where nothing is read.
    """


@final
@dataclass(frozen=True, slots=True)
class Decoded:
    """A report's loss: a mean over `count` tokens."""

    loss: Float[Tensor, ""]
    count: Int[Tensor, ""]


@final
@dataclass(frozen=True, slots=True)
class Generation:
    """How reports are written: searched for, or drawn."""

    beams: int = 3
    max_new_tokens: int = 100
    min_new_tokens: int = 0
    length_penalty: float = 1.0
    """A text of n tokens, the end included, is ranked by its log-probability over n to this."""
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    """No run of so many tokens is written twice; 0 allows every repetition."""
    early_stopping: bool = False
    """Stop once as many texts are finished as there are beams, though a better one may come."""
    sample: bool = False
    """Draw each token instead of searching; needs `beams: 1`."""
    temperature: float = 1.0
    """Divides the logits that are sampled from."""
    top_k: int = 0
    """Sample from so many of the likeliest tokens; 0 means all of them."""
    top_p: float = 1.0
    """Sample from the fewest likeliest tokens whose probabilities add up to this."""
    seed: int = 0
    """Of sampling."""

    def __post_init__(self) -> None:
        for name, least in (
            ("beams", 1),
            ("max_new_tokens", 1),
            ("min_new_tokens", 0),
            ("no_repeat_ngram", 0),
            ("top_k", 0),
            ("seed", 0),
        ):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"`{name}` is {value}; expected at least {least}")
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"`min_new_tokens` is {self.min_new_tokens}, which is more than `max_new_tokens`, "
                f"{self.max_new_tokens}"
            )
        for name in ("repetition_penalty", "temperature"):
            if not 0 < (value := getattr(self, name)) < inf:
                raise ValueError(f"`{name}` is {value}; expected a number above 0")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"`top_p` is {self.top_p}; expected a number above 0 and at most 1")
        if self.seed >= 2**63:
            raise ValueError(f"`seed` is {self.seed}; expected less than 2^63")
        if self.sample and self.beams > 1:
            raise ValueError(
                f"`sample` draws one text and `beams` is {self.beams}: set beams: 1 to sample, or "
                "sample: false to search"
            )

    def with_beams(self, beams: int) -> "Generation":
        """Return a search with so many beams, whether this samples or not."""
        return replace(self, beams=beams, sample=False)


@final
@dataclass(frozen=True, slots=True)
class Generated:
    """A report that was written, with a log-probability for each token."""

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@final
@dataclass(frozen=True, slots=True)
class ObjectiveOutput:
    """One term: a mean over `count` items (pairs, masked patches, words)."""

    loss: Float[Tensor, ""]
    count: Int[Tensor, ""]
    """Weighs the means of several batches or processes, in the gradient and in the logs."""
    logs: Mapping[str, Tensor] = field(default_factory=dict)
    """Means over the same items; shown, never optimized. Dropped where `count` is 0."""


@final
@dataclass(frozen=True, slots=True)
class Losses:
    """The weighted sum of a step's terms, and the terms."""

    total: Float[Tensor, ""]
    outputs: Mapping[str, ObjectiveOutput]


def pad_sequences(rows: Sequence[Sequence[int]], value: int) -> Int[Tensor, "b t"]:
    """Stack rows of unequal length, padded at the end."""
    width = max((len(row) for row in rows), default=0)
    padded = [[*row, *[value] * (width - len(row))] for row in rows]
    return torch.tensor(padded, dtype=torch.long).reshape(len(rows), width)
