"""From pixels to patch embeddings, no patch knowing of another."""

from typing import final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rrg_backbones.init import reset
from rrgcore.api import UserError


@final
class LinearStem(nn.Module):
    """One linear map of a patch's pixels: ViT's own, a convolution whose kernel is its stride."""

    def __init__(self, *, patch_size: int, dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.project = nn.Linear(3 * patch_size**2, dim)
        reset(self, dim=dim)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Embed patches, row by row."""
        p = self.patch_size
        return self.project(rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=p, q=p))


@final
class ConvStem(nn.Module):
    """Two convolutions whose kernels are their strides, and a GELU between.

    A patch is cut into pieces and each is embedded; the pieces of a patch make its embedding, and
    patches know nothing of each other. There is no norm between: the brightness of a piece is most
    of what it says on a radiograph, and a norm over its channels would take that away (it cost 0.08
    of AUROC after 300 steps).
    """

    def __init__(self, *, patch_size: int, dim: int) -> None:
        super().__init__()
        self.piece = _middle_divisor(patch_size)
        if self.piece == patch_size:
            raise UserError(
                f"stem: conv cuts a patch into pieces, and {patch_size} pixels have no divisor: "
                "set another patch_size, or stem: linear"
            )
        self.patch_size = patch_size
        width = dim // 2
        self.embed = nn.Linear(3 * self.piece**2, width)
        self.project = nn.Linear((patch_size // self.piece) ** 2 * width, dim)
        # torch's own first values, biases included: each channel begins with a threshold of its own

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Embed patches, row by row."""
        piece, pieces = self.piece, self.patch_size // self.piece
        x = rearrange(
            images,
            "b c (h i p) (w j q) -> b (h w) (i j) (c p q)",
            i=pieces,
            j=pieces,
            p=piece,
            q=piece,
        )
        x = F.gelu(self.embed(x))
        return self.project(rearrange(x, "b n pieces c -> b n (pieces c)"))


def _middle_divisor(size: int) -> int:
    """Return the smallest divisor that is at least the square root: 4 of 16, 4 of 8."""
    return next(d for d in range(1, size + 1) if size % d == 0 and d * d >= size)
