"""The smallest networks that keep every contract, to try a component beside."""

from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from rrgcore.features import Parts, Views
from rrgcore.interfaces import (
    Adapter,
    Attends,
    AttendsWriting,
    Decoder,
    EmbedsTokens,
    ImageGivenText,
    JointSpace,
    KeepsPlaces,
    OffersAlignment,
    TextGivenImage,
    VisualEncoder,
)
from rrgcore.testing.fake_trunk import FakeTrunk
from rrgcore.testing.samples import HALF, make_tokenizer
from rrgcore.tokens import Tokenizer
from rrgcore.types import Decoded, Encoded, Generated, Generation, Tokens, Visual

IMAGE_DIM, VISUAL_DIM, TEXT_DIM, ALIGNMENT_DIM = 12, 16, 20, 8
"""Different widths, so that one taken for another does not fit."""
GRID = (4, 4)
IMAGE_SIZE = 32


@final
class FakeEncoder(VisualEncoder, ImageGivenText):
    """A linear patch embedding and one layer; [CLS] comes first, as in a vision transformer."""

    def __init__(
        self,
        *,
        image_size: int = IMAGE_SIZE,
        dim: int = IMAGE_DIM,
        grid: tuple[int, int] = GRID,
        text_dim: int = TEXT_DIM,
    ) -> None:
        super().__init__()
        self.dim, self.grid = dim, grid
        self.mean = self.std = HALF
        patch = (image_size // grid[0], image_size // grid[1])
        self.embed = nn.Conv2d(3, dim, patch, patch)
        self.cls = nn.Parameter(torch.randn(1, 1, dim))
        self.hidden = nn.Parameter(torch.randn(dim))
        self.trunk = FakeTrunk(dim=dim, heads=1, context_dim=text_dim)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Encoded:
        """Encode images alone."""
        tokens = self.trunk(self._with_cls(self._patches(images)))
        return Encoded(tokens, tokens[:, 0])

    def encode_given_text(
        self,
        images: Float[Tensor, "b 3 h w"],
        patch_mask: Bool[Tensor, "b n"],
        text: Encoded,
    ) -> Encoded:
        """Encode images whose masked patches are one learned token, with a text."""
        patches = torch.where(patch_mask[..., None], self.hidden, self._patches(images))
        tokens = self.trunk(self._with_cls(patches), context=text.tokens, context_mask=text.mask)
        return Encoded(tokens, tokens[:, 0])

    def _patches(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        patches: Tensor = self.embed(images).flatten(2).mT
        return patches

    def _with_cls(self, patches: Float[Tensor, "b n d"]) -> Float[Tensor, "b m d"]:
        return torch.cat([self.cls.expand(len(patches), -1, -1), patches], dim=1)


@final
class FakeAdapter(Adapter, OffersAlignment, KeepsPlaces):
    """One projection for the decoder, one of the mean for a joint space."""

    def __init__(
        self,
        *,
        image_dim: int = IMAGE_DIM,
        visual_dim: int = VISUAL_DIM,
        alignment_dim: int | None = ALIGNMENT_DIM,
    ) -> None:
        super().__init__()
        self.alignment_dim = alignment_dim
        self.project = nn.Linear(image_dim, visual_dim)
        self.align = None if alignment_dim is None else nn.Linear(image_dim, alignment_dim)

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        """Project every token."""
        alignment = None if self.align is None else self.align(image.pooled)
        return Visual(self.project(image.tokens), image.mask, alignment)


@final
class FakeJointSpace(JointSpace):
    """One linear map a modality, to unit length."""

    def __init__(
        self, *, image_dim: int = IMAGE_DIM, text_dim: int = TEXT_DIM, dim: int = ALIGNMENT_DIM
    ) -> None:
        super().__init__()
        self.dim = dim
        self.image = nn.Linear(image_dim, dim)
        self.text = nn.Linear(text_dim, dim)

    def project_image(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Map an image's summary."""
        return F.normalize(self.image(pooled), dim=-1)

    def project_text(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Map a text's summary."""
        return F.normalize(self.text(pooled), dim=-1)


@final
class FakeDecoder(Decoder, TextGivenImage, EmbedsTokens, Attends, AttendsWriting):
    """One layer that writes, and encodes texts with or without an image.

    It searches greedily, whatever the number of beams.
    """

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        dim: int = VISUAL_DIM,
        text_dim: int = TEXT_DIM,
        image_dim: int = IMAGE_DIM,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.dim = dim
        self.text_dim = self.token_dim = text_dim
        self.embed = nn.Embedding(len(tokenizer), text_dim)
        self.trunk = FakeTrunk(dim=text_dim, heads=1, context_dim=dim)
        self.read = nn.Linear(image_dim, dim)

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        """Return the mean loss of every token after the first."""
        hidden = self.trunk(
            self.embed(report.ids[:, :-1]),
            context=visual.tokens,
            context_mask=visual.mask,
            causal=True,
        )
        real = report.mask[:, 1:]
        loss = F.cross_entropy(self.token_logits(hidden[real]), report.ids[:, 1:][real])
        return Decoded(loss, real.sum())

    @torch.no_grad()
    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        """Write the likeliest word at each step."""
        end = self.tokenizer.sep_id
        forbidden = [i for i in range(len(self.tokenizer)) if not self.tokenizer.decode([i])]
        forbidden.remove(end)
        cache = self.trunk.begin(visual.tokens, visual.mask)
        last = torch.full((len(visual.tokens), 1), self.tokenizer.cls_id)
        texts: list[list[tuple[int, float]]] = [[] for _ in last]
        for length in range(generation.max_new_tokens):
            hidden = self.trunk.extend(self.embed(last), cache)[:, 0]
            scores = self.token_logits(hidden).log_softmax(-1)
            allowed = scores.clone()
            allowed[:, forbidden] = -torch.inf
            if length < generation.min_new_tokens:
                allowed[:, end] = -torch.inf
            last = allowed.argmax(-1, keepdim=True)
            for row, text in enumerate(texts):
                if not text or text[-1][0] != end:
                    token = int(last[row])
                    text.append((token, float(scores[row, token])))
        return [self._written(text) for text in texts]

    def _written(self, text: Sequence[tuple[int, float]]) -> Generated:
        ids = tuple(token for token, _ in text)
        return Generated(self.tokenizer.decode(ids), ids, tuple(score for _, score in text))

    def encode_text(self, tokens: Tokens) -> Encoded:
        """Encode texts alone."""
        hidden = self.trunk(self.embed(tokens.ids), mask=tokens.mask)
        return Encoded(hidden, hidden[:, 0], tokens.mask)

    def encode_text_given(self, tokens: Tokens, image: Encoded) -> Encoded:
        """Encode texts with images."""
        hidden = self.trunk(
            self.embed(tokens.ids),
            mask=tokens.mask,
            context=self.read(image.tokens),
            context_mask=image.mask,
        )
        return Encoded(hidden, hidden[:, 0], tokens.mask)

    def token_logits(self, hidden: Float[Tensor, "m d"]) -> Float[Tensor, "m vocab"]:
        """Score every word by its embedding."""
        return hidden @ self.embed.weight.mT

    def embed_tokens(self, ids: Int[Tensor, "*b t"]) -> Float[Tensor, "*b t c"]:
        """Look up word embeddings."""
        found: Tensor = self.embed(ids)
        return found

    def attention(self, tokens: Tokens, image: Encoded) -> Float[Tensor, "b l heads t n"]:
        """Return where each token looks."""
        return self.trunk.attention(
            self.embed(tokens.ids),
            mask=tokens.mask,
            context=self.read(image.tokens),
            context_mask=image.mask,
        )

    def writing_attention(self, visual: Visual, report: Tokens) -> Float[Tensor, "b l heads s n"]:
        """Return where each step of writing looks."""
        return self.trunk.attention(
            self.embed(report.ids[:, :-1]),
            context=visual.tokens,
            context_mask=visual.mask,
            causal=True,
        )


def make_parts(
    *,
    encoder: VisualEncoder | None = None,
    adapter: Adapter | None = None,
    decoder: Decoder | None = None,
    tokenizer: Tokenizer | None = None,
    image_size: int = IMAGE_SIZE,
    image_dim: int = IMAGE_DIM,
    grid: tuple[int, int] = GRID,
    visual_dim: int = VISUAL_DIM,
    text_dim: int = TEXT_DIM,
    alignment_dim: int | None = ALIGNMENT_DIM,
    views: Views = "concat",
) -> Parts:
    """Assemble a model's parts: fakes of the given sizes, or what is given in their place."""
    encoder = encoder or FakeEncoder(
        image_size=image_size, dim=image_dim, grid=grid, text_dim=text_dim
    )
    decoder = decoder or FakeDecoder(
        tokenizer=tokenizer or make_tokenizer(),
        dim=visual_dim,
        text_dim=text_dim,
        image_dim=encoder.dim,
    )
    adapter = adapter or FakeAdapter(
        image_dim=encoder.dim, visual_dim=decoder.dim, alignment_dim=alignment_dim
    )
    return Parts(encoder=encoder, adapter=adapter, decoder=decoder, views=views)
