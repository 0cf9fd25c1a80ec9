"""What a CUDA device does otherwise than a processor, as far as memory notices."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from rrgcore.memory.rehearsal import Rehearsal

FLASH = frozenset((torch.float16, torch.bfloat16))
"""The types that flash attention computes in; others take the memory-efficient kernel."""
WHOLE = frozenset(
    (
        *(F.layer_norm, torch.layer_norm, F.group_norm, F.normalize, F.cosine_similarity),
        *(F.softmax, torch.softmax, Tensor.softmax, F.cross_entropy, F.nll_loss),
        *(F.log_softmax, torch.log_softmax, Tensor.log_softmax, torch.logsumexp, Tensor.logsumexp),
        *(F.l1_loss, F.mse_loss, F.smooth_l1_loss, F.binary_cross_entropy_with_logits),
        *(torch.exp, Tensor.exp, torch.log, Tensor.log, torch.pow, Tensor.pow, Tensor.__pow__),
        *(torch.rsqrt, Tensor.rsqrt, torch.cumsum, Tensor.cumsum, torch.sum, Tensor.sum),
    )
)
"""What CUDA's autocast computes in float32, and a processor's does not."""


@final
class CudaKernels(TorchFunctionMode):
    """Attention by CUDA's kernels, which keep no weights; dropout that keeps a byte an element;
    norms and sums in float32 under autocast.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function as a CUDA device would."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _attend(*args, **kwargs)
        if func in (F.dropout, torch.dropout):
            return _drop(*args, **kwargs)
        if func in WHOLE and torch.is_autocast_enabled("cpu"):
            args = tuple(a.float() if _is_half(a) else a for a in args)
        return func(*args, **kwargs)


@final
class OneByOne(TorchFunctionMode):
    """Watches a decoder write: the most bytes between two of its attentions to a single token.

    Reading what stands before the text, and looking at the finished one, are none of these.
    """

    def __init__(self, rehearsal: Rehearsal, *, tokens: int) -> None:
        self.most = 0
        self._rehearsal = rehearsal
        self._tokens = tokens
        """Queries at once: one, or one a beam."""
        self._follows = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Look up at each attention."""
        if func is F.scaled_dot_product_attention:
            alone = args[0].shape[-2] <= self._tokens
            if alone and self._follows:
                self.most = max(self.most, self._rehearsal.recent)
            self._rehearsal.recent = self._rehearsal.live
            self._follows = alone
        return func(*args, **(kwargs or {}))


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if torch.is_autocast_enabled("cpu"):
        half = torch.get_autocast_dtype("cpu")
        query, key, value = (x.to(half) for x in (query, key, value))
    attended: Tensor
    if attn_mask is None and query.dtype in FLASH:
        attended = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, scale=scale
        )[0]
        return attended
    if enable_gqa and query.shape[1] != key.shape[1]:
        times = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(times, dim=1) for x in (key, value))
    bias = None
    if attn_mask is not None:
        bias = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device)
        bias = bias.expand(*query.shape[:3], key.shape[2])
    keeps = any(x.requires_grad for x in (query, key, value))
    attended = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, keeps, dropout_p, is_causal, scale=scale
    )[0]
    return attended


def _drop(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or not 0 < p < 1:
        return F.dropout(input, p, training, inplace)
    return torch.native_dropout(input, p, True)[0]


def _is_half(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in FLASH
