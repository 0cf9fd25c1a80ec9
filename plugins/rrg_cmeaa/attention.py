"""One attention sublayer of the cross-modal enhancement transformer."""

from typing import Literal, final

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["post", "none"]


@final
class Attention(nn.Module):
    """softmax(q kᵀ / √c) v of a sequence to a context; then LN(x + ·) with `norm: post`.

    Without norm it is the bare equation: no residual either. To attend to itself a sequence is its
    own context.
    """

    def __init__(self, *, dim: int, heads: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim) if norm == "post" else None
        for linear in (self.q, self.k, self.v, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m d"],
        mask: Bool[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attend to what `mask` says is there."""
        q, k, v = (self._heads(y) for y in (self.q(x), self.k(context), self.v(context)))
        allowed = None if mask is None else rearrange(mask, "b m -> b 1 1 m")
        dropout = self.dropout.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout)
        y = self.out(rearrange(y, "b heads n c -> b n (heads c)"))
        return y if self.norm is None else self.norm(x + self.dropout(y))

    def weights(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m d"],
        mask: Bool[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b heads n m"]:
        """Return how much each token takes of each of the context."""
        q, k = self._heads(self.q(x)), self._heads(self.k(context))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~rearrange(mask, "b m -> b 1 1 m"), -torch.inf)
        return scores.softmax(-1)

    def _heads(self, y: Float[Tensor, "b n d"]) -> Float[Tensor, "b heads n c"]:
        return rearrange(y, "b n (heads c) -> b heads n c", heads=self.heads)
