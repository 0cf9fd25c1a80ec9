"""Weights of Swin Transformers: timm's, Microsoft's own files, Hugging Face's."""

import re
from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rrg_backbones.weights import Checkpoint, Names, check_sizes
from rrg_backbones.weights_timm import read_published
from rrgcore.api import WeightsError

FAMILY = "swin_*"
"""Of timm's names."""

_CONFIG = {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "use_absolute_embeddings": False}
"""What Hugging Face's configurations may change and timm's Swin has fixed."""

_BUFFERS = ("relative_position_index", "attn_mask")

_HEADS = ("head.", "classifier.", "mask_token", "decoder.")


def read_swin(weights: str, *, body: nn.Module, sizes: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return values for timm's SwinTransformer; raises WeightsError unless weights fit.

    Where windows have another size, tables of relative positions are resampled (bicubic, as
    Microsoft's own loader does).
    """
    checkpoint = read_published(weights, family=FAMILY)
    for key, value in _CONFIG.items():
        if (found := checkpoint.config.get(key, value)) != value:
            raise WeightsError(f"the weights '{weights}' have {key}: {found}; ours is {value}")
    names = _named(checkpoint)
    check_sizes(weights, _sizes(names), sizes, place="swin")
    values: dict[str, Tensor] = {}
    for name, _ in body.named_parameters():
        if ".attn.qkv." in name and name not in names:
            values[name] = names.take(*(name.replace("qkv", part) for part in "qkv"))
        else:
            values[name] = names.take(name)
    names.check_spent(ignore=_HEADS)
    return values | _resampled(values, body, weights)


def _named(checkpoint: Checkpoint) -> Names:
    """Give tensors timm's names, q, k and v apart where they are stored so.

    timm merges patches as a stage begins, the others as one ends: the first stage tells them apart.
    """
    tensors = {
        key: tensor for key, tensor in checkpoint.tensors.items() if not key.endswith(_BUFFERS)
    }
    merges_last = any("layers.0.downsample." in key for key in tensors)

    def rename(name: str) -> str:
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        stage = re.match(r"layers\.(\d+)(?=\.downsample\.)", name)
        if stage and merges_last:
            return f"layers.{int(stage[1]) + 1}{name[stage.end() :]}"
        return name

    return Names(replace(checkpoint, tensors=tensors), rename=rename)


_RENAMES = (
    (r"^swin\.", ""),
    (r"^encoder\.layers\.", "layers."),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.norm\.", "patch_embed.norm."),
    (r"^embeddings\.mask_token$", "mask_token"),
    (r"^layernorm\.", "norm."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.(?:self\.)?(q|k|v)(?:uery|ey|alue|_proj)\.", r".attn.\1."),
    (r"\.attention\.(?:self|relative_position_bias)\.", ".attn."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)


def _sizes(names: Names) -> dict[str, Any]:
    """Read off the shapes what an encoder must be built with."""
    projection = names.peek("patch_embed.proj.weight")
    stages = range(names.count("layers."))
    tables = [names.peek(f"layers.{stage}.blocks.0.{_TABLE}") for stage in stages]
    windows = [_window(table, names.name) for table in tables]
    if max(windows) > windows[0]:
        raise WeightsError(
            f"the weights '{names.name}' have windows of {windows} patches in their stages; "
            "swin has one size for all"
        )
    return {
        "patch_size": projection.shape[-1],
        "dim": projection.shape[0],
        "depths": [names.count(f"layers.{stage}.blocks.") for stage in stages],
        "heads": [table.shape[1] for table in tables],
    }


_TABLE = "attn.relative_position_bias_table"


def _window(table: Float[Tensor, "m heads"], name: str) -> int:
    side = isqrt(len(table))
    if side * side != len(table) or side % 2 == 0:
        raise WeightsError(f"the weights '{name}' have {len(table)} relative positions: no square")
    return (side + 1) // 2


def _resampled(values: Mapping[str, Tensor], body: nn.Module, weights: str) -> dict[str, Tensor]:
    """Fit tables of relative positions to windows of another size."""
    return {
        name: resample_table(values[name], _window(parameter, weights))
        for name, parameter in body.named_parameters()
        if name.endswith(_TABLE) and len(values[name]) != len(parameter)
    }


def resample_table(table: Float[Tensor, "m heads"], window: int) -> Float[Tensor, "k heads"]:
    """Stretch a square of relative positions to that of another window (bicubic)."""
    image = rearrange(table.float(), "(h w) heads -> 1 heads h w", h=isqrt(len(table)))
    size = 2 * window - 1
    image = F.interpolate(image, size=(size, size), mode="bicubic", align_corners=False)
    return rearrange(image, "1 heads h w -> (h w) heads").to(table.dtype)
