"""Where a Llama looks: the weights of its self-attention, of some rows to some columns."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def attention_to(
    llm: Any, inputs: Mapping[str, Any], *, rows: slice, columns: slice
) -> Float[Tensor, "b l heads s n"]:
    """Run the layers and return each one's attention of these rows to these columns.

    No kernel that is fast returns its weights: for this one run the attention is written out, and
    of each layer's whole square only the part that is asked for is held.
    """
    found: list[Tensor] = []

    def keep(module: Any, args: Any, output: Any) -> None:
        found.append(output[1][:, :, rows, columns].float())

    hooks = [layer.self_attn.register_forward_hook(keep) for layer in llm.model.layers]
    usual = llm.config._attn_implementation
    try:
        llm.set_attn_implementation("eager")
        llm.model(**inputs, use_cache=False)
    finally:
        llm.set_attn_implementation(usual)
        for hook in hooks:
            hook.remove()
    return torch.stack(found, dim=1)
