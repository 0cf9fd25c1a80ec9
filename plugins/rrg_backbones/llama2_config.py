"""What a Llama is: as its published configuration says, or as a recipe states."""

from collections.abc import Mapping
from typing import Any

from rrg_backbones.llama2_loading import find_weights, read_config
from rrgcore.api import UserError, WeightsError

FIELDS: Mapping[str, str] = {
    "dim": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "hidden": "intermediate_size",
    "vocabulary": "vocab_size",
    "max_tokens": "max_position_embeddings",
}
"""Our options, and what they are called in a config.json."""

KINDS = ("llama", "mistral")
"""What is a Llama in all but name."""

_OTHERS = (
    *("model_type", "rope_parameters", "rms_norm_eps", "hidden_act", "tie_word_embeddings"),
    *("head_dim", "attention_bias", "mlp_bias", "sliding_window"),
)


def check_options(
    weights: str | None, frozen: bool, dtype: str, quantize: str | None, lora_rank: int
) -> None:
    """Raise UserError for options that exclude each other."""
    if lora_rank < 0:
        raise UserError(f"lora_rank is {lora_rank}; expected 0 (none) or more")
    for name, said in (("quantize", quantize), ("lora_rank", lora_rank)):
        if said and not frozen:
            raise UserError(f"{name}: {said} is for a model that stands still: leave frozen: true")
    if not frozen and dtype != "float32":
        raise UserError(
            f"dtype: {dtype} is too coarse for a model that learns: leave it out, and set "
            "`precision: bf16` in the stage"
        )
    if quantize and weights is None:
        raise UserError(f"quantize: {quantize} needs weights: random values teach nothing")
    if quantize and dtype == "float32":
        raise UserError(f"quantize: {quantize} computes in half precision: set dtype: bfloat16")


def config_of(weights: str | None, sizes: Mapping[str, int | None], *, tokens: int) -> Any:
    """Return the configuration of published weights, else one of the sizes that are stated.

    It is the latter, too, where weights have a hub name and their configuration is not at hand:
    `rrg show` counts without a network. Reading them then raises WeightsError where it differs.
    """
    if weights is None:
        return new_config(sizes, tokens=tokens)
    published = read_config(weights)
    if published is None:
        return new_config(sizes, tokens=None)
    check_published(weights, published, sizes)
    return published


DEEPEST = 1000
"""Layers; ten times those of the largest Llama. Each is built, if only to be counted."""


def new_config(sizes: Mapping[str, int | None], *, tokens: int | None) -> Any:
    """Make a configuration; sizes that are left out are Llama-2-7B's.

    `tokens` is the vocabulary where none is stated. `hidden` follows Llama's rule, two thirds of
    4·dim up to the next multiple of 256 (11,008 for 4,096). Raises UserError for sizes that do not
    divide.
    """
    from transformers import LlamaConfig  # takes seconds: only where a Llama is wanted

    stated = {key: size for key, size in sizes.items() if size is not None}
    if small := [f"{key}: {size}" for key, size in stated.items() if size < 1]:
        raise UserError(f"{', '.join(small)}: expected at least 1")
    if stated.get("depth", 0) > DEEPEST:
        raise UserError(f"depth is {stated['depth']}; expected at most {DEEPEST:,} layers")
    dim, heads = stated.get("dim", 4096), stated.get("heads", 32)
    kv_heads = stated.get("kv_heads", heads)
    if dim % (2 * heads):
        raise UserError(
            f"dim {dim} does not make {heads} heads of an even width, which rotary positions need"
        )
    if heads % kv_heads:
        raise UserError(f"heads {heads} is no multiple of kv_heads {kv_heads}")
    return LlamaConfig(
        hidden_size=dim,
        num_hidden_layers=stated.get("depth", 32),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=stated.get("hidden", -(-8 * dim // (3 * 256)) * 256),
        vocab_size=stated.get("vocabulary", tokens or 32_000),
        max_position_embeddings=stated.get("max_tokens", 4096),
        rms_norm_eps=1e-5,
    )


def check_published(weights: str, config: Any, sizes: Mapping[str, int | None]) -> None:
    """Raise WeightsError for a configuration that is no Llama's, or where the recipe states other
    sizes; fewer `max_tokens` than weights have positions are good.
    """
    if config.model_type not in KINDS:
        raise WeightsError(
            f"the weights '{weights}' are a {config.model_type}; llama2 reads the architectures "
            f"{' and '.join(KINDS)}"
        )
    if method := (getattr(config, "quantization_config", None) or {}):
        kind = method.get("quant_method", "unknown") if isinstance(method, Mapping) else method
        raise WeightsError(
            f"the weights '{weights}' are quantized already ({kind}): name the original ones, and "
            "set `quantize` in llama2"
        )
    differ = {
        key: found
        for key, size in sizes.items()
        if size is not None
        and size != (found := getattr(config, FIELDS[key]))
        and not (key == "max_tokens" and size < found)
    }
    if differ:
        theirs = ", ".join(f"{key}: {size}" for key, size in differ.items())
        ours = ", ".join(f"{key}: {sizes[key]}" for key in differ)
        raise WeightsError(
            f"the weights '{weights}' have {theirs}; the recipe says {ours}. "
            "Leave sizes out: they come from the weights"
        )


def check_same(weights: str, built: Any) -> None:
    """Raise WeightsError where a model was built as something else than its weights are."""
    found = read_config(weights)
    if found is None:
        find_weights(weights)
        raise WeightsError(f"the weights '{weights}' have no config.json, which says what they are")
    check_published(weights, found, {})
    names = {field: key for key, field in FIELDS.items() if key != "max_tokens"}
    names |= {field: field for field in _OTHERS}
    differ = [
        f"{ours}: {there} (not {here})"
        for field, ours in names.items()
        if (there := getattr(found, field, None)) != (here := getattr(built, field, None))
    ]
    if differ:
        raise WeightsError(
            f"the weights '{weights}' have {', '.join(differ)}: their config.json was not at hand "
            "when the model was built, and is now. Start again"
        )
