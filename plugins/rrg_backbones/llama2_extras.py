"""What a Llama does through packages that are extras: 8 and 4 bit, and LoRA."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rrgcore.api import UserError
from rrgcore.extras import how_to_install

Bits = Literal["8bit", "4bit"]
INSTALL = how_to_install("llm")
ADAPTER = "default"


def why_not_quantize(bits: Bits) -> str | None:
    """Say what is missing to hold a model in 8 or 4 bits."""
    if find_spec("bitsandbytes") is None:
        return f"quantize: {bits} needs the package bitsandbytes: {INSTALL}"
    if not torch.cuda.is_available():
        return f"quantize: {bits} needs a CUDA device, and torch finds none on this machine"
    return None


def quantize_linears(llm: Any, bits: Bits, *, dtype: torch.dtype) -> None:
    """Put bitsandbytes' linear maps in place of the layers'; the embedding and the head stay.

    They hold no values yet: each is quantized when its weight is read. Raises UserError where that
    cannot be.
    """
    if reason := why_not_quantize(bits):
        raise UserError(reason)
    import bitsandbytes as bnb

    # it tells of its own cast to float16, at every layer of every step
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    for name, linear in list(llm.model.named_modules()):
        if type(linear) is not nn.Linear:
            continue
        sizes: Any = (linear.in_features, linear.out_features)
        given: Any = {"bias": linear.bias is not None, "device": "meta"}
        if bits == "8bit":
            new: Any = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=6.0, **given)
            new.weight = bnb.nn.Int8Params(linear.weight.data, requires_grad=False)
        else:
            new = bnb.nn.Linear4bit(*sizes, quant_type="nf4", compute_dtype=dtype, **given)
            new.weight = bnb.nn.Params4bit(
                linear.weight.data, requires_grad=False, quant_type="nf4", module=new
            )
        new.bias = linear.bias
        llm.model.set_submodule(name, new)
    setattr(llm, f"is_loaded_in_{bits}", True)  # what peft goes by
    llm.register_state_dict_post_hook(_without_scales)


def say_bytes(llm: Any, bits: Bits) -> None:
    """Note on each weight how many bytes it takes once it is quantized, on a model without values.

    bitsandbytes keeps a scale a row beside 8 bits; beside 4 bits one a block of 64, held in 8 bits,
    and one a block of 256 of these.
    """
    for linear in llm.model.modules():
        if type(linear) is nn.Linear:
            count = linear.weight.numel()
            scales = 4 * linear.out_features
            if bits == "4bit":
                scales = count // 64 + 4 * (count // (64 * 256))
            held = count if bits == "8bit" else count // 2
            linear.weight.held_bytes = held + scales  # what rrgcore.memory asks for


def place_quantized(
    llm: nn.Module, name: str, value: Tensor, *, dtype: torch.dtype, device: torch.device
) -> bool:
    """Quantize the weight of one of bitsandbytes' linear maps, on the device; False for others."""
    owner, _, kind = name.rpartition(".")
    module: Any = llm.get_submodule(owner)
    held = getattr(module, kind)
    if type(held).__name__ == "Int8Params":
        new = type(held)(value.to(dtype), requires_grad=False)
    elif type(held).__name__ == "Params4bit":
        new = type(held)(value.to(dtype), requires_grad=False, quant_type="nf4", module=module)
    else:
        return False
    setattr(module, kind, new.to(device))
    return True


def shape_of(llm: nn.Module, name: str) -> tuple[int, ...]:
    """Return the shape that a published tensor has, in however few bits it may be held here."""
    owner, _, kind = name.rpartition(".")
    module = llm.get_submodule(owner)
    if kind == "weight" and isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    return tuple(getattr(module, kind).shape)


def add_lora(llm: Any, *, rank: int, alpha: float, dropout: float, targets: Sequence[str]) -> None:
    """Put LoRA's matrices beside linear maps, in place; raises UserError where that cannot be.

    y = W x + alpha/rank · B A x, with B zero at first. The matrices are float32 whatever the model
    is held in.
    """
    if find_spec("peft") is None:
        raise UserError(f"lora_rank: {rank} needs the package peft: {INSTALL}")
    from peft import LoraConfig, inject_adapter_in_model

    linear = {
        name.rpartition(".")[2]
        for name, part in llm.model.named_modules()
        if isinstance(part, nn.Linear)
    }
    if unknown := sorted(set(targets) - linear):
        raise UserError(
            f"lora_targets: there is no linear map '{unknown[0]}' in the layers. "
            f"Known: {', '.join(sorted(linear))}"
        )
    options: Any = {"lora_alpha": alpha, "lora_dropout": dropout, "target_modules": list(targets)}
    inject_adapter_in_model(LoraConfig(r=rank, **options), llm, adapter_name=ADAPTER)
    for name, parameter in llm.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
        parameter.requires_grad_("lora_" in name)


def _without_scales(llm: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    """Leave out of a state what quantization makes of the weights: reading them makes it again."""
    own = {prefix + name for name, _ in llm.named_parameters(remove_duplicate=False)}
    own |= {prefix + name for name, _ in llm.named_buffers(remove_duplicate=False)}
    for name in [name for name in state if name.startswith(prefix) and name not in own]:
        del state[name]
