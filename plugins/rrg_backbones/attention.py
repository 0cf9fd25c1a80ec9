"""Multi-head attention: of a sequence to itself, and of a sequence to another one."""

from collections.abc import Callable
from typing import final

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = Float[Tensor, "2 _ heads _ c"]
"""Keys and values of a layer, stacked so that one copy moves both."""


def allow(
    mask: Bool[Tensor, "b m"] | None, *, causal: bool = False
) -> Bool[Tensor, "b 1 #n m"] | None:
    """Return which keys each query may look at; None where all of them are allowed.

    A query that may look at nothing looks at everything: nobody reads what comes of it, and a
    softmax over nothing would be NaN and spread.
    """
    if mask is None:
        return None
    allowed = rearrange(mask, "b m -> b 1 1 m")
    if causal:
        past = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool, device=mask.device).tril()
        allowed = allowed & past
    return allowed | ~allowed.any(-1, keepdim=True)


@final
class SelfAttention(nn.Module):
    """softmax(q kᵀ / √c) v of a sequence with itself; one projection makes q, k and v."""

    def __init__(self, *, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        allowed: Bool[Tensor, "b 1 #n m"] | None = None,
        *,
        causal: bool = False,
    ) -> Float[Tensor, "b n d"]:
        """Attend; `causal` alone is faster than the same thing said by `allowed`."""
        q, k, v = self._project(x)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed, dropout_p=dropout, is_causal=causal and allowed is None
        )
        return self._merge(y)

    def extend(
        self, x: Float[Tensor, "b n d"], hold: Callable[[KeysValues], KeysValues]
    ) -> Float[Tensor, "b n d"]:
        """Attend causally to the tokens held and to these, which `hold` adds to them."""
        projected = self._project(x)
        q, keys_values = projected[0], hold(projected[1:])
        n, m = x.shape[1], keys_values.shape[3]
        past = None
        if n > 1:  # a single token may see all that is held
            past = torch.ones(n, m, dtype=torch.bool, device=x.device).tril(m - n)
        y = F.scaled_dot_product_attention(q, *keys_values, attn_mask=past)
        return self._merge(y)

    def _project(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "3 b heads n c"]:
        return rearrange(
            self.qkv(x), "b n (qkv heads c) -> qkv b heads n c", qkv=3, heads=self.heads
        )

    def _merge(self, y: Float[Tensor, "b heads n c"]) -> Float[Tensor, "b n d"]:
        return self.out(rearrange(y, "b heads n c -> b n (heads c)"))


@final
class CrossAttention(nn.Module):
    """softmax(q kᵀ / √c) v, where k and v are made of another sequence."""

    def __init__(self, *, dim: int, context_dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(context_dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def project(self, context: Float[Tensor, "b m c"]) -> Float[Tensor, "2 b heads m k"]:
        """Return the keys and values of a context: once a context, however often it is read."""
        return rearrange(
            self.kv(context), "b m (kv heads k) -> kv b heads m k", kv=2, heads=self.heads
        )

    def forward(
        self,
        x: Float[Tensor, "r n d"],
        keys_values: KeysValues,
        allowed: Bool[Tensor, "b 1 1 m"] | None = None,
    ) -> Float[Tensor, "r n d"]:
        """Attend; several consecutive rows may read one context (the beams of a study)."""
        dropout = self.dropout if self.training else 0.0
        q = self._queries(x, keys_values.shape[1])
        y = F.scaled_dot_product_attention(q, *keys_values, attn_mask=allowed, dropout_p=dropout)
        return self.out(rearrange(y, "b heads (beams n) c -> (b beams) n (heads c)", n=x.shape[1]))

    def weights(
        self,
        x: Float[Tensor, "b n d"],
        keys_values: KeysValues,
        allowed: Bool[Tensor, "b 1 1 m"] | None = None,
    ) -> Float[Tensor, "b heads n m"]:
        """Return how much of each key every query takes."""
        q, (k, _) = self._queries(x, x.shape[0]), keys_values
        scores = torch.einsum("bhnc,bhmc->bhnm", q * q.shape[-1] ** -0.5, k)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        return scores.softmax(-1)

    def _queries(self, x: Float[Tensor, "r n d"], contexts: int) -> Float[Tensor, "b heads m c"]:
        # the beams of a study become more queries to one context, so that none is copied for them
        return rearrange(
            self.q(x),
            "(b beams) n (heads c) -> b heads (beams n) c",
            b=contexts,
            heads=self.heads,
        )
