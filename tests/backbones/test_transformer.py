"""The trunk: masks, contexts, the cache, and what it refuses."""

import pytest
import torch

from rrg_backbones.transformer import Transformer
from rrgcore.api import UserError


def make_trunk(**options) -> Transformer:
    options = {"dim": 16, "depth": 2, "heads": 4, "cross_layers": "all", **options}
    return Transformer(**options).eval()


@pytest.fixture(params=["pre", "post"])
def trunk(request) -> Transformer:
    return make_trunk(norm=request.param)


def test_what_is_padded_changes_nothing(trunk):
    x, context = torch.randn(2, 5, 16), torch.randn(2, 4, 16)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    context_mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2])
    before = trunk(x, mask=mask, context=context, context_mask=context_mask)
    x, context = x.masked_fill(~mask[..., None], 7.0), context.clone()
    context[1, 2:] = -7.0
    after = trunk(x, mask=mask, context=context, context_mask=context_mask)
    torch.testing.assert_close(before[mask], after[mask])


def test_a_causal_row_knows_nothing_of_later_ones(trunk):
    x = torch.randn(1, 5, 16)
    before = trunk(x, causal=True)
    x[:, 3:] = torch.randn(1, 2, 16)
    after = trunk(x, causal=True)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_causal_with_a_full_mask_is_causal(trunk):
    x = torch.randn(2, 5, 16)
    full = torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(trunk(x, mask=full, causal=True), trunk(x, causal=True))


def test_causal_and_padding_at_the_front_go_together(trunk):
    x = torch.randn(1, 5, 16)
    mask = torch.tensor([[False, False, True, True, True]])
    padded = trunk(x, mask=mask, causal=True)
    torch.testing.assert_close(padded[:, 2:], trunk(x[:, 2:], causal=True))


@pytest.mark.parametrize("causal", [False, True])
def test_a_row_that_is_all_padding_makes_no_nan(trunk, causal):
    x = torch.randn(2, 3, 16, requires_grad=True)
    context = torch.randn(2, 4, 16)
    mask = torch.tensor([[True] * 3, [False] * 3])
    context_mask = torch.tensor([[False] * 4, [True] * 4])
    out = trunk(x, mask=mask, context=context, context_mask=context_mask, causal=causal)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    assert (
        trunk.attention(x, mask=mask, context=context, context_mask=context_mask).isfinite().all()
    )


def test_without_a_context_cross_attention_takes_no_part(trunk):
    trunk(torch.randn(2, 3, 16)).sum().backward()
    used = {name for name, parameter in trunk.named_parameters() if parameter.grad is not None}
    unused = {name for name, _ in trunk.named_parameters()} - used
    assert unused == {name for name, _ in trunk.named_parameters() if ".cross" in name}


def test_a_context_may_have_another_width():
    trunk = make_trunk(context_dim=6)
    assert trunk(torch.randn(2, 3, 16), context=torch.randn(2, 4, 6)).shape == (2, 3, 16)
    with pytest.raises(UserError, match="set context_dim: 16 in the trunk"):
        trunk(torch.randn(2, 3, 16), context=torch.randn(2, 4, 16))


def test_only_the_layers_that_are_named_read_the_context():
    trunk = make_trunk(depth=3, cross_layers=[2])
    x, context = torch.randn(2, 3, 16), torch.randn(2, 4, 16)
    assert [layer.cross is not None for layer in trunk.layers] == [False, False, True]
    assert trunk.attention(x, context=context).shape == (2, 1, 4, 3, 4)


def test_a_trunk_without_cross_layers_says_so_by_its_context_dim():
    trunk = make_trunk(cross_layers="none", context_dim=6)
    assert trunk.context_dim == 0
    with pytest.raises(UserError, match="cross_layers: all"):
        trunk(torch.randn(2, 3, 16), context=torch.randn(2, 4, 16))


def test_options_that_make_no_trunk_are_refused():
    with pytest.raises(UserError, match="dim 16 is not a multiple of heads 3"):
        make_trunk(heads=3)
    with pytest.raises(UserError, match="names layer 2; with depth 2 they are 0 to 1"):
        make_trunk(cross_layers=[0, 2])


