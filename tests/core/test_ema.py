"""The momentum twin: what moves, what is shared, what stays out."""

from collections.abc import Iterable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from rrgcore.ema import EmaTwin
from rrgcore.interfaces import CrossModal, TextEncoder
from rrgcore.tokens import WordTokenizer
from rrgcore.types import Encoded, Tokens


class Tower(nn.Module):
    """Something with a trunk, which it may share with another."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(2, 2)


class Crossing(Tower, CrossModal):
    """A tower that has a module for the other modality."""

    def __init__(self, trunk: nn.Module, cross: nn.Module) -> None:
        super().__init__(trunk)
        self.cross = cross

    def cross_modal(self) -> Iterable[nn.Module]:
        return [self.cross]


class Reads(Tower, TextEncoder):
    """A tower that holds a tokenizer."""

    text_dim = 2

    def __init__(self, trunk: nn.Module, tokenizer: WordTokenizer) -> None:
        super().__init__(trunk)
        self.tokenizer = tokenizer

    def encode_text(self, tokens: Tokens) -> Encoded:
        raise AssertionError("not read here")


def shift(module: nn.Module, by: float) -> None:
    """Stand in for an optimizer step."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(by)


def test_the_twin_starts_as_the_modules_are() -> None:
    tower = Tower(nn.Linear(2, 2))
    twin = EmaTwin({"image": tower}, momentum=0.9)
    for name, parameter in twin["image"].named_parameters():
        original = tower.get_parameter(name)
        assert torch.equal(parameter, original)
        assert parameter.data_ptr() != original.data_ptr()


def test_an_update_moves_by_one_minus_the_momentum() -> None:
    tower = Tower(nn.Linear(2, 2))
    before = deepcopy(tower)
    twin = EmaTwin({"image": tower}, momentum=0.9)
    shift(tower, 1.0)
    twin.update()
    twin.update()
    for name, parameter in twin["image"].named_parameters():
        expected = before.get_parameter(name) + 1 - 0.9**2
        torch.testing.assert_close(parameter.data, expected.data)


