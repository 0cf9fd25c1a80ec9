"""CmEAA's image encoder: timm's Swin Transformer."""

from typing import final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from rrg_backbones.weights import set_parameters
from rrg_backbones.weights_swin import FAMILY, read_swin
from rrg_backbones.weights_timm import IMAGENET, pixel_statistics
from rrgcore.api import Encoded, Pretrained, UserError, VisualEncoder


@final
class Swin(VisualEncoder, Pretrained):
    """z = W-MSA(LN(z)) + z, z = MLP(LN(z)) + z; in every second block the windows are shifted.

    The tokens are those of the last stage after the final norm, the summary is their mean. Each
    stage but the first merges 2 × 2 patches and doubles the width, `dim` being the first stage's:
    of 224 pixels the defaults, Swin-B, make 49 tokens of 1,024. Attention stays in windows of
    `window` × `window` patches. Choose one that divides the grids, 7 for 224 pixels and 8 for 256:
    timm fills others up with zeros, after shifting, where Hugging Face does so before. A grid
    smaller than a window is one window.

    `weights` are timm's (`swin_base_patch4_window7_224.ms_in1k`), Microsoft's, or a Hugging Face
    Swin, by name, file or folder; for windows of another size their relative positions are
    resampled. `mean` and `std` are theirs, else ImageNet's.

    `frozen` keeps the weights as they are. A Swin of which nothing learns, whether by `frozen` or
    by the recipe's `freeze`, also stays in eval mode: R2GenGPT trains beside a frozen Swin whose
    drop-path is on. `checkpoint` computes activations again in the backward pass, for less memory.

    CmEAA, §2.1 and A.3; R2GenGPT's visual encoder; Liu et al. 2021, eq. 3.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int = 4,
        window: int = 7,
        dim: int = 128,
        depths: tuple[int, ...] = (2, 2, 18, 2),
        heads: tuple[int, ...] = (4, 8, 16, 32),
        drop_path: float = 0.1,
        weights: str | None = None,
        frozen: bool = False,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        _check_sizes(patch_size=patch_size, window=window, dim=dim, depths=depths, heads=heads)
        if not 0 <= drop_path < 1:
            raise UserError(f"drop_path is {drop_path}; expected a share from 0 to below 1")
        token_size = patch_size * 2 ** (len(depths) - 1)
        if image_size % token_size:
            nearest = max(round(image_size / token_size), 1) * token_size
            raise UserError(
                f"an image of {image_size} pixels is not a whole number of tokens: after "
                f"{len(depths)} stages each covers {token_size} × {token_size} pixels. "
                f"The nearest image_size is {nearest}"
            )
        from timm.models.swin_transformer import SwinTransformer  # takes seconds

        self.image_size = image_size
        self.dim = dim * 2 ** (len(depths) - 1)
        self.grid = (image_size // token_size, image_size // token_size)
        self.weights = weights
        self.mean, self.std = pixel_statistics(weights, family=FAMILY, default=IMAGENET)
        self.sizes = {
            "patch_size": patch_size,
            "dim": dim,
            "depths": list(depths),
            "heads": list(heads),
        }
        self.body = SwinTransformer(
            img_size=image_size,
            patch_size=patch_size,
            window_size=window,
            embed_dim=dim,
            depths=tuple(depths),
            num_heads=tuple(heads),
            drop_path_rate=drop_path,
            num_classes=0,
        )
        self.body.set_grad_checkpointing(checkpoint)
        if frozen:
            self.requires_grad_(False).eval()

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Encoded:
        """Encode images; the summary is the mean of the tokens."""
        if images.shape[-2:] != (self.image_size, self.image_size):
            raise UserError(
                f"images of {tuple(images.shape[-2:])} pixels, and an encoder made for image_size "
                f"{self.image_size}: leave its image_size out, which is then that of the data"
            )
        tokens = rearrange(self.body.forward_features(images), "b h w d -> b (h w) d")
        return Encoded(tokens, tokens.mean(1))

    def load_weights(self) -> frozenset[str]:
        """Read `weights`, a classifier's head left out."""
        assert self.weights is not None, "there are no weights to load"
        values = read_swin(self.weights, body=self.body, sizes=self.sizes)
        return set_parameters(
            self, {f"body.{name}": value for name, value in values.items()}, self.weights
        )

    def train(self, mode: bool = True) -> "Swin":
        """Switch drop-path on, unless nothing here learns."""
        return super().train(mode and any(p.requires_grad for p in self.parameters()))


DEEPEST, MOST_STAGES = 1000, 12
"""Blocks of a stage, and stages, each of which halves the picture; all are built."""


def _check_sizes(
    *, patch_size: int, window: int, dim: int, depths: tuple[int, ...], heads: tuple[int, ...]
) -> None:
    """Raise UserError for sizes of which no Swin can be made."""
    if not depths or len(depths) != len(heads):
        raise UserError(
            f"depths {list(depths)} and heads {list(heads)}: expected a number for each stage"
        )
    for name, values in (
        ("patch_size", (patch_size,)),
        ("window", (window,)),
        ("dim", (dim,)),
        ("depths", depths),
        ("heads", heads),
    ):
        if min(values) < 1:
            raise UserError(f"{name} has {min(values)}; expected numbers above 0")
    if max(depths) > DEEPEST or len(depths) > MOST_STAGES:
        raise UserError(
            f"depths {list(depths)}: expected at most {MOST_STAGES} stages of {DEEPEST:,} blocks"
        )
    for stage, count in enumerate(heads):
        if (width := dim * 2**stage) % count:
            raise UserError(
                f"stage {stage} is {width} wide, which {count} heads cannot share: change dim or "
                "heads"
            )
