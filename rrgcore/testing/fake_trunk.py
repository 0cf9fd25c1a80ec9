"""One transformer layer that keeps the whole contract of a trunk, caching included."""

from typing import final

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rrgcore.interfaces import Trunk, TrunkCache


@final
class FakeTrunk(Trunk):
    """X ← X + SA(X), X ← X + CA(X, context) where there is one, X ← X + FFN(X)."""

    def __init__(self, *, dim: int = 16, heads: int = 2, context_dim: int = 16) -> None:
        super().__init__()
        self.dim, self.heads, self.context_dim = dim, heads, context_dim
        self.norm = "pre"
        self.attend = FakeAttention(dim=dim, context_dim=dim, heads=heads)
        self.cross = FakeAttention(dim=dim, context_dim=context_dim, heads=heads)
        self.feed_forward = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        *,
        mask: Bool[Tensor, "b n"] | None = None,
        context: Float[Tensor, "b m c"] | None = None,
        context_mask: Bool[Tensor, "b m"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b n d"]:
        """Run the layer."""
        x = self._self_attend(x, mask, causal)
        if context is not None:
            x = x + self.cross(x, context, _among(context_mask))
        fed: Tensor = self.feed_forward(x)
        return x + fed

    def begin(
        self,
        context: Float[Tensor, "b m c"] | None = None,
        context_mask: Bool[Tensor, "b m"] | None = None,
    ) -> "FakeCache":
        """Hold no token yet."""
        return FakeCache(context, context_mask)

    def extend(self, x: Float[Tensor, "b n d"], cache: TrunkCache) -> Float[Tensor, "b n d"]:
        """Run everything so far again and return the newest rows."""
        assert isinstance(cache, FakeCache), "a cache goes back to the trunk that began it"
        cache.x = x if cache.x is None else torch.cat([cache.x, x], dim=1)
        cache.length = cache.x.shape[1]
        hidden: Tensor = self(
            cache.x, context=cache.context, context_mask=cache.context_mask, causal=True
        )
        return hidden[:, -x.shape[1] :]

    def attention(
        self,
        x: Float[Tensor, "b n d"],
        *,
        mask: Bool[Tensor, "b n"] | None = None,
        context: Float[Tensor, "b m c"],
        context_mask: Bool[Tensor, "b m"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b l heads n m"]:
        """Return the weights of its one cross-attention."""
        x = self._self_attend(x, mask, causal)
        return self.cross.weights(x, context, _among(context_mask))[:, None]

    def _self_attend(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None, causal: bool
    ) -> Float[Tensor, "b n d"]:
        allowed = _among(mask)
        if causal:
            earlier = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
            allowed = earlier if allowed is None else allowed & earlier
        read: Tensor = self.attend(x, x, allowed)
        return x + read


@final
class FakeCache(TrunkCache):
    """All inputs so far, since the fake runs them again."""

    def __init__(self, context: Tensor | None, context_mask: Tensor | None) -> None:
        self.length = 0
        self.x: Tensor | None = None
        self.context, self.context_mask = context, context_mask

    def select(self, rows: Int[Tensor, " b"]) -> None:
        """Keep these rows."""
        for name in ("x", "context", "context_mask"):
            if (value := getattr(self, name)) is not None:
                setattr(self, name, value[rows])


@final
class FakeAttention(nn.Module):
    """softmax(QKᵀ/√d)V, with LN before."""

    def __init__(self, *, dim: int, context_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(context_dim, dim, bias=False)
        self.value = nn.Linear(context_dim, dim, bias=False)

    def forward(self, x: Tensor, context: Tensor, allowed: Tensor | None) -> Tensor:
        """Gather what the weights point to."""
        read = self.weights(x, context, allowed) @ self._heads(self.value(context))
        return rearrange(read, "b heads n d -> b n (heads d)")

    def weights(
        self, x: Tensor, context: Tensor, allowed: Tensor | None
    ) -> Float[Tensor, "b heads n m"]:
        """Return how much each position reads of each of the context."""
        query, key = self._heads(self.query(self.norm(x))), self._heads(self.key(context))
        scores = query @ key.mT / query.shape[-1] ** 0.5
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        weights: Tensor = scores.softmax(-1)
        return weights

    def _heads(self, x: Tensor) -> Tensor:
        return rearrange(x, "b n (heads d) -> b heads n d", heads=self.heads)


def _among(mask: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b 1 1 n"] | None:
    """Return which keys may be read, for every head and query."""
    return None if mask is None else mask[:, None, None]