@pytest.mark.parametrize(("momentum", "moved"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_two_ends_of_momentum(momentum: float, moved: float) -> None:
    tower = Tower(nn.Linear(2, 2))
    before = tower.head.weight.detach().clone()
    twin = EmaTwin({"image": tower}, momentum=momentum)
    shift(tower, 1.0)
    twin.update()
    torch.testing.assert_close(twin["image"].head.weight.data, before + moved)


def test_a_shared_trunk_stays_one_trunk() -> None:
    trunk = nn.Linear(2, 2)
    image, text = Tower(trunk), Tower(trunk)
    twin = EmaTwin({"image": image, "text": text}, momentum=0.5)
    assert twin["image"].trunk is twin["text"].trunk
    assert twin["image"].trunk is not trunk
    before = trunk.weight.detach().clone()
    shift(trunk, 1.0)
    twin.update()
    torch.testing.assert_close(twin["text"].trunk.weight.data, before + 0.5)


def test_copied_one_by_one_a_shared_trunk_would_become_two() -> None:
    trunk = nn.Linear(2, 2)
    image, text = deepcopy(Tower(trunk)), deepcopy(Tower(trunk))
    assert image.trunk is not text.trunk


def test_a_frozen_parameter_is_shared_and_not_copied() -> None:
    tower = Tower(nn.Linear(2, 2).requires_grad_(False))
    twin = EmaTwin({"image": tower}, momentum=0.5)
    assert twin["image"].trunk.weight is tower.trunk.weight
    assert twin["image"].head.weight is not tower.head.weight
    shift(tower, 1.0)
    twin.update()
    assert twin["image"].trunk.weight is tower.trunk.weight


def test_nothing_of_the_twin_is_trained() -> None:
    twin = EmaTwin({"image": Tower(nn.Linear(2, 2))}, momentum=0.5)
    assert list(twin.parameters())
    assert not any(parameter.requires_grad for parameter in twin.parameters())


def test_making_a_twin_leaves_the_modules_trainable() -> None:
    tower = Tower(nn.Linear(2, 2))
    EmaTwin({"image": tower}, momentum=0.5)
    assert all(parameter.requires_grad for parameter in tower.parameters())


def test_the_online_modules_are_used_and_not_owned() -> None:
    tower = Tower(nn.Linear(2, 2))
    twin = EmaTwin({"image": tower}, momentum=0.5)
    assert set(twin.state_dict()) == {f"twin.image.{name}" for name in tower.state_dict()}
    assert tower not in list(twin.modules())


def test_buffers_are_taken_as_they_are() -> None:
    norm = nn.BatchNorm1d(2)
    twin = EmaTwin({"norm": norm}, momentum=0.9)
    norm(torch.tensor([[1.0, 2.0], [5.0, 7.0]]))
    twin.update()
    assert torch.equal(twin["norm"].running_mean, norm.running_mean)
    assert twin["norm"].num_batches_tracked == 1
    assert twin["norm"].running_mean is not norm.running_mean


def test_a_saved_twin_goes_on_where_it_was() -> None:
    tower = Tower(nn.Linear(2, 2))
    twin = EmaTwin({"image": tower}, momentum=0.5)
    shift(tower, 1.0)
    twin.update()
    again = EmaTwin({"image": tower}, momentum=0.5)
    again.load_state_dict(twin.state_dict())
    shift(tower, 1.0)
    twin.update()
    again.update()
    for name, value in twin.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_tied_weights_move_once() -> None:
    tower = Tower(nn.Linear(2, 2, bias=False))
    tower.head = nn.Linear(2, 2, bias=False)
    tower.head.weight = tower.trunk.weight
    before = tower.head.weight.detach().clone()
    twin = EmaTwin({"image": tower}, momentum=0.5)
    shift(tower, 1.0)
    twin.update()
    assert twin["image"].head.weight is twin["image"].trunk.weight
    torch.testing.assert_close(twin["image"].head.weight.data, before + 0.5)


def test_what_reads_the_other_modality_is_left_out() -> None:
    tower = Crossing(nn.Linear(2, 2), cross=nn.Linear(2, 2))
    twin = EmaTwin({"image": tower}, momentum=0.5)
    assert isinstance(twin["image"].cross, nn.Identity)
    assert isinstance(tower.cross, nn.Linear)
    shift(tower, 1.0)
    twin.update()


def test_what_one_tower_reads_alone_and_the_other_across_is_kept() -> None:
    both = nn.Linear(2, 2)
    towers = {"image": Crossing(nn.Linear(2, 2), cross=both), "text": Tower(both)}
    twin = EmaTwin(towers, momentum=0.5)
    assert isinstance(twin["text"].trunk, nn.Linear)
    assert twin["image"].cross is twin["text"].trunk


def test_a_tied_weight_whose_first_name_is_left_out_still_moves() -> None:
    tower = Crossing(nn.Linear(2, 2, bias=False), cross=nn.Linear(2, 2, bias=False))
    # registered first, so that the twin loses the name by which the weight goes online
    tower._modules = {"cross": tower.cross, "trunk": tower.trunk, "head": tower.head}
    tower.cross.weight = tower.trunk.weight
    before = tower.trunk.weight.detach().clone()
    twin = EmaTwin({"image": tower}, momentum=0.5)
    shift(tower, 1.0)
    twin.update()
    torch.testing.assert_close(twin["image"].trunk.weight.data, before + 0.5)


def test_a_tokenizer_is_not_copied() -> None:
    tokenizer = WordTokenizer(words=["heart"])
    twin = EmaTwin({"text": Reads(nn.Linear(2, 2), tokenizer)}, momentum=0.5)
    assert twin["text"].tokenizer is tokenizer


def test_a_copy_of_the_twins_owner_still_follows_the_same_modules() -> None:
    tower = Tower(nn.Linear(2, 2))
    twin = EmaTwin({"image": tower}, momentum=0.0)
    copied = deepcopy(twin)
    shift(tower, 1.0)
    copied.update()

    def weight(of: EmaTwin) -> Tensor:
        return of["image"].head.weight.data

    torch.testing.assert_close(weight(copied), tower.head.weight.data)
    assert not torch.equal(weight(copied), weight(twin))
