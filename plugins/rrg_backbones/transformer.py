"""The stack of layers that KIA shares between its components."""

from collections.abc import Callable
from functools import partial
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rrg_backbones.attention import CrossAttention, KeysValues, SelfAttention, allow
from rrg_backbones.cache import Cache
from rrg_backbones.init import reset
from rrgcore.api import CrossModal, Trunk, TrunkCache, UserError


@final
class Transformer(Trunk, CrossModal):
    """X ← LN(SA(X) + X), then X ← LN(CA(X, E) + X) if multimodal, then X ← LN(FFN(X) + X).

    That is `norm: post`, BERT's, with E the features of the other modality. `norm: pre` is ViT's: X
    ← SA(LN(X)) + X and so on, and one more LN after the last layer. Cross-attention lives in the
    layers that `cross_layers` names and takes part when a context is given, so one stack is a
    unimodal encoder, a cross-modal one and a decoder. `context_dim` is `dim` unless said, and 0
    where no layer attends to a context; `hidden` is 4 × `dim` unless said; `eps` is BERT's 1e-12 or
    ViT's 1e-6.

    KIA, eq. 1a–1c.
    """

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        norm: Literal["pre", "post"] = "post",
        cross_layers: Literal["all", "none"] | list[int] = "none",
        context_dim: int | None = None,
        hidden: int | None = None,
        dropout: float = 0.0,
        eps: float | None = None,
    ) -> None:
        super().__init__()
        sizes = {"dim": dim, "depth": depth, "heads": heads, "hidden": hidden, "eps": eps}
        for name, size in sizes.items():
            if size is not None and size <= 0:
                raise UserError(f"{name} is {size}; expected a number above 0")
        if depth > DEEPEST:
            raise UserError(f"depth is {depth}; expected at most {DEEPEST:,} layers")
        if not 0 <= dropout < 1:
            raise UserError(f"dropout is {dropout}; expected a share from 0 up to 1")
        if dim % heads:
            raise UserError(f"dim {dim} is not a multiple of heads {heads}")
        cross = _layers(cross_layers, depth)
        self.dim = dim
        self.depth = depth
        self.heads = heads
        self.norm = norm
        self.context_dim = (context_dim or dim) if cross else 0
        self.hidden = hidden or 4 * dim
        self.layers = nn.ModuleList(
            Layer(
                dim=dim,
                heads=heads,
                hidden=self.hidden,
                context_dim=self.context_dim if index in cross else 0,
                pre=norm == "pre",
                dropout=dropout,
                eps=eps or _EPS[norm],
            )
            for index in range(depth)
        )
        self.last_norm = nn.LayerNorm(dim, eps or _EPS[norm]) if norm == "pre" else nn.Identity()
        reset(self, dim=dim)

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
        self._check(context)
        allowed, context_allowed = allow(mask, causal=causal), allow(context_mask)
        for layer in self.layers:
            x = layer.attend(x, allowed, causal=causal)
            if context is not None and layer.cross is not None:
                x = layer.read(x, layer.cross.project(context), context_allowed)
            x = layer.feed_forward(x)
        return self.last_norm(x)

    def begin(
        self,
        context: Float[Tensor, "b m c"] | None = None,
        context_mask: Bool[Tensor, "b m"] | None = None,
    ) -> TrunkCache:
        """Start causal decoding: project the context once, hold no token yet."""
        self._check(context)
        return Cache(
            context=[
                # read at every step, and faster as one piece
                None
                if context is None or layer.cross is None
                else layer.cross.project(context).contiguous()
                for layer in self.layers
            ],
            allowed=allow(context_mask),
        )

    def extend(self, x: Float[Tensor, "b n d"], cache: TrunkCache) -> Float[Tensor, "b n d"]:
        """Run the next tokens; equals the last `n` rows of the full causal forward."""
        assert isinstance(cache, Cache), "a cache goes back to the trunk that began it"
        read = x
        for index, layer in enumerate(self.layers):
            x = layer.extend(x, partial(cache.hold, index))
            if (keys_values := cache.context[index]) is not None:
                x = layer.read(x, keys_values, cache.allowed)
            x = layer.feed_forward(x)
        cache.grow(read)
        return self.last_norm(x)

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
        self._check(context)
        allowed, context_allowed = allow(mask, causal=causal), allow(context_mask)
        weights = []
        for layer in self.layers:
            x = layer.attend(x, allowed, causal=causal)
            if layer.cross is not None:
                keys_values = layer.cross.project(context)
                weights.append(layer.reading(x, keys_values, context_allowed))
                x = layer.read(x, keys_values, context_allowed)
            x = layer.feed_forward(x)
        return torch.stack(weights, dim=1)

    def cross_modal(self) -> list[nn.Module]:
        """Return what runs only with a context."""
        return [m for layer in self.layers if layer.cross for m in (layer.cross, layer.cross_norm)]

    def _check(self, context: Tensor | None) -> None:
        if context is None:
            return
        if not self.context_dim:
            raise UserError("no layer attends to a context: set cross_layers: all in the trunk")
        if (width := context.shape[-1]) != self.context_dim:
            raise UserError(
                f"the context is {width} wide and the trunk reads {self.context_dim}: "
                f"set context_dim: {width} in the trunk"
            )


