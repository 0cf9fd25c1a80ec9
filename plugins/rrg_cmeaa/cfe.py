"""Cross-modal feature enhancement: visual tokens read the n-grams of the study's observations."""

from collections.abc import Mapping
from typing import ClassVar, Literal, final

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rrg_cmeaa.attention import Attention, Norm
from rrg_cmeaa.ngrams import NGramChoice, ObservationNGrams, Observations
from rrg_cmeaa.numbers import masked_mean
from rrgcore.api import Borrowed, EmbedsTokens, NGrams, Part, Tokenizer, UserError

ACTIVATIONS: Mapping[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


@final
class CFE(Part):
    """CFE(E, X) = FFN(E* ⊕ X), E* = CA(X_sa, E_sa, E_sa), E_sa = SA(E), X_sa = SA(X).

    E are the study's observation n-grams, embedded by the decoder's own token table, which learns
    nothing from it, and brought from its width to that of X by a linear layer. An n-gram has no
    place among the others: their order changes nothing. A study without any reads one learned
    vector.

    Where the paper is silent (docs/papers/cmeaa.md):
    `embedding` (C5): one vector an n-gram, the `mean` of its tokens; or all `tokens`, side by side.
    `observations`, `top`, `ngrams` (C6): the first `top` n-grams of every observation, present or
    absent (or of the `positive` ones), each once, at most `ngrams` of them.
    `norm`, `heads`, `dropout`, `hidden`, `activation` (C7): each attention has a residual and a
    norm after it (`post`), or neither (`none`, as eq. 7-10 are printed); the FFN has neither, and
    is four times as wide inside unless `hidden` says otherwise.
    `concatenate` (C8): X as it is `before` its self-attention, as eq. 8 prints it, or `after`.

    CmEAA, eq. 7-10.
    """

    requires: ClassVar[Mapping[str, type]] = {"decoder": EmbedsTokens}
    reads: ClassVar[tuple[type, ...]] = (NGrams,)

    def __init__(
        self,
        *,
        image_dim: int,
        token_dim: int,
        heads: int = 8,
        dropout: float = 0.1,
        norm: Norm = "post",
        hidden: int | None = None,
        activation: Literal["gelu", "relu"] = "gelu",
        concatenate: Literal["before", "after"] = "before",
        embedding: Literal["mean", "tokens"] = "mean",
        observations: Observations = "all",
        top: int = 30,
        ngrams: int = 256,
    ) -> None:
        super().__init__()
        if top < 1 or ngrams < 1:
            raise UserError(
                f"cfe's top is {top} and its ngrams {ngrams}; expected at least one n-gram of an "
                "observation and of a study"
            )
        self.token_dim = token_dim
        self.heads, self.dropout, self.norm = heads, dropout, norm
        self.hidden = hidden
        self.activation = activation
        self.concatenate = concatenate
        self.embedding = embedding
        self.observations = observations
        self.top, self.ngrams = top, ngrams
        self._make(image_dim, project=True)

    def resize(self, dim: int) -> None:
        """Make every layer anew for visual tokens of another width; E needs none where it fits."""
        self._make(dim, project=dim != self.token_dim)

    def bind(self, decoder: EmbedsTokens) -> None:
        """Borrow the table of token embeddings."""
        self._decoder = Borrowed(decoder)

    def choice(self, tokenizer: Tokenizer) -> NGramChoice:
        """Return what picks a study's n-grams; the tokenizer is that of the table."""
        return NGramChoice(
            tokenizer=tokenizer,
            observations=self.observations,
            top=self.top,
            most=self.ngrams,
        )

    def embed(
        self, ngrams: ObservationNGrams
    ) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b m"]]:
        """Return E, and what of it is there: at least one vector a study."""
        with torch.no_grad():  # the table learns from what the decoder reads and writes, not here
            table = self._decoder.module.embed_tokens(ngrams.ids)
        if self.embedding == "mean":
            table = masked_mean(table, ngrams.real)
            e = self.project(table.to(self.nothing))[ngrams.index]
            mask = ngrams.mask
        else:
            e = self.project(table.to(self.nothing))[ngrams.index]
            e = rearrange(e, "b g t d -> b (g t) d")
            # row 0 is none, and has no real token
            mask = rearrange(ngrams.real[ngrams.index], "b g t -> b (g t)")
        stand_in = torch.zeros_like(mask)
        stand_in[:, 0] = ~mask.any(1)
        return torch.where(stand_in[..., None], self.nothing, e), mask | stand_in

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        e: Float[Tensor, "b m d"],
        *,
        image_mask: Bool[Tensor, "b n"] | None = None,
        mask: Bool[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Enhance visual tokens with what `embed` returned."""
        e_sa = self.text(e, e, mask)
        x_sa = self.visual(x, x, image_mask)
        e_star = self.cross(x_sa, e_sa, mask)
        kept = x if self.concatenate == "before" else x_sa
        return self.ffn(torch.cat([e_star, kept.to(e_star)], dim=-1))

    def attention(
        self,
        x: Float[Tensor, "b n d"],
        ngrams: ObservationNGrams,
        image_mask: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b heads n g"]:
        """Return how much of each n-gram visual tokens read (CA of eq. 8), all its tokens together;
        nothing where a study has none and the learned vector stood in.
        """
        e, mask = self.embed(ngrams)
        read = self.cross.weights(self.visual(x, x, image_mask), self.text(e, e, mask), mask)
        if self.embedding == "tokens":
            read = rearrange(read, "b h n (g t) -> b h n g t", g=ngrams.index.shape[1]).sum(-1)
        return read * rearrange(ngrams.mask, "b g -> b 1 1 g")

    def _make(self, dim: int, *, project: bool) -> None:
        if dim % self.heads:
            raise UserError(
                f"cfe's {self.heads} heads do not divide {dim}, the width of its visual tokens; "
                "set its option heads"
            )
        self.dim = dim
        self.project = nn.Linear(self.token_dim, dim) if project else nn.Identity()
        self.nothing = nn.Parameter(torch.empty(dim))
        nn.init.normal_(self.nothing, std=0.02)
        self.text, self.visual, self.cross = (
            Attention(dim=dim, heads=self.heads, dropout=self.dropout, norm=self.norm)
            for _ in range(3)
        )
        hidden = 4 * dim if self.hidden is None else self.hidden
        self.ffn = nn.Sequential(
            nn.Linear(2 * dim, hidden),
            ACTIVATIONS[self.activation](),
            nn.Dropout(self.dropout),
            nn.Linear(hidden, dim),
        )
