"""The two plainest adapters."""

from typing import final

from torch import nn

from rrgcore.api import Adapter, Encoded, KeepsPlaces, Visual


@final
class IdentityAdapter(Adapter, KeepsPlaces):
    """The decoder reads the encoder's tokens as they are: H = X.

    Raises ValueError where the two have different widths.
    """

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        if image_dim != visual_dim:
            raise ValueError(
                f"adapter 'identity' changes nothing, but the encoder's tokens are {image_dim} "
                f"wide and the decoder reads {visual_dim}; take adapter 'linear', which projects"
            )

    def forward(self, image: Encoded, prepared: None = None) -> Visual:
        """Pass tokens and mask on."""
        return Visual(image.tokens, image.mask)


@final
class LinearAdapter(Adapter, KeepsPlaces):
    """One projection to the decoder's width: H = X W + b, then LN(H) with `norm`.

    With `norm` it is what R2GenGPT puts between Swin and Llama 2 (Wang et al., 2023).
    """

    def __init__(self, *, image_dim: int, visual_dim: int, norm: bool = False) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)
        self.norm = nn.LayerNorm(visual_dim) if norm else nn.Identity()

    def forward(self, image: Encoded, prepared: None = None) -> Visual:
        """Project every token; absent ones are masked, not zero."""
        return Visual(self.norm(self.project(image.tokens)), image.mask)