DEEPEST = 1000
"""Layers; ten times those of the deepest models in use. Each is built, if only to be counted."""
_EPS = {"post": 1e-12, "pre": 1e-6}


def _layers(cross_layers: str | list[int], depth: int) -> frozenset[int]:
    if isinstance(cross_layers, str):
        return frozenset(range(depth) if cross_layers == "all" else ())
    if beyond := sorted(index for index in cross_layers if not 0 <= index < depth):
        raise UserError(
            f"cross_layers names layer {beyond[0]}; with depth {depth} they are 0 to {depth - 1}"
        )
    return frozenset(cross_layers)


@final
class Layer(nn.Module):
    """One layer, as its three sublayers: attend to itself, read a context, feed forward."""

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        hidden: int,
        context_dim: int,
        pre: bool,
        dropout: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.pre = pre
        self.attention = SelfAttention(dim=dim, heads=heads, dropout=dropout)
        self.attention_norm = nn.LayerNorm(dim, eps)
        self.cross: CrossAttention | None = None
        if context_dim:
            self.cross = CrossAttention(
                dim=dim, context_dim=context_dim, heads=heads, dropout=dropout
            )
            self.cross_norm = nn.LayerNorm(dim, eps)
        self.ffn = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.ffn_norm = nn.LayerNorm(dim, eps)
        self.dropout = nn.Dropout(dropout)

    def attend(
        self, x: Float[Tensor, "b n d"], allowed: Tensor | None, *, causal: bool
    ) -> Float[Tensor, "b n d"]:
        """Run eq. 1a."""
        return self._add(
            x, self.attention_norm, lambda y: self.attention(y, allowed, causal=causal)
        )

    def extend(
        self, x: Float[Tensor, "b n d"], hold: Callable[[KeysValues], KeysValues]
    ) -> Float[Tensor, "b n d"]:
        """Run eq. 1a causally on the next tokens."""
        y = self.attention.extend(self.attention_norm(x) if self.pre else x, hold)
        return x + y if self.pre else self.attention_norm(x + y)

    def read(
        self, x: Float[Tensor, "b n d"], keys_values: Tensor, allowed: Tensor | None
    ) -> Float[Tensor, "b n d"]:
        """Run eq. 1b."""
        cross = self.cross
        assert cross is not None, "this layer has no cross-attention"
        return self._add(x, self.cross_norm, lambda y: cross(y, keys_values, allowed))

    def reading(
        self, x: Float[Tensor, "b n d"], keys_values: Tensor, allowed: Tensor | None
    ) -> Float[Tensor, "b heads n m"]:
        """Return the attention weights of eq. 1b."""
        assert self.cross is not None, "this layer has no cross-attention"
        return self.cross.weights(self.cross_norm(x) if self.pre else x, keys_values, allowed)

    def feed_forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Run eq. 1c."""
        return self._add(x, self.ffn_norm, self.ffn)

    def _add(self, x: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre:
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))
