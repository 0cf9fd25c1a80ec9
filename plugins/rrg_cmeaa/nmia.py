"""Neural mutual information aligner: the image in a low-dimensional space, and back."""

from typing import Literal, final

from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rrg_cmeaa.numbers import masked_mean
from rrgcore.api import Part, UserError


@final
class NMIA(Part):
    """X*_g = W₂ (W₁ X + b₁) + b₂ of the pooled image, once beside every visual token; C_x = W₁ X +
    b₁.

    C_x is what objective `mine` brings close to the report; the text's half, which no report
    generation needs, is there. L_NMI teaches W₁ and what comes before it, never W₂ and b₂.

    Where the paper is silent (docs/papers/cmeaa.md):
    `share` (C10): C_x is made by the very W₁ of eq. 15, or by a layer of its own.
    `pool` (C11): the mean over tokens is taken `before` the two layers or `after` them, which is
    the same number, since they are affine.
    `detach` (C12): L_NMI teaches W₁ alone, and neither the adapter before it nor the encoder.
    `k` (C16): 256, the best of Table 3.

    CmEAA, eq. 13-15, Table 3.
    """

    def __init__(
        self,
        *,
        image_dim: int,
        k: int = 256,
        share: bool = True,
        pool: Literal["before", "after"] = "before",
        detach: bool = False,
    ) -> None:
        super().__init__()
        if k < 1:
            raise UserError(f"nmia's k is {k}; expected a width above 0")
        self.k = k
        self.share = share
        self.pool = pool
        self.detach = detach
        self.resize(image_dim)

    def resize(self, dim: int) -> None:
        """Make its layers, for visual tokens of a width."""
        self.dim = dim
        self.reduce = nn.Linear(dim, self.k)
        self.expand = nn.Linear(self.k, dim)
        self.align = None if self.share else nn.Linear(dim, self.k)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> tuple[Float[Tensor, "b n e"], Float[Tensor, "b k"]]:
        """Return X*_G, a view that repeats one row, and C_x."""
        pooled = masked_mean(x, mask)
        align = self.reduce if self.align is None else self.align
        aligned = align(pooled.detach() if self.detach else pooled)
        if self.pool == "before":
            image = self.expand(self.reduce(pooled))
        else:
            image = masked_mean(self.expand(self.reduce(x)), mask)
        return repeat(image, "b d -> b n d", n=x.shape[1]), aligned
