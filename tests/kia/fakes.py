"""The smallest components that KIA's objectives can be tried on."""

from collections.abc import Iterable, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from rrgcore.api import (
    Adapter,
    Batch,
    CrossModal,
    Decoded,
    Decoder,
    Encoded,
    Generated,
    Generation,
    ImageGivenText,
    ImageRef,
    Parts,
    Study,
    TextGivenImage,
    Tokens,
    Visual,
    VisualEncoder,
    WordTokenizer,
    pad_sequences,
)
from rrgcore.chest import View
from rrgcore.features import Views


@final
class PassOn(Adapter):
    """Passes the image on: no objective of KIA's reads it."""

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(image.tokens, image.mask)


@final
class TinyEncoder(VisualEncoder, ImageGivenText, CrossModal):
    """One linear patch embedding, and one layer that reads the text's summary."""

    def __init__(self, *, dim: int = 6, grid: tuple[int, int] = (2, 2), patch: int = 2) -> None:
        super().__init__()
        self.dim, self.grid = dim, grid
        self.mean = self.std = (0.5, 0.5, 0.5)
        self.embed = nn.Conv2d(3, dim, patch, patch)
        self.cross = nn.Linear(dim, dim)
        self.hidden = nn.Parameter(torch.zeros(dim))
        self.calls = 0

    def cross_modal(self) -> Iterable[nn.Module]:
        return [self.cross]

    def forward(self, images: Tensor) -> Encoded:
        self.calls += 1
        tokens = self.embed(images).flatten(2).mT
        return Encoded(tokens, tokens.mean(1))

    def encode_given_text(self, images: Tensor, patch_mask: Tensor, text: Encoded) -> Encoded:
        tokens = torch.where(
            patch_mask[..., None], self.hidden, self.embed(images).flatten(2).mT
        ) + self.cross(text.pooled[:, None])
        return Encoded(tokens, tokens.mean(1))


@final
class TinyText(Decoder, TextGivenImage):
    """Embeds words and averages them; an image's summary is added where there is one."""

    def __init__(self, tokenizer: WordTokenizer, *, dim: int = 6) -> None:
        super().__init__()
        self.tokenizer, self.dim, self.text_dim = tokenizer, dim, dim
        self.embed = nn.Embedding(len(tokenizer), dim)
        self.cross = nn.Linear(dim, dim)
        self.calls = 0

    def encode_text(self, tokens: Tokens) -> Encoded:
        self.calls += 1
        hidden = self.embed(tokens.ids) * tokens.mask[..., None]
        return Encoded(hidden, hidden.mean(1), tokens.mask)

    def encode_text_given(self, tokens: Tokens, image: Encoded) -> Encoded:
        hidden = self.encode_text(tokens)
        seen = self.cross(image.pooled)[:, None] + hidden.pooled[:, None]
        return Encoded((hidden.tokens + seen).tanh(), hidden.pooled, tokens.mask)

    def token_logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.embed.weight.mT

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        raise AssertionError("no objective of KIA's decodes")

    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        raise AssertionError("no objective of KIA's generates")


@final
class TableEncoder(VisualEncoder, ImageGivenText):
    """Answers with given features, row by row."""

    def __init__(self, *, pooled: Tensor | None = None, tokens: Tensor | None = None) -> None:
        super().__init__()
        self.pooled = nn.Parameter(tokens.mean(1) if pooled is None else pooled)
        self.tokens = nn.Parameter(self.pooled.detach()[:, None] if tokens is None else tokens)
        self.dim = self.pooled.shape[-1]

    def forward(self, images: Tensor) -> Encoded:
        return Encoded(self.tokens[: len(images)], self.pooled[: len(images)])

    def encode_given_text(self, images: Tensor, patch_mask: Tensor, text: Encoded) -> Encoded:
        return self(images)


@final
class TableText(Decoder, TextGivenImage):
    """Answers with given features, row by row; a token's features are its logits."""

    def __init__(self, *, pooled: Tensor | None = None, tokens: Tensor | None = None) -> None:
        super().__init__()
        self.pooled = nn.Parameter(tokens.mean(1) if pooled is None else pooled)
        self.tokens = nn.Parameter(self.pooled.detach()[:, None] if tokens is None else tokens)
        self.tokenizer = WordTokenizer(words=[], special=["[MATCH]"])
        self.dim = self.text_dim = self.pooled.shape[-1]

    def encode_text(self, tokens: Tokens) -> Encoded:
        rows = len(tokens.ids)
        return Encoded(self.tokens[:rows], self.pooled[:rows])

    def encode_text_given(self, tokens: Tokens, image: Encoded) -> Encoded:
        return self.encode_text(tokens)

    def token_logits(self, hidden: Tensor) -> Tensor:
        return hidden

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        raise AssertionError("no objective of KIA's decodes")

    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        raise AssertionError("no objective of KIA's generates")


def make_parts(encoder: VisualEncoder, text: Decoder, *, views: Views = "concat") -> Parts:
    """Assemble what objectives pull from."""
    return Parts(encoder=encoder, adapter=PassOn(), decoder=text, views=views)


def make_study(
    name: str = "s1",
    report: str | None = "the heart is normal .",
    views: Sequence[View] = ("frontal",),
    **annotations: Any,
) -> Study:
    """Make a study whose images nobody opens; annotations by any name, keyed by their class."""
    return Study(
        id=name,
        images=tuple(ImageRef(f"{name}/{i}") for i in range(len(views))),
        views=tuple(views),
        report=report,
        annotations={type(value): value for value in annotations.values()},
    )


def make_rngs(count: int, seed: int = 0) -> list[np.random.Generator]:
    """Make one generator a study, as the loader does."""
    return [np.random.default_rng([seed, i]) for i in range(count)]


def make_batch(
    studies: Sequence[Study],
    tokenizer: WordTokenizer,
    *,
    size: int = 4,
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Collate studies with random images."""
    views = max(len(study.images) for study in studies)
    present = torch.tensor([[i < len(study.images) for i in range(views)] for study in studies])
    ids = [tokenizer.encode(study.report or "") for study in studies]
    tokens = Tokens(
        pad_sequences(ids, tokenizer.pad_id),
        pad_sequences([[1] * len(row) for row in ids], 0).bool(),
    )
    images = torch.randn(len(studies), views, 3, size, size, dtype=dtype)
    images = images * present[..., None, None, None]
    return Batch(tuple(study.id for study in studies), images, present, tokens, tokens)


def blank_batch(rows: int, *, dtype: torch.dtype = torch.float64, size: int = 2) -> Batch:
    """Make a batch for components that answer from a table."""
    tokens = Tokens(torch.zeros(rows, 2, dtype=torch.long), torch.ones(rows, 2, dtype=torch.bool))
    return Batch(
        ids=tuple(map(str, range(rows))),
        images=torch.zeros(rows, 1, 3, size, size, dtype=dtype),
        present=torch.ones(rows, 1, dtype=torch.bool),
        report=tokens,
        text=tokens,
    )
