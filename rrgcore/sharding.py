"""Models in shards over processes, as Accelerate's FSDP2 lays them: prepared, read whole, filled
again from whole tensors.

Every process must come to these at the same time: torch gathers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any, cast

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import AutocastKwargs, DistributedType
from torch import Tensor, nn
from torch.optim import Optimizer

from rrgcore.errors import RunError

KEPT_IN_STEP = "transformers."
"""Whose layers may be gathered one at a time: its search has all processes take equally many steps,
which those that gather must.
"""


def check_sharding(accelerator: Accelerator) -> None:
    """Raise RunError for what the launcher was told of FSDP that a run cannot do with."""
    if accelerator.distributed_type is DistributedType.MEGATRON_LM:
        raise RunError("rrg does not train with Megatron-LM: use FSDP (docs/scaling.md)")
    if accelerator.distributed_type is not DistributedType.FSDP:
        return
    plugin = accelerator.state.fsdp_plugin
    refused = {
        "fsdp_version: 1": ("fsdp_version: 2", plugin.fsdp_version != 2),
        # these give parameters other names, other devices, or no values
        "fsdp_activation_checkpointing: true": (
            "false, and the recipe's own (model.decoder.checkpoint=true)",
            plugin.activation_checkpointing,
        ),
        "fsdp_offload_params: true": (
            "false",
            type(plugin.cpu_offload).__name__ == "CPUOffloadPolicy",
        ),
        "fsdp_cpu_ram_efficient_loading: true": ("false", plugin.cpu_ram_efficient_loading),
        "fsdp_ignored_modules": ("nothing: rrg says itself what", plugin.ignored_modules),
    }
    for said, (instead, found) in refused.items():
        if found:
            raise RunError(
                f"the launcher says {said}, which a run cannot do with; set {instead}. "
                "docs/scaling.md has configurations"
            )


def prepare(
    accelerator: Accelerator, model: nn.Module, optimizer: Optimizer
) -> tuple[nn.Module, Any]:
    """Prepare a model and its optimizer as the launcher was told, in shards with FSDP.

    With FSDP the model's own parameters become parts, and precision is autocast's as without. A
    parameter without axes cannot be divided and stays whole.
    """
    if not accelerator.is_fsdp2:
        wrapped, prepared = accelerator.prepare(model, optimizer)
        return wrapped, prepared
    if is_sharded(model):
        # prepared together, parameters are told apart by their addresses, and empty parts have none
        return accelerator.prepare_model(model), accelerator.prepare_optimizer(optimizer)
    plugin = accelerator.state.fsdp_plugin
    check_layers(plugin, model)
    plugin.ignored_modules = [nn.ParameterList(p for p in model.parameters() if not p.dim())]
    plugin.mixed_precision_policy = None
    # or the copies in half of all layers would be kept side by side
    accelerator.autocast_handler = AutocastKwargs(cache_enabled=False)
    wrapped, prepared = accelerator.prepare(model, optimizer)
    from torch.distributed.fsdp import register_fsdp_forward_method

    register_fsdp_forward_method(wrapped, "generate")
    return wrapped, prepared


def check_layers(plugin: Any, model: nn.Module) -> None:
    """Raise RunError for layers to gather one at a time that are not there, or must not be."""
    if plugin.auto_wrap_policy is None:
        return
    there = {type(module).__name__: type(module) for module in model.modules()}
    asked = plugin.transformer_cls_names_to_wrap
    key = "fsdp_transformer_layer_cls_to_wrap"
    if not asked:
        raise RunError(
            "the launcher divides layers by their size; name them instead "
            f"(fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP, {key}: LlamaDecoderLayer), or set "
            "fsdp_auto_wrap_policy: NO_WRAP"
        )
    for name in asked:
        if name not in there:
            raise RunError(
                f"{key} is {name}, and this model has no such layer. Name its language model's, or "
                "set fsdp_auto_wrap_policy: NO_WRAP, which gathers all of it at once"
            )
        if not there[name].__module__.startswith(KEPT_IN_STEP):
            raise RunError(
                f"{key} is {name}: only layers of transformers' models can be gathered one at a "
                "time, since processes that write reports must take equally many steps. Set "
                "fsdp_auto_wrap_policy: NO_WRAP, which gathers all of the model at once"
            )


def is_sharded(model: nn.Module) -> bool:
    """Whether each process holds a part of its parameters."""
    return next(_units(model), None) is not None


def hide(model: nn.Module) -> None:
    """Let go of what was gathered for something other than a step, so that parameters are parts."""
    for unit in _units(model):
        unit.reshard()


@contextmanager
def at_hand(model: nn.Module) -> Iterator[None]:
    """Have what belongs to no layer gathered, so that parts can be called one by one; layers come
    when they are called. The model has gone forward before.
    """
    if is_sharded(model):
        cast(Any, model).unshard()
    try:
        yield
    finally:
        hide(model)


def clip(accelerator: Accelerator, model: nn.Module, limit: float | None) -> float:
    """Clip the gradient of a model in shards, if to anything; return its norm before."""
    _average_undivided(accelerator, model)
    # the accelerator knows its model by the parameters, and asks a scaler but once then
    norm = accelerator.clip_grad_norm_(list(model.parameters()), inf if limit is None else limit)
    return float(whole(cast(Tensor, norm)))


# ---- tensors --------------------------------------------------------------------------------


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor of which this process may hold a part."""
    with torch.no_grad():
        return cast(Any, tensor).full_tensor() if _is_part(tensor) else tensor.detach()


