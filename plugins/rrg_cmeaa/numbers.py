"""Means over what is there, in a precision that is enough for them."""

from jaxtyping import Bool, Float
from torch import Tensor

from rrgcore.api import full_precision


def masked_mean(
    x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None
) -> Float[Tensor, "b d"]:
    """Return the mean of a row's real elements, taken in float32; zeros for a row without any."""
    full = full_precision(x)
    if mask is None:
        return full.mean(1).to(x)
    count = mask.sum(1, keepdim=True).clamp(min=1)
    return (full.masked_fill(~mask[..., None], 0).sum(1) / count).to(x)
