"""KIA's image encoders: a vision transformer, alone and with the help of a text."""

from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rrg_backbones.stem import ConvStem, LinearStem
from rrg_backbones.weights import set_parameters
from rrg_backbones.weights_timm import pixel_statistics
from rrg_backbones.weights_vit import FAMILY, read_vit
from rrgcore.api import (
    CrossModal,
    Encoded,
    ImageGivenText,
    MayLack,
    Pretrained,
    Trunk,
    UserError,
    VisualEncoder,
)


@final
class ViT(VisualEncoder, ImageGivenText, CrossModal, Pretrained, MayLack):
    """X_0 = [x_cls; E p_1; …; E p_n] + P, then a trunk: I-Enc alone, I-CMEnc with a text.

    Masked patches become a learned token after the projection E and before the positions P, so that
    the trunk still knows where they were (SimMIM). The text is read by the same trunk, or by
    `cross_trunk` where nothing is to be shared. `stem: conv` projects in two strided steps with a
    GELU between; it learns sooner than one linear map and, like it, never looks outside
    a patch, so a masked patch cannot leak. A `post` trunk gets normalised embeddings, as BERT's; a
    `pre` trunk normalises them itself.

    `weights` are timm's (`vit_base_patch16_224.augreg_in21k_ft_in1k`) or a Hugging Face ViT, by
    name, file or folder, and need `norm: pre` and `stem: linear`; `mean` and `std` are theirs, else
    0.5.

    KIA, §3.1 and eq. 1; Dosovitskiy et al. 2020, eq. 1.
    """

    def __init__(
        self,
        *,
        image_size: int,
        trunk: Trunk,
        patch_size: int = 16,
        cross_trunk: Trunk | None = None,
        stem: Literal["linear", "conv"] = "linear",
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if patch_size < 1:
            raise UserError(f"patch_size is {patch_size}; expected a number of pixels above 0")
        if image_size % patch_size:
            raise UserError(
                f"an image of {image_size} pixels cannot be cut into patches of {patch_size}: "
                "make image_size a multiple of patch_size"
            )
        if cross_trunk is not None and cross_trunk.dim != trunk.dim:
            raise UserError(f"cross_trunk has dim {cross_trunk.dim}; the trunk has {trunk.dim}")
        side = image_size // patch_size
        self.dim = trunk.dim
        self.grid = (side, side)
        self.patch_size = patch_size
        self.weights = weights
        self.mean, self.std = pixel_statistics(weights, family=FAMILY)
        self.trunk = trunk
        self.cross_trunk = cross_trunk
        self.stem = _STEMS[stem](patch_size=patch_size, dim=self.dim)
        self.cls_token = nn.Parameter(torch.empty(1, 1, self.dim))
        self.mask_token = nn.Parameter(torch.empty(self.dim))
        self.positions = nn.Parameter(torch.empty(1, side * side + 1, self.dim))
        self.norm = nn.LayerNorm(self.dim, 1e-6) if trunk.norm == "post" else nn.Identity()
        for token in (self.cls_token, self.mask_token):
            nn.init.trunc_normal_(token, std=0.02)
        with torch.no_grad():
            self.positions[:, :1] = 0
            self.positions[:, 1:] = 0.2 * waves(self.grid, self.dim)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Encoded:
        """Encode images alone (I-Enc); the summary is [CLS]."""
        tokens = self.trunk(self._embed(images))
        return Encoded(tokens, tokens[:, 0])

    def encode_given_text(
        self,
        images: Float[Tensor, "b 3 h w"],
        patch_mask: Bool[Tensor, "b n"],
        text: Encoded,
    ) -> Encoded:
        """Encode images whose masked patches are hidden, with the help of a text (I-CMEnc)."""
        tokens = self._reader(
            self._embed(images, patch_mask), context=text.tokens, context_mask=text.mask
        )
        return Encoded(tokens, tokens[:, 0])

    def load_weights(self) -> frozenset[str]:
        """Read `weights`; cross-attention and the mask token keep their random values."""
        assert self.weights is not None, "there are no weights to load"
        trunks = {"trunk": self.trunk}
        if self.cross_trunk is not None:
            trunks["cross_trunk"] = self.cross_trunk
        values = read_vit(self.weights, trunks=trunks, stem=self.stem, grid=self.grid)
        return set_parameters(self, values, self.weights)

    def cross_modal(self) -> list[nn.Module]:
        """Return what only I-CMEnc runs: a `cross_trunk` of its own."""
        separate = self.cross_trunk is not None and self.cross_trunk is not self.trunk
        return [self._reader] if separate else []

    def lacks(self, capability: type) -> str | None:
        """Say that no layer of the trunk reads a text."""
        if capability is ImageGivenText and not self._reader.context_dim:
            return "reads no text: set cross_layers: all in its trunk, or give it a cross_trunk"
        return None

    @property
    def _reader(self) -> Trunk:
        return self.trunk if self.cross_trunk is None else self.cross_trunk

    def _embed(
        self, images: Float[Tensor, "b 3 h w"], patch_mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b m d"]:
        size = self.grid[0] * self.patch_size
        if images.shape[-2:] != (size, size):
            raise UserError(
                f"images of {tuple(images.shape[-2:])} pixels, and an encoder made for image_size "
                f"{size}: leave its image_size out, which is then that of the data"
            )
        x = self.stem(images)
        if patch_mask is not None:
            x = torch.where(patch_mask[..., None], self.mask_token.to(x.dtype), x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        return self.norm(x + self.positions)


def waves(grid: tuple[int, int], dim: int) -> Float[Tensor, "n d"]:
    """Return sines and cosines of each patch's place, of unit variance: first values of positions.

    Neighbours begin alike, which random values would have to learn. Wavelengths go from a quarter
    of the image's side to five sides. ViT's random 0.02 is not noticed for hundreds of steps beside
    patches of about unit size, and until then a report cannot say where anything is.
    """
    count = -(-dim // 4)
    turns = 2 * torch.pi * 4 / 20 ** (torch.arange(count) / count)
    rows, columns = (torch.arange(side) / max(side - 1, 1) for side in grid)
    down, across = torch.meshgrid(rows, columns, indexing="ij")
    angles = [place.reshape(-1, 1) * turns for place in (down, across)]
    both = torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
    return both[:, :dim] * 2**0.5


_STEMS = {"linear": LinearStem, "conv": ConvStem}
