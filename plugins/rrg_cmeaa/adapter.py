"""The cross-modal enhancement and alignment adapter between an image encoder and a decoder."""

from collections.abc import Sequence
from functools import partial
from typing import Literal, final

import torch
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor, nn

from rrg_cmeaa.cfe import CFE
from rrg_cmeaa.ngrams import ObservationNGrams
from rrg_cmeaa.nmia import NMIA
from rrg_cmeaa.numbers import masked_mean
from rrg_cmeaa.repadapter import RepAdapter
from rrgcore.api import (
    Adapter,
    EmbedsTokens,
    Encoded,
    KeepsPlaces,
    MayLack,
    NGrams,
    OffersAlignment,
    Parts,
    Prepares,
    ShowsKnowledge,
    Study,
    TakenIn,
    Tokenizer,
    UserError,
    Visual,
    full_precision,
)


@final
class CmEAA(
    Adapter,
    Prepares[ObservationNGrams | None],
    OffersAlignment,
    KeepsPlaces,
    ShowsKnowledge,
    MayLack,
):
    """X̃* = ŵ₀ · CFE(f_d(X)) + ŵ₁ · f_u(X) + NMIA(f_u(X)), ŵ = softmax(Linear(mean X) / τ).

    f_d and f_u are RepAdapters with one down-projection. X̃* is projected to the decoder's width and
    normalised, which is what stands there without CmEAA (R2GenGPT; Table 2, row a: adapter
    `linear`). Without `enhance` the first term is ŵ₀ · f_d(X), the same sum with nothing read in
    between (row c); without `align` there is no third one, and no alignment is offered (row b).

    Where the paper is silent (docs/papers/cmeaa.md):
    `fusion_space` (C1): fuse at the width of the `encoder` and project after, or project first and
    fuse at that of the `llm`, enhance and align with it.
    `share_down` (C2), and `hidden`, `groups`, `scale`, `dropout` of the RepAdapters.
    `temperature` (C3): τ, LaVIN's.
    `weighting` (C4): one pair of weights an `image`, of its mean token; or of its encoder's own
    summary (`pooled`); or one a `token`.

    CmEAA, eq. 1-4.
    """

    def __init__(
        self,
        *,
        image_dim: int,
        visual_dim: int,
        tokenizer: Tokenizer,
        enhance: CFE | None = None,
        align: NMIA | None = None,
        fusion_space: Literal["encoder", "llm"] = "encoder",
        share_down: bool = True,
        hidden: int = 8,
        groups: int = 2,
        scale: float = 1.0,
        dropout: float = 0.1,
        temperature: float = 10.0,
        weighting: Literal["image", "pooled", "token"] = "image",
        norm: bool = True,
    ) -> None:
        super().__init__()
        if enhance is None and align is None:
            raise UserError(
                "cmeaa neither enhances nor aligns: give it both (enhance: cfe, align: nmia), or "
                "one of them (Table 2, rows b and c). Row a, without either, is adapter 'linear'"
            )
        if not temperature > 0:
            raise UserError(f"cmeaa's temperature is {temperature}; expected a number above 0")
        dim = image_dim if fusion_space == "encoder" else visual_dim
        for part in (enhance, align):
            if part is not None and fusion_space == "llm":
                part.resize(dim)
            elif part is not None and part.dim != dim:
                raise UserError(
                    f"a part of cmeaa is {part.dim} wide, and it fuses at {dim}: leave image_dim "
                    "of enhance and align unsaid"
                )
        self.fusion_space = fusion_space
        self.temperature = temperature
        self.weighting = weighting
        self.enhance = enhance
        self.align = align
        self.alignment_dim = None if align is None else align.k
        make_adapter = partial(
            RepAdapter, image_dim=dim, hidden=hidden, groups=groups, scale=scale, dropout=dropout
        )
        self.f_d = make_adapter()
        self.f_u = self.f_d.sibling() if share_down else make_adapter()
        self.generator = nn.Linear(image_dim, 2)
        self.project = nn.Linear(image_dim, visual_dim)
        self.norm = nn.LayerNorm(visual_dim) if norm else nn.Identity()
        self._choice = None if enhance is None else enhance.choice(tokenizer)

    def annotations_read(self) -> tuple[type, ...]:
        """Return what CFE reads."""
        return () if self.enhance is None else self.enhance.reads

    def bind(self, parts: Parts) -> None:
        """Let CFE borrow the decoder's token embeddings."""
        if self.enhance is not None:
            assert isinstance(parts.decoder, EmbedsTokens), "cfe requires it of the decoder"
            self.enhance.bind(parts.decoder)

    def prepare(
        self, studies: Sequence[Study], rngs: Sequence[Generator]
    ) -> ObservationNGrams | None:
        """Pick each study's n-grams; None without `enhance`."""
        if self._choice is None:
            return None
        return self._choice.batch(study[NGrams].values for study in studies)

    def forward(self, image: Encoded, prepared: ObservationNGrams | None = None) -> Visual:
        """Enhance, align and project every token; absent ones are masked, not zero."""
        w_0, w_1 = self._weights(image).unbind(-1)
        x = image.tokens if self.fusion_space == "encoder" else self.project(image.tokens)
        x_d, x_u = self.f_d(x), self.f_u(x)
        if self.enhance is not None:
            assert prepared is not None, "cmeaa needs the n-grams that its prepare() picked"
            e, mask = self.enhance.embed(prepared)
            x_d = self.enhance(x_d, e, image_mask=image.mask, mask=mask)
        fused = w_0[..., None] * x_d + w_1[..., None] * x_u
        alignment = None
        if self.align is not None:
            aligned, alignment = self.align(x_u, image.mask)
            fused = fused + aligned
        tokens = self.project(fused) if self.fusion_space == "encoder" else fused
        return Visual(self.norm(tokens), image.mask, alignment)

    @torch.no_grad()
    def taken_in(self, image: Encoded, prepared: ObservationNGrams | None = None) -> TakenIn:
        """Return ŵ, and what visual tokens read of each n-gram in CFE, over its heads."""
        attention = None
        phrases: tuple[tuple[str, ...], ...] = ((),) * len(image.tokens)
        if self.enhance is not None and self._choice is not None:
            assert prepared is not None, "cmeaa needs the n-grams that its prepare() picked"
            x = image.tokens if self.fusion_space == "encoder" else self.project(image.tokens)
            attention = self.enhance.attention(self.f_d(x), prepared, image.mask)
            phrases = self._choice.read_back(prepared)
        enhanced = "f_d(X)" if self.enhance is None else "CFE(f_d(X))"
        return TakenIn(self._weights(image), (f"ŵ₀: {enhanced}", "ŵ₁: f_u(X)"), phrases, attention)

    @torch.no_grad()
    def weigh(self, image: Encoded) -> Float[Tensor, "b m 2"]:
        """Return ŵ₀, of what is enhanced, and ŵ₁, of what is not: for an image, or each token."""
        return self._weights(image)

    def lacks(self, capability: type) -> str | None:
        """Say that there is no alignment without `align`."""
        if capability is OffersAlignment and self.align is None:
            return "offers no alignment: set model.adapter.align=nmia"
        return None

    def _weights(self, image: Encoded) -> Float[Tensor, "b m 2"]:
        match self.weighting:
            case "image":
                seen = masked_mean(image.tokens, image.mask)[:, None]
            case "pooled":
                seen = image.pooled[:, None]
            case "token":
                seen = image.tokens
        return (full_precision(self.generator(seen)) / self.temperature).softmax(-1)
