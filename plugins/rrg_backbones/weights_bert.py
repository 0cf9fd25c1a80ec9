"""Weights of Hugging Face's BERT."""

import re
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from rrg_backbones.weights import Names, check_trunk, read_checkpoint
from rrgcore.api import Tokenizer, WeightsError, WordTokenizer

_IGNORED = ("pooler.", "classifier.", "cls.seq_relationship.", "cls.predictions.decoder.")


def read_bert(
    weights: str,
    *,
    trunks: Mapping[str, nn.Module],
    tokenizer: Tokenizer,
    max_tokens: int,
    words: Float[Tensor, "vocab d"],
    bias: Float[Tensor, " vocab"],
) -> dict[str, Tensor]:
    """Return values for our parameters; raises WeightsError unless weights are there and fit.

    Rows of tokens that were added to the tokenizer keep the values of `words` and `bias`, as does
    the head where the checkpoint has none. A tokenizer of words shares no row with BERT's: its
    embedding and the head's bias are learned anew. Cross-attention is read where the checkpoint has
    it (a BERT trained as a decoder).
    """
    checkpoint = read_checkpoint(weights)
    names = Names(checkpoint, rename=_modern)
    if (activation := checkpoint.config.get("hidden_act", "gelu")) != "gelu":
        raise WeightsError(f"the weights '{weights}' were trained with {activation}; ours is gelu")
    theirs = names.take("embeddings.word_embeddings.weight")
    depth = names.count("encoder.layer.")
    for trunk in trunks.values():
        check_trunk(
            checkpoint,
            trunk,
            norm="post",
            found={
                "dim": theirs.shape[1],
                "depth": depth,
                "heads": checkpoint.config.get("num_attention_heads"),
                "hidden": names.peek("encoder.layer.0.intermediate.dense.weight").shape[0],
            },
        )
    positions = names.take("embeddings.position_embeddings.weight")
    if len(positions) < max_tokens:
        raise WeightsError(
            f"the weights '{weights}' have {len(positions)} positions; max_tokens is {max_tokens}. "
            f"Set max_tokens: {len(positions)} in bert"
        )
    values = {
        "embeddings.position.weight": positions[:max_tokens],
        "embeddings.token_type.weight": names.take("embeddings.token_type_embeddings.weight"),
        **_pair(names, "embeddings.norm", "embeddings.LayerNorm"),
    }
    same_words = not isinstance(tokenizer, WordTokenizer)
    if same_words:
        if len(theirs) > len(words):
            raise WeightsError(
                f"the weights '{weights}' have {len(theirs)} words; the tokenizer, "
                f"{len(tokenizer)}. Name the weights' own tokenizer; where it is theirs, set "
                f"vocabulary: {len(theirs)} in bert"
            )
        values["embeddings.word.weight"] = _first_rows(theirs, words)
    if "cls.predictions.transform.dense.weight" in names:
        values |= _pair(names, "head.dense", "cls.predictions.transform.dense")
        values |= _pair(names, "head.norm", "cls.predictions.transform.LayerNorm")
        their_bias = names.take("cls.predictions.bias")
        if same_words:
            values["head.bias"] = _first_rows(their_bias, bias)
    layers = [_layer(names, index) for index in range(depth)]
    names.check_spent(ignore=_IGNORED)
    for prefix, trunk in trunks.items():
        ours = dict(trunk.named_parameters())
        for index, layer in enumerate(layers):
            named = {f"layers.{index}.{key}": value for key, value in layer.items()}
            values |= {f"{prefix}.{key}": value for key, value in named.items() if key in ours}
    return values


_SUBLAYERS = {
    "attention_norm": "attention.output.LayerNorm",
    "attention.out": "attention.output.dense",
    "cross_norm": "crossattention.output.LayerNorm",
    "cross.q": "crossattention.self.query",
    "cross.out": "crossattention.output.dense",
    "ffn.0": "intermediate.dense",
    "ffn.2": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
_FUSED = {
    "attention.qkv": ("attention.self", ("query", "key", "value")),
    "cross.kv": ("crossattention.self", ("key", "value")),
}


def _layer(names: Names, index: int) -> dict[str, Tensor]:
    place = f"encoder.layer.{index}"
    attends = f"{place}.crossattention.self.query.weight" in names
    layer: dict[str, Tensor] = {}
    for ours, theirs in _SUBLAYERS.items():
        if attends or not ours.startswith("cross"):
            layer |= _pair(names, ours, f"{place}.{theirs}")
    for ours, (theirs, parts) in _FUSED.items():
        if attends or not ours.startswith("cross"):
            for kind in ("weight", "bias"):
                fused = [f"{place}.{theirs}.{part}.{kind}" for part in parts]
                layer[f"{ours}.{kind}"] = names.take(*fused)
    return layer


def _pair(names: Names, ours: str, theirs: str) -> dict[str, Tensor]:
    return {f"{ours}.{kind}": names.take(f"{theirs}.{kind}") for kind in ("weight", "bias")}


def _first_rows(theirs: Tensor, ours: Tensor) -> Tensor:
    rows = ours.detach().cpu().clone()
    rows[: len(theirs)] = theirs
    return rows


_RENAMES = (
    (r"^bert\.", ""),
    (r"\.gamma$", ".weight"),  # the first BERTs were converted from TensorFlow's names
    (r"\.beta$", ".bias"),
    (r"^embeddings\.position_ids$", "pooler.position_ids"),
    (r"^cls\.predictions\.decoder\.bias$", "cls.predictions.bias"),
)


def _modern(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
