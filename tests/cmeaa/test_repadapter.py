"""RepAdapter: the identity at first, one linear layer in the end."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from rrg_cmeaa.repadapter import RepAdapter
from rrgcore.api import UserError
from rrgcore.checkpoint import load_model, save_model


def make_adapter(dim: int = 12, **options) -> RepAdapter:
    """Make one that has learned something."""
    adapter = RepAdapter(image_dim=dim, **options)
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    return adapter


def test_it_begins_as_the_identity():
    x = torch.randn(2, 5, 12)
    assert torch.equal(RepAdapter(image_dim=12)(x), x)


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 4),
    channels=st.integers(1, 5),
    units=st.integers(1, 4),
    outputs=st.integers(1, 7),
    scale=st.floats(-10, 10),
    bias=st.booleans(),
)
def test_merged_into_the_next_layer_it_gives_the_same(
    groups, channels, units, outputs, scale, bias
):
    torch.manual_seed(0)
    dim = groups * channels
    adapter = make_adapter(dim, hidden=groups * units, groups=groups, scale=scale).double().eval()
    following = nn.Linear(dim, outputs, bias=bias).double()
    x = torch.randn(3, dim, dtype=torch.float64)
    near = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(adapter.merge(following)(x), following(adapter(x)), **near)
    torch.testing.assert_close(adapter.merge()(x), adapter(x), **near)


def test_a_block_of_channels_sees_its_own_units_only():
    adapter = make_adapter(hidden=4, groups=2)
    dense = adapter.up.dense()
    assert not dense[:6, 2:].any()
    assert not dense[6:, :2].any()
    assert dense[:6, :2].all()


def test_one_adapter_merges_into_each_of_the_layers_that_read_it():
    adapter, x = make_adapter().eval(), torch.randn(4, 12)
    for layer in (nn.Linear(12, 12), nn.Linear(12, 3)):
        before = layer.weight.clone()
        torch.testing.assert_close(adapter.merge(layer)(x), layer(adapter(x)), rtol=0, atol=1e-4)
        assert torch.equal(layer.weight, before)


def test_a_merged_layer_has_the_type_of_the_one_it_replaces():
    merged = make_adapter().eval().merge(nn.Linear(12, 3, dtype=torch.bfloat16))
    assert merged.weight.dtype == merged.bias.dtype == torch.bfloat16


class Quantised(nn.Linear):
    """Its weight is something else."""


@pytest.mark.parametrize(
    ("following", "said"),
    [
        (nn.Linear(8, 3), "of width 12 does not merge into a linear layer that reads 8"),
        (nn.GELU(), "merges into a plain nn.Linear, not into GELU"),
        (Quantised(12, 3), "not into Quantised"),
    ],
)
def test_what_it_cannot_merge_into_is_refused(following, said):
    adapter = make_adapter().eval()
    with pytest.raises(UserError, match=said):
        adapter.merge(following)


def test_merging_in_training_is_refused():
    with pytest.raises(UserError, match=r"call eval\(\) before merge\(\)"):
        make_adapter().merge()


@pytest.mark.parametrize("options", [{"hidden": 3}, {"groups": 5}, {"groups": 0}, {"hidden": 0}])
def test_sizes_that_do_not_divide_are_refused(options):
    with pytest.raises(UserError, match="groups"):
        RepAdapter(image_dim=12, **options)


def test_siblings_hold_one_down_projection_which_is_saved_once(tmp_path: Path):
    def pair() -> nn.ModuleList:
        first = make_adapter(scale=0.5)
        return nn.ModuleList([first, first.sibling()])

    adapters = pair()
    first, second = adapters
    assert first.down is second.down
    assert second.scale == 0.5
    assert first.up.weight is not second.up.weight
    save_model(tmp_path, adapters)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert [name for name in file.keys() if "down" in name] == [  # noqa: SIM118
            "0.down.bias",
            "0.down.weight",
        ]
        assert json.loads(file.metadata()["aliases"])["1.down.weight"] == "0.down.weight"
    other = pair()
    load_model(tmp_path, other)
    assert torch.equal(other[1].down.weight, first.down.weight)
