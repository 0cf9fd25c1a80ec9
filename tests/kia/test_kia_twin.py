"""The momentum twin, seen from outside."""

import copy

import torch
from torch import nn

from rrgcore.api import EmaTwin, WordTokenizer

from .fakes import TinyEncoder, TinyText


def test_a_trunk_that_two_modules_share_is_shared_in_the_twin():
    trunk = nn.Linear(2, 2)
    twin = EmaTwin({"a": nn.Sequential(trunk), "b": nn.Sequential(trunk)}, momentum=0.5)
    assert twin["a"][0] is twin["b"][0]
    assert twin["a"][0] is not trunk


def test_frozen_parameters_are_shared_and_do_not_move():
    linear = nn.Linear(2, 2)
    linear.weight.requires_grad_(False)
    twin = EmaTwin({"linear": linear}, momentum=0.5)
    assert twin["linear"].weight is linear.weight
    assert twin["linear"].bias is not linear.bias
    before = linear.weight.clone()
    twin.update()
    assert torch.equal(linear.weight, before)


def test_cross_modal_modules_are_left_out_and_one_modality_still_encodes():
    encoder = TinyEncoder()
    twin = EmaTwin({"encoder": encoder}, momentum=0.5)
    assert not any("cross" in name for name in twin.state_dict())
    assert isinstance(encoder.cross, nn.Linear)
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(twin["encoder"](images).tokens, encoder(images).tokens)
    twin.update()


def test_a_module_that_is_cross_modal_for_one_and_not_for_another_stays():
    encoder = TinyEncoder()
    twin = EmaTwin({"encoder": encoder, "other": nn.Sequential(encoder.cross)}, momentum=0.5)
    assert twin["other"][0] is twin["encoder"].cross
    assert isinstance(twin["other"][0], nn.Linear)


def test_a_tokenizer_is_not_copied():
    text = TinyText(WordTokenizer(words=["a"]))
    assert EmaTwin({"text": text}, momentum=0.5)["text"].tokenizer is text.tokenizer


def test_buffers_are_followed_at_once():
    norm = nn.BatchNorm1d(2)
    twin = EmaTwin({"norm": norm}, momentum=0.9)
    norm(torch.randn(8, 2) + 5)
    twin.update()
    assert torch.equal(twin["norm"].running_mean, norm.running_mean)


def test_twins_take_no_gradient_and_a_copy_of_the_owner_keeps_its_own():
    linear = nn.Linear(2, 2)
    twin = EmaTwin({"linear": linear}, momentum=0.5)
    assert not any(p.requires_grad for p in twin.parameters())
    assert linear.weight.requires_grad
    other = copy.deepcopy(twin)
    with torch.no_grad():
        linear.weight.add_(1)
    other.update()
    assert not torch.equal(other["linear"].weight, twin["linear"].weight)
