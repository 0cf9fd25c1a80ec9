"""From 8-bit grey images to what an encoder sees."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def normalise(
    images: UInt8[Tensor, "*b h w"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "*b 3 h w"]:
    """Return grey images as three channels of `(value / 255 - mean) / std`, in one pass."""
    scale = 1 / (255 * torch.tensor(std)).view(3, 1, 1)
    shift = (-torch.tensor(mean) / torch.tensor(std)).view(3, 1, 1)
    return torch.addcmul(shift, images.unsqueeze(-3).float(), scale)
