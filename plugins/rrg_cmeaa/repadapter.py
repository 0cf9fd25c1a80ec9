"""A bottleneck beside the identity, which a linear layer that follows can take in."""

from typing import final

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rrgcore.api import Part, UserError, full_precision


@final
class RepAdapter(Part):
    """f(x) = x + s · (W_B drop(W_A x + b_A) + b_B).

    W_A goes down to `hidden` units, W_B back up in `groups` blocks: a block of channels sees its
    share of the units only. There is no non-linearity, so f is an affine map, and `merge` makes one
    linear layer of it, alone or with the layer that follows. W_B and b_B begin at zero: f is then
    the identity.

    Luo et al., 2023, RepAdapter; CmEAA, §2.1, which gives no sizes: these are the authors' own.
    """

    def __init__(
        self,
        *,
        image_dim: int,
        hidden: int = 8,
        groups: int = 2,
        scale: float = 1.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if groups < 1 or hidden < 1 or hidden % groups or image_dim % groups:
            raise UserError(
                f"a RepAdapter of {hidden} hidden units on {image_dim} channels does not divide "
                f"into {groups} groups: make both multiples of it"
            )
        self.scale = scale
        self.down = nn.Linear(image_dim, hidden)
        self.dropout = nn.Dropout(dropout)
        self.up = GroupedLinear(inputs=hidden, outputs=image_dim, groups=groups)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Adapt every token by itself."""
        return x + self.scale * self.up(self.dropout(self.down(x)))

    def sibling(self) -> "RepAdapter":
        """Return another one with this very down-projection and an up-projection of its own."""
        other = RepAdapter(
            image_dim=self.down.in_features,
            hidden=self.down.out_features,
            groups=self.up.groups,
            scale=self.scale,
            dropout=self.dropout.p,
        )
        other.down = self.down
        return other

    @torch.no_grad()
    def affine(self) -> tuple[Float[Tensor, "d d"], Float[Tensor, " d"]]:
        """Return M = I + s W_B W_A and m = s (W_B b_A + b_B), with which f(x) = M x + m in eval."""
        down, bias = full_precision(self.down.weight), full_precision(self.down.bias)
        up = full_precision(self.up.dense())
        identity = torch.eye(len(up), dtype=up.dtype, device=up.device)
        matrix = identity + self.scale * up @ down
        return matrix, self.scale * (up @ bias + full_precision(self.up.bias))

    @torch.no_grad()
    def merge(self, following: nn.Module | None = None) -> nn.Linear:
        """Return one linear layer that does what f and then `following` do: W M, W m + b.

        Without `following` it does what f alone does. Nothing may stand between the two. An adapter
        that several layers read (q, k and v) is merged into each of them. Both stay as they are.
        Raises UserError in training, where dropout makes f more than one map, and for a layer that
        is not a plain `nn.Linear` of this width.
        """
        if self.training:
            raise UserError(
                "a RepAdapter in training has dropout, which no linear layer has: call eval() "
                "before merge()"
            )
        matrix, offset = self.affine()
        if following is None:
            return _linear(matrix, offset, like=self.down.weight)
        if type(following) is not nn.Linear:  # a quantised one is a subclass, its weight no matrix
            raise UserError(
                f"a RepAdapter merges into a plain nn.Linear, not into {type(following).__name__}"
            )
        if following.in_features != len(matrix):
            raise UserError(
                f"a RepAdapter of width {len(matrix)} does not merge into a linear layer that "
                f"reads {following.in_features}"
            )
        weight = full_precision(following.weight)
        bias = weight @ offset.to(weight)
        if following.bias is not None:
            bias = bias + full_precision(following.bias)
        return _linear(weight @ matrix.to(weight), bias, like=following.weight)


@final
class GroupedLinear(nn.Module):
    """W x + b with W block-diagonal, as a 1 × 1 convolution in groups; begins at zero."""

    def __init__(self, *, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(outputs, inputs // groups))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """Map each group of inputs to its group of outputs."""
        inputs = rearrange(x, "... (g i) -> ... g i", g=self.groups)
        weight = rearrange(self.weight, "(g o) i -> g o i", g=self.groups)
        outputs = einsum(inputs, weight, "... g i, g o i -> ... g o")
        return rearrange(outputs, "... g o -> ... (g o)") + self.bias

    def dense(self) -> Float[Tensor, "o i"]:
        """Return the whole matrix, zeros included."""
        return torch.block_diag(*self.weight.chunk(self.groups))


def _linear(weight: Tensor, bias: Tensor, *, like: Tensor) -> nn.Linear:
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, dtype=like.dtype, device=like.device)
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)
    return linear.eval()
