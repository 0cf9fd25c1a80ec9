"""How likely a language model's head finds words, without the scores of all others kept."""

from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

AT_ONCE = 128
"""Words scored at once: a few times ten megabytes with 32,000 to choose from."""


def score_words(
    head: nn.Module, hidden: Float[Tensor, "m d"], ids: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Return each word's log-probability.

    Of a head that stands still, the gradient is made while the scores are at hand: neither they nor
    their gradients are ever all there, which were two thirds of what a step took beside weights.
    """
    if type(head) is not nn.Linear or head.weight.requires_grad or head.bias is not None:
        return -F.cross_entropy(head(hidden).float(), ids, reduction="none")
    found: Tensor = _StillHead.apply(hidden, head.weight, ids)
    return found


@final
class _StillHead(torch.autograd.Function):
    """log softmax(W h)[word], and its gradient W[word] − softmax(W h) W."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
        found, gradients = [], []
        for few, words in zip(hidden.split(AT_ONCE), ids[:, None].split(AT_ONCE), strict=True):
            scores = F.linear(few, weight).float().log_softmax(-1)
            found.append(scores.gather(1, words)[:, 0])
            if ctx.needs_input_grad[0]:
                away = scores.exp_().neg_()
                away.scatter_add_(1, words, torch.ones_like(words, dtype=away.dtype))
                gradients.append((away.to(weight.dtype) @ weight).to(hidden.dtype))
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (own,) = ctx.saved_tensors
        return own * gradient[:, None].to(own.dtype), None, None
