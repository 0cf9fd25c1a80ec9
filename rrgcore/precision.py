"""Losses and means are taken in float32, whatever the features were computed in."""

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Return at least float32."""
    return x if x.dtype == torch.float64 else x.float()
