"""KIA's eq. 1, computed elsewhere in float64, through the trunk."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rrg_backbones.transformer import Transformer


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def case(golden) -> dict[str, Any]:
    return golden("kia_layer")


@pytest.fixture
def trunk(case) -> Transformer:
    params = case["params"]
    own, cross, norms = params["SA"], params["CA"], params["layernorms"]
    trunk = Transformer(dim=8, depth=1, heads=params["heads"], hidden=16, cross_layers="all")
    state = {
        "attention.qkv.weight": torch.cat([tensor(own[f"W{part}"]) for part in "qkv"]),
        "attention.qkv.bias": torch.cat([tensor(own[f"b{part}"]) for part in "qkv"]),
        "attention.out.weight": tensor(own["Wo"]),
        "attention.out.bias": tensor(own["bo"]),
        "cross.q.weight": tensor(cross["Wq"]),
        "cross.q.bias": tensor(cross["bq"]),
        "cross.kv.weight": torch.cat([tensor(cross[f"W{part}"]) for part in "kv"]),
        "cross.kv.bias": torch.cat([tensor(cross[f"b{part}"]) for part in "kv"]),
        "cross.out.weight": tensor(cross["Wo"]),
        "cross.out.bias": tensor(cross["bo"]),
        "ffn.0.weight": tensor(params["ffn_W1"]),
        "ffn.0.bias": tensor(params["ffn_b1"]),
        "ffn.2.weight": tensor(params["ffn_W2"]),
        "ffn.2.bias": tensor(params["ffn_b2"]),
    }
    for ours, theirs in (("attention", "sa"), ("cross", "ca"), ("ffn", "ffn")):
        state[f"{ours}_norm.weight"] = tensor(norms[f"ln_{theirs}"]["gamma"])
        state[f"{ours}_norm.bias"] = tensor(norms[f"ln_{theirs}"]["beta"])
    trunk = trunk.double().eval()
    trunk.load_state_dict({f"layers.0.{key}": value for key, value in state.items()})
    return trunk


def close(actual: Tensor, expected: Any) -> None:
    expected = expected if isinstance(expected, Tensor) else tensor(expected)
    torch.testing.assert_close(actual, expected, atol=1e-9, rtol=0)


def test_without_a_context_eq_1b_is_left_out(trunk, case):
    close(trunk(tensor(case["inputs"]["X"])), case["expected"]["unimodal"]["out"])


def test_with_a_context_the_layer_reads_it(trunk, case):
    x, other = tensor(case["inputs"]["X"]), tensor(case["inputs"]["E_other_modality"])
    close(trunk(x, context=other), case["expected"]["multimodal"]["out"])


def test_each_equation_by_itself(trunk, case):
    x, other = tensor(case["inputs"]["X"]), tensor(case["inputs"]["E_other_modality"])
    expected = case["expected"]["multimodal"]
    layer = trunk.layers[0]
    after_1a = layer.attend(x, None, causal=False)
    close(after_1a, expected["after_1a"])
    after_1b = layer.read(after_1a, layer.cross.project(other), None)
    close(after_1b, expected["after_1b"])
    close(layer.feed_forward(after_1b), expected["out"])


def test_padded_words_are_not_looked_at(trunk, case):
    x, other = tensor(case["inputs"]["X"]), tensor(case["inputs"]["E_other_modality"])
    mask = torch.tensor(case["inputs"]["text_mask"]).bool()
    close(trunk(x, mask=mask, context=other), case["expected"]["multimodal_with_padding"])


def test_the_decoder_is_the_same_layer_run_causally(trunk, case):
    x, other = tensor(case["inputs"]["X"]), tensor(case["inputs"]["E_other_modality"])
    mask = torch.tensor(case["inputs"]["text_mask"]).bool()
    expected = tensor(case["expected"]["decoder_causal_multimodal"])
    close(trunk(x, mask=mask, context=other, causal=True), expected)
    close(trunk(x, context=other, causal=True)[mask], expected[mask])


def test_the_decoder_writes_word_by_word_what_it_says_at_once(trunk, case):
    x, other = tensor(case["inputs"]["X"]), tensor(case["inputs"]["E_other_modality"])
    mask = torch.tensor(case["inputs"]["text_mask"]).bool()
    cache = trunk.begin(other)
    steps = torch.cat([trunk.extend(x[:, i : i + 1], cache) for i in range(x.shape[1])], dim=1)
    close(steps[mask], tensor(case["expected"]["decoder_causal_multimodal"])[mask])