def test_attention_weights_are_those_the_forward_uses(trunk):
    x, context = torch.randn(2, 3, 16), torch.randn(2, 4, 16)
    context_mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2])
    weights = trunk.attention(x, context=context, context_mask=context_mask)
    assert weights.shape == (2, 2, 4, 3, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4, 3))
    assert (weights[1, ..., 2:] == 0).all()
    layer = trunk.layers[0]
    y = layer.attend(x, None, causal=False)
    keys_values = layer.cross.project(context)
    mixed = weights[:, 0] @ keys_values[1]
    read = layer.cross.out(mixed.transpose(1, 2).flatten(2))
    expected = y + read if layer.pre else layer.cross_norm(y + read)
    allowed = context_mask[:, None, None]
    torch.testing.assert_close(layer.read(y, keys_values, allowed), expected)


@pytest.mark.parametrize("sizes", [[1] * 6, [3, 1, 2]])
def test_token_by_token_equals_all_at_once(trunk, sizes):
    x, context = torch.randn(2, 6, 16), torch.randn(2, 4, 16)
    context_mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2])
    full = trunk(x, context=context, context_mask=context_mask, causal=True)
    cache = trunk.begin(context, context_mask)
    parts = [trunk.extend(part, cache) for part in x.split(sizes, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), full)
    assert cache.length == 6


def test_a_cache_may_begin_without_a_context(trunk):
    x = torch.randn(2, 3, 16)
    cache = trunk.begin()
    steps = [trunk.extend(x[:, i : i + 1], cache) for i in range(3)]
    torch.testing.assert_close(torch.cat(steps, dim=1), trunk(x, causal=True))


@pytest.mark.parametrize(
    "rows",
    [[0, 1, 2], [0, 0, 1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 1], [2, 0, 0], [2, 1, 0], [1]],
    ids=["same", "two beams each", "one study done", "uneven", "mixed", "reversed", "one left"],
)
def test_selected_rows_go_on_as_if_they_had_been_alone(trunk, rows):
    x, context = torch.randn(3, 4, 16), torch.randn(3, 5, 16)
    context_mask = torch.rand(3, 5) > 0.4
    context_mask[:, 0] = True
    cache = trunk.begin(context, context_mask)
    trunk.extend(x[:, :2], cache)
    rows = torch.tensor(rows)
    cache.select(rows)
    third = trunk.extend(x[rows, 2:3], cache)
    again = torch.arange(len(rows)).flip(0)
    cache.select(again)
    fourth = trunk.extend(x[rows[again], 3:], cache)
    full = trunk(x, context=context, context_mask=context_mask, causal=True)
    torch.testing.assert_close(third, full[rows, 2:3])
    torch.testing.assert_close(fourth, full[rows[again], 3:])


def test_beams_of_a_study_share_its_keys():
    trunk = make_trunk()
    cache = trunk.begin(torch.randn(2, 5, 16))
    trunk.extend(torch.randn(2, 1, 16), cache)
    before = [keys_values.data_ptr() for keys_values in cache.context]
    cache.select(torch.tensor([0, 0, 0, 1, 1, 1]))
    cache.select(torch.tensor([2, 0, 0, 3, 5, 4]))
    assert [keys_values.data_ptr() for keys_values in cache.context] == before
    assert trunk.extend(torch.randn(6, 1, 16), cache).shape == (6, 1, 16)


def test_dropout_acts_in_training_alone():
    trunk = make_trunk(dropout=0.5)
    x = torch.randn(2, 3, 16)
    torch.testing.assert_close(trunk(x), trunk(x))
    trunk.train()
    assert not torch.allclose(trunk(x), trunk(x))


def test_sizes_are_those_of_bert_base():
    with torch.device("meta"):
        layer = Transformer(dim=768, depth=1, heads=12)
        reading = Transformer(dim=768, depth=1, heads=12, cross_layers="all")

    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(layer) == 7_087_872
    assert count(reading) - count(layer) == 2_363_904
