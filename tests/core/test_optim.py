"""Optimizers and schedules by torch's names: groups, exemptions, going on into the next stage."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rrgcore import load_recipe
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule, make_optimizer
from rrgcore.plugins import Discovered
from rrgcore.settings import OptimizerSettings, ScheduleSettings

TINY = Path(__file__).parent.parent / "tiny.yaml"
DECAY = {"weight_decay": 0.1}


@pytest.fixture
def model(finished: Any) -> ReportModel:
    return finished.model()


def groups(settings: OptimizerSettings, model: ReportModel) -> dict[str, tuple[float, float]]:
    """Return each parameter's learning rate and weight decay, by name."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in make_optimizer(settings, model).param_groups
        for p in group["params"]
    }


def exponential(gamma: float = 0.98) -> ScheduleSettings:
    return ScheduleSettings(name="ExponentialLR", options={"gamma": gamma})


def an_optimizer(lr: float = 1e-4) -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=lr)


def test_vectors_and_single_tokens_are_spared_weight_decay(model: ReportModel) -> None:
    found = groups(OptimizerSettings(name="AdamW", lr=1e-3, options=DECAY), model)

    for name, parameter in model.named_parameters():
        if name in found:
            vector = parameter.squeeze().dim() <= 1
            assert found[name] == (1e-3, 0.0 if vector else 0.1), name
    assert {decay for _, decay in found.values()} == {0.0, 0.1}


def test_exemptions_can_be_switched_off(model: ReportModel) -> None:
    settings = OptimizerSettings(name="AdamW", lr=1e-3, options=DECAY, exempt=False)

    assert set(groups(settings, model).values()) == {(1e-3, 0.1)}


def test_what_is_trainable_is_in_one_group_and_what_is_frozen_in_none(model: ReportModel) -> None:
    model.part("encoder").requires_grad_(False)
    found = groups(OptimizerSettings(name="SGD"), model)

    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("parts.encoder") for name in found)


def test_a_part_can_have_a_learning_rate_of_its_own(model: ReportModel) -> None:
    settings = OptimizerSettings(
        name="AdamW", lr=1e-3, lr_of={"encoder": 1e-5, "objectives.mim": 1e-4}
    )
    found = groups(settings, model)
    in_encoder = {id(p) for p in model.part("encoder").parameters()}
    in_mim = {id(p) for p in model.part("objectives.mim").parameters()}

    for name, parameter in model.named_parameters():
        if name in found:
            rate = 1e-5 if id(parameter) in in_encoder else 1e-3
            rate = 1e-4 if id(parameter) in in_mim else rate
            assert found[name][0] == rate, name
    assert {rate for rate, _ in found.values()} == {1e-5, 1e-4, 1e-3}


def test_stage_two_goes_on_with_the_rate_that_forty_epochs_have_left() -> None:
    """docs/papers/kia.md, K19: 1e-4 · 0.98^40."""
    before = an_optimizer()
    first = Schedule(exponential(), before, warmup=0)
    for _ in range(40):
        first.before_step()
        before.step()
        first.after_step()
        first.after_epoch()

    optimizer = an_optimizer()
    second = Schedule(exponential(), optimizer, warmup=0)
    second.continue_from(first.state_dict())
    second.before_step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(4.457e-5, rel=1e-4)
    optimizer.step()
    second.after_step()
    second.after_epoch()
    second.before_step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-4 * 0.98**41)


def test_each_group_goes_on_from_its_own_rate() -> None:
    before = an_optimizer(1e-2)
    first = Schedule(exponential(0.5), before, warmup=0)
    before.step()
    first.after_epoch()
    parameters = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": [p], "lr": lr} for p, lr in zip(parameters, (1e-2, 1e-4), strict=True)]
    )
    Schedule(exponential(0.5), optimizer, warmup=0).continue_from(first.state_dict())

    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([5e-3, 5e-5])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ExponentialLR", {"gamma": 0.9}),
        ("CosineAnnealingLR", {"T_max": 8}),
        ("StepLR", {"step_size": 3}),
        ("LinearLR", {}),
        ("MultiStepLR", {"milestones": [2, 4]}),
        ("PolynomialLR", {"total_iters": 9}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 12}),
        ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ],
)
def test_a_schedule_that_is_saved_and_loaded_goes_on_as_if_it_had_not_been(
    name: str, options: dict[str, Any]
) -> None:
    settings = ScheduleSettings(name=name, options=options, every="step")

    def play(optimizer: torch.optim.Optimizer, schedule: Schedule, count: int) -> list[float]:
        rates = []
        for _ in range(count):
            schedule.before_step()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.after_step()
        return rates

    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=0.01)
    schedule = Schedule(settings, optimizer, warmup=3)
    whole = play(optimizer, schedule, 5)
    saved = optimizer.state_dict(), schedule.state_dict()
    whole += play(optimizer, schedule, 5)

    resumed = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=0.01)
    again = Schedule(settings, resumed, warmup=3)
    resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    assert play(resumed, again, 5) == pytest.approx(whole[5:])


def test_every_optimizer_that_a_recipe_can_name_trains_a_model(
    model: ReportModel, plugins: Discovered
) -> None:
    """So that none fails hours later, or only in the optimizer's own words."""
    from rrgcore.check.torch_classes import NOT_BY_NAME

    names = {
        name
        for name, cls in vars(torch.optim).items()
        if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
    } - {"Optimizer", *NOT_BY_NAME}
    assert "RAdam" in names
    for name in names:
        plan = load_recipe(
            TINY, overrides=[f"stages.align.optimizer={{name: {name}}}"], plugins=plugins
        ).plan
        optimizer = make_optimizer(plan.stages["align"].optimizer, model)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