def part_of(value: Tensor, tensor: Tensor) -> Tensor:
    """Return what this process holds of a whole value that is to fill a tensor."""
    if not _is_part(tensor):
        return value
    return _divided(value, tensor, cast(Any, tensor).placements)


def kept(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Return whole tensors in the memory of the machine, one gathered after the other; nothing
    where they are not to be kept.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor)
        if keep:
            found[name] = gathered.cpu() if _is_part(tensor) else gathered
    return found


def whole_state(optimizer: Optimizer, *, keep: bool) -> dict[str, Any]:
    """Return an optimizer's state with whole tensors; no state where it is not to be kept."""
    found = optimizer.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for index, values in found["state"].items():
        tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
        state[index] = {**values, **kept(tensors, keep=keep)}
    return {**found, "state": state if keep else {}}


def divided_state(value: Tensor, parameter: Tensor) -> Tensor:
    """Return what this process holds of an optimizer's whole tensor for a parameter.

    As large as the parameter, it lies as that does. A counter is no part; a statistic of rows or
    columns is whole everywhere.
    """
    if not _is_part(parameter) or not value.dim():
        return value
    if value.shape == parameter.shape:
        return part_of(value, parameter)
    from torch.distributed.tensor import Replicate

    return _divided(value, parameter, [Replicate()])


def _divided(value: Tensor, like: Tensor, placements: Any) -> Tensor:
    from torch.distributed.tensor import distribute_tensor

    placed = value.to(like.device, like.dtype)
    # all processes have read the same file: nobody needs to send anything
    return distribute_tensor(placed, cast(Any, like).device_mesh, placements, src_data_rank=None)


def _is_part(tensor: Tensor) -> bool:
    if not _several():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def _units(model: nn.Module) -> Iterator[Any]:
    """Find what is gathered at a time: the model, and its layers where they are on their own."""
    if not _several():
        return
    from torch.distributed.fsdp import FSDPModule

    yield from (module for module in model.modules() if isinstance(module, FSDPModule))


def _several() -> bool:
    # torch's shards take a second to import
    return dist.is_available() and dist.is_initialized()


def _average_undivided(accelerator: Accelerator, model: nn.Module) -> None:
    """Average the gradients that torch leaves as each process has them: of what is not divided."""
    alone = [p for p in model.parameters() if p.requires_grad and not _is_part(p)]
    if not alone:
        return
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in alone]
    present = [torch.zeros_like(p) if p.grad is None else torch.ones_like(p) for p in alone]
    sums = accelerator.reduce(torch.stack([*grads, *present]))
    for parameter, total, count in zip(alone, sums[: len(alone)], sums[len(alone) :], strict=True):
        if bool(count):
            parameter.grad = total / accelerator.num_processes
