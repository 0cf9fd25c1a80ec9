"""What flows between components.

Letters in shapes: `b` batch, `v` views, `n` visual tokens, `t` text tokens, `d` width inside an
encoder, `e` width the decoder reads, `k` joint space, `m` gathered items, `h w` pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
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
class Decoded:
    """A report's loss: a mean over `count` tokens."""

    loss: Float[Tensor, ""]
    count: Int[Tensor, ""]


@final
@dataclass(frozen=True, slots=True)
class Generation:
    """How reports are searched for."""

    beams: int = 3
    max_new_tokens: int = 100
    min_new_tokens: int = 0
    length_penalty: float = 1.0
    """A text of n tokens, the end included, is ranked by its log-probability over n to this."""
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("beams", 1), ("max_new_tokens", 1), ("min_new_tokens", 0)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"`{name}` is {value}; expected at least {least}")
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"`min_new_tokens` is {self.min_new_tokens}, which is more than `max_new_tokens`, "
                f"{self.max_new_tokens}"
            )
        if not self.repetition_penalty > 0:
            raise ValueError(
                f"`repetition_penalty` is {self.repetition_penalty}; expected a number above 0"
            )


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
    """Weighs the logs of several batches or processes; gradients average batches alike."""
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
