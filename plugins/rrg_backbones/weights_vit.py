"""Weights of vision transformers, timm's and Hugging Face's."""

import re
from collections.abc import Mapping

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rrg_backbones.stem import LinearStem
from rrg_backbones.weights import Checkpoint, Names, check_trunk, looks_local
from rrg_backbones.weights_timm import read_published
from rrgcore.api import WeightsError

FAMILY = "vit*"
"""Of timm's names."""

_HEADS = ("head.", "classifier.", "pooler.", "pre_logits.", "mask_token", "decoder.")


def read_vit(
    weights: str, *, trunks: Mapping[str, nn.Module], stem: nn.Module, grid: tuple[int, int]
) -> dict[str, Tensor]:
    """Return values for our parameters; raises WeightsError unless weights are there and fit."""
    checkpoint = read_published(weights, family=FAMILY)
    names = Names(checkpoint, rename=_as_timm)
    projection = names.take("patch_embed.proj.weight")
    patch_size = projection.shape[-1]
    if not isinstance(stem, LinearStem) or stem.patch_size != patch_size:
        raise WeightsError(
            f"the weights '{weights}' embed patches of {patch_size} pixels by one linear map; "
            f"the encoder, patches of {stem.patch_size} by a {type(stem).__name__}. "
            f"Set patch_size: {patch_size}, stem: linear in vit"
        )
    depth = names.count("blocks.")
    for trunk in trunks.values():
        check_trunk(
            checkpoint,
            trunk,
            norm="pre",
            found={
                "dim": projection.shape[0],
                "depth": depth,
                "heads": _heads(checkpoint),
                "hidden": names.peek("blocks.0.mlp.fc1.weight").shape[0],
            },
        )
    values = {
        "stem.project.weight": rearrange(projection, "d c p q -> d (c p q)"),
        "stem.project.bias": names.take("patch_embed.proj.bias"),
        "cls_token": names.take("cls_token"),
        "positions": resample_positions(names.take("pos_embed"), grid),
    }
    stack = {
        f"layers.{index}.{key}": value
        for index in range(depth)
        for key, value in _block(names, index).items()
    }
    for kind in ("weight", "bias"):
        stack[f"last_norm.{kind}"] = names.take(f"norm.{kind}")
    names.check_spent(ignore=_HEADS)
    for prefix in trunks:
        values |= {f"{prefix}.{key}": value for key, value in stack.items()}
    return values


def resample_positions(
    positions: Float[Tensor, "1 m d"], grid: tuple[int, int]
) -> Float[Tensor, "1 n d"]:
    """Stretch learned positions, [CLS] apart, to another grid (bicubic, as timm does)."""
    cls, patches = positions[:, :1], positions[:, 1:]
    side = round(patches.shape[1] ** 0.5)
    if side * side != patches.shape[1]:
        raise WeightsError(
            f"{positions.shape[1]} positions are not a square of patches and a [CLS]"
        )
    if (side, side) == grid:
        return positions
    image = rearrange(patches, "one (h w) d -> one d h w", h=side).float()
    image = F.interpolate(image, size=grid, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([cls, rearrange(image, "one d h w -> one (h w) d").to(cls.dtype)], dim=1)


_SUBLAYERS = {
    "attention_norm": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.out": "attn.proj",
    "ffn_norm": "norm2",
    "ffn.0": "mlp.fc1",
    "ffn.2": "mlp.fc2",
}


def _block(names: Names, index: int) -> dict[str, Tensor]:
    block: dict[str, Tensor] = {}
    for ours, theirs in _SUBLAYERS.items():
        for kind in ("weight", "bias"):
            name = f"blocks.{index}.{theirs}.{kind}"
            if theirs == "attn.qkv" and name not in names:
                parts = [f"blocks.{index}.attn.{part}.{kind}" for part in "qkv"]
                block[f"{ours}.{kind}"] = names.take(*parts)
            else:
                block[f"{ours}.{kind}"] = names.take(name)
    return block


_RENAMES = (
    (r"^vit\.", ""),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"^layers\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.(?:attention\.)?(q|k|v)(?:uery|ey|alue|_proj)\.", r".attn.\1."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"^layernorm\.", "norm."),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
)


def _as_timm(name: str) -> str:
    """Return timm's name of a Hugging Face ViT's tensor; timm's own names pass unchanged."""
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _heads(checkpoint: Checkpoint) -> int | None:
    """Return how many heads weights were trained with, where anything says so."""
    if (heads := checkpoint.config.get("num_attention_heads")) is not None:
        return int(heads)
    architecture = checkpoint.config.get("architecture") or checkpoint.name
    arguments = dict(checkpoint.config.get("model_args", {}))
    if looks_local(architecture) or not re.match(r"^[a-z0-9_.]+$", architecture):
        return None
    import timm

    if not timm.is_model(architecture):
        return None
    with torch.device("meta"):
        model = timm.create_model(architecture, pretrained=False, **arguments)
    return int(model.blocks[0].attn.num_heads)
