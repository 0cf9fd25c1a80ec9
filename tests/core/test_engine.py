"""One optimizer step after the other: accumulation, warm-up, clipping, where a stage ends."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rrgcore import load_recipe
from rrgcore.data import Loader
from rrgcore.engine import Position, Step, steps, total_steps
from rrgcore.faults.nonfinite import NonFiniteLoss
from rrgcore.job import make_accelerator
from rrgcore.model import ALONE
from rrgcore.optim import Schedule
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.settings import OptimizerSettings, ScheduleSettings, StageSettings
from rrgcore.studies import Studies
from rrgcore.types import Batch, Losses, ObjectiveOutput

TINY = Path(__file__).parent.parent / "tiny.yaml"


class Line(nn.Module):
    """Fits brightness with a number: a loss that is a mean over studies."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(1))
        self.noise = nn.Dropout(0.5)
        self.seen: list[tuple[str, ...]] = []
        self.draws: list[float] = []
        self.followed = 0

    def counts(self, batch: Batch, weights: Mapping[str, float]) -> dict[str, int]:
        return {"fit": len(batch)}

    def forward(
        self, batch: Batch, weights: Mapping[str, float], shares: Mapping[str, float] = ALONE
    ) -> Losses:
        self.seen.append(batch.ids)
        self.draws.append(float(self.noise(torch.ones(64)).sum()))
        brightness = batch.images.mean((1, 2, 3, 4))
        loss = ((self.slope * brightness - 3) ** 2).mean()
        logs: dict[str, Tensor] = {"brightness": brightness.mean()}
        output = ObjectiveOutput(loss, torch.tensor(len(batch)), logs)
        return Losses(weights["fit"] * shares.get("fit", 1.0) * loss, {"fit": output})

    def after_step(self, weights: Mapping[str, float]) -> None:
        self.followed += 1


@pytest.fixture(scope="module")
def plan(plugins: Discovered) -> Plan:
    return load_recipe(TINY, overrides=["data.batch_size=2"], plugins=plugins).plan


@pytest.fixture(scope="module")
def studies(plan: Plan) -> Studies:
    return Studies(plan)


@pytest.fixture
def accelerator(plan: Plan) -> Accelerator:
    return make_accelerator(plan)


def a_stage(**options: Any) -> StageSettings:
    given: dict[str, Any] = {
        "optimizer": OptimizerSettings(name="SGD", lr=0.1),
        "schedule": ScheduleSettings(options={"factor": 1.0}),
        "epochs": 1,
        **options,
    }
    if "steps" in options:
        given["epochs"] = None
    return StageSettings(**given)


def a_loader(finished: Any, studies: Studies, batch_size: int) -> Loader:
    return studies.loader(finished.model(), "train", training=True, batch_size=batch_size)


def train(
    stage: StageSettings,
    loader: Loader,
    accelerator: Accelerator,
    *,
    model: Line | None = None,
    at: Position = Position(),  # noqa: B008
    weight: float = 1.0,
) -> tuple[Line, list[Step]]:
    model = model or Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=stage.optimizer.lr)
    schedule = Schedule(stage.schedule, optimizer, warmup=stage.warmup)
    taken = steps("s", stage, model, {"fit": weight}, loader, optimizer, schedule, accelerator, at)
    return model, list(taken)


@pytest.fixture
def small(finished: Any, studies: Studies) -> Loader:
    """Five batches of two."""
    return a_loader(finished, studies, 2)


def test_two_batches_accumulated_are_one_of_twice_the_size(
    finished: Any, studies: Studies, accelerator: Accelerator, small: Loader
) -> None:
    twice, _ = train(a_stage(steps=2), a_loader(finished, studies, 4), accelerator)
    accumulated, _ = train(a_stage(steps=2, accumulate=2), small, accelerator)

    assert accumulated.slope.item() == pytest.approx(twice.slope.item(), rel=1e-6)
    assert accumulated.slope.item() != 1


def test_batches_of_a_step_weigh_as_much_as_is_counted_in_them(
    accelerator: Accelerator, small: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mean over nine words and one over a single word are no two halves."""
    counts = iter([9, 1])
    shares: list[float] = []
    forward = Line.forward

    def noting(
        self: Line, batch: Batch, weights: Mapping[str, float], share: Mapping[str, float] = ALONE
    ) -> Losses:
        shares.append(share["fit"])
        return forward(self, batch, weights, share)

    monkeypatch.setattr(Line, "forward", noting)
    monkeypatch.setattr(Line, "counts", lambda self, batch, weights: {"fit": next(counts)})
    train(a_stage(steps=1, accumulate=2), small, accelerator)
    assert shares == [0.9, 0.1]


def test_the_last_step_of_an_epoch_averages_over_what_is_left(
    accelerator: Accelerator, small: Loader
) -> None:
    """Five batches by twos: the third step has one batch behind it, at its full weight."""
    model, taken = train(a_stage(accumulate=2), small, accelerator)
    alone = Line()
    for group in (slice(0, 2), slice(2, 4), slice(4, 5)):
        optimizer = torch.optim.SGD(alone.parameters(), lr=0.1)
        losses = [alone(batch, {"fit": 1.0}).total for batch in list(small.epoch(0))[group]]
        torch.stack(losses).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    assert [step.studies for step in taken] == [4, 4, 2]
    assert model.slope.item() == pytest.approx(alone.slope.item(), rel=1e-6)


def test_a_step_reports_the_mean_of_its_batches(accelerator: Accelerator, small: Loader) -> None:
    _, taken = train(a_stage(accumulate=5), small, accelerator, weight=2.0)
    fresh = Line()
    losses = [fresh(batch, {"fit": 1.0}).total.item() for batch in small.epoch(0)]

    assert taken[0].losses["fit"] == pytest.approx(sum(losses) / 5)
    assert taken[0].losses["total"] == pytest.approx(2 * sum(losses) / 5)
    assert taken[0].logs.keys() == {"fit.brightness"}


def test_a_log_is_a_mean_over_what_was_counted_and_a_loss_one_over_batches(
    accelerator: Accelerator, small: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three words of which one is right, one that is right, a batch without any."""
    counted = iter([(3, 1 / 3), (1, 1.0), (0, 0.0), (0, 0.0), (0, 0.0)])
    forward = Line.forward

    def counting(
        self: Line, batch: Batch, weights: Mapping[str, float], shares: Mapping[str, float] = ALONE
    ) -> Losses:
        losses = forward(self, batch, weights, shares)
        count, accuracy = next(counted)
        logs = {"accuracy": torch.tensor(accuracy)}
        output = replace(losses.outputs["fit"], count=torch.tensor(count), logs=logs)
        return Losses(losses.total, {"fit": output})

    monkeypatch.setattr(Line, "forward", counting)
    _, (two, none, last) = train(a_stage(accumulate=2), small, accelerator)

    assert two.logs == {"fit.accuracy": pytest.approx(0.5)}
    assert none.logs == last.logs == {}
    assert none.losses.keys() == {"total", "fit"}


class Counted(Exception):
    """Where a batch was when it was counted."""


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_counted_is_on_the_device(
    accumulate: int, accelerator: Accelerator, small: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An objective that asks the other processes reaches them from there alone."""

    def counts(self: Line, batch: Batch, weights: Mapping[str, float]) -> dict[str, int]:
        raise Counted(batch.images.device, batch.present.device)

    monkeypatch.setattr(Line, "counts", counts)
    monkeypatch.setattr(Accelerator, "device", torch.device("meta"))
    with pytest.raises(Counted) as found:
        train(a_stage(accumulate=accumulate), small, accelerator)
    assert {device.type for device in found.value.args} == {"meta"}


RANK = """
import torch
from accelerate import Accelerator
from rrgcore.engine import mean_by_name
accelerator = Accelerator(cpu=True)
rank = accelerator.process_index
rows = [("both", torch.tensor(1.0 + rank), 1 + rank), (f"only {rank}", torch.tensor(5.0 * rank), 2)]
rows += [("late", torch.tensor(7.0), 1)] * rank + [("both", torch.tensor(4.0), 1)] * (1 - rank)
accelerator.wait_for_everyone()
if (found := mean_by_name(accelerator, rows)) is not None and accelerator.is_main_process:
    print(sorted(found.items()))
accelerator.end_training()
"""


def test_processes_that_log_different_things_do_not_mix_them_up(tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(RANK)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone",
        str(tmp_path / "rank.py"),
    ]  # fmt: skip
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    said = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=environment
    )

    assert said.returncode == 0, said.stderr
    means = [("both", 2.25), ("late", 7.0), ("only 0", 0.0), ("only 1", 5.0)]
    assert said.stdout.strip() == str(means)


def test_a_step_that_float16_skipped_is_followed_by_nothing(
    accelerator: Accelerator, small: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipped = iter([True, False, True, False, False])
    monkeypatch.setattr(
        Accelerator, "optimizer_step_was_skipped", property(lambda self: next(skipped))
    )
    model, taken = train(a_stage(), small, accelerator)

    assert len(taken) == 5
    assert model.followed == 3


def test_positions_count_epochs_batches_and_steps(accelerator: Accelerator, small: Loader) -> None:
    model, taken = train(a_stage(epochs=2, accumulate=2), small, accelerator)

    assert [step.position for step in taken] == [
        Position(0, 2, 1),
        Position(0, 4, 2),
        Position(1, 0, 3),
        Position(1, 2, 4),
        Position(1, 4, 5),
        Position(2, 0, 6),
    ]
    assert [step.epoch_ended for step in taken] == [False, False, True] * 2
    assert model.followed == 6


def test_a_stage_of_steps_ends_in_the_middle_of_an_epoch(
    accelerator: Accelerator, small: Loader
) -> None:
    _, taken = train(a_stage(steps=7), small, accelerator)

    assert total_steps(a_stage(steps=7), small) == 7
    assert [step.position.step for step in taken] == list(range(1, 8))
    assert taken[-1].epoch_ended
    assert taken[-1].epoch == 1


@pytest.mark.parametrize("stop", [1, 3, 5, 7])
def test_going_on_from_a_position_sees_the_same_batches_and_the_same_dropout(
    stop: int, accelerator: Accelerator, small: Loader
) -> None:
    whole, taken = train(a_stage(epochs=2), small, accelerator)
    rest, _ = train(a_stage(epochs=2), small, accelerator, at=taken[stop - 1].position)

    assert rest.seen == whole.seen[stop:]
    assert rest.draws == whole.draws[stop:]


def test_dropout_differs_from_step_to_step(accelerator: Accelerator, small: Loader) -> None:
    model, _ = train(a_stage(epochs=2), small, accelerator)

    assert len(set(model.draws)) > 5


def test_warm_up_rises_from_one_step_to_the_full_rate(
    accelerator: Accelerator, small: Loader
) -> None:
    _, taken = train(a_stage(warmup=4), small, accelerator)

    assert [step.lr for step in taken] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


@pytest.mark.parametrize(("every", "rates"), [("epoch", [0.1] * 5), ("step", None)])
def test_a_schedule_steps_by_epoch_or_by_step(
    every: Any, rates: list[float] | None, accelerator: Accelerator, small: Loader
) -> None:
    schedule = ScheduleSettings(name="ExponentialLR", options={"gamma": 0.5}, every=every)
    _, taken = train(a_stage(schedule=schedule), small, accelerator)

    assert [step.lr for step in taken] == pytest.approx(rates or [0.1 / 2**i for i in range(5)])


def test_warm_up_scales_whatever_the_schedule_says(accelerator: Accelerator, small: Loader) -> None:
    schedule = ScheduleSettings(name="ExponentialLR", options={"gamma": 0.5}, every="step")
    _, taken = train(a_stage(schedule=schedule, warmup=2), small, accelerator)

    assert [step.lr for step in taken[:3]] == pytest.approx([0.05, 0.05, 0.025])


def test_a_gradient_is_clipped_and_its_norm_before_is_reported(
    accelerator: Accelerator, small: Loader
) -> None:
    free, (unclipped,) = train(a_stage(steps=1), small, accelerator)
    held, (clipped,) = train(a_stage(steps=1, clip=0.01), small, accelerator)

    assert clipped.gradient_norm == pytest.approx(unclipped.gradient_norm)
    assert abs(held.slope.item() - 1) == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert abs(free.slope.item() - 1) > 0.1 * 0.01


def test_a_loss_that_is_no_number_names_objective_and_studies_and_changes_nothing(
    accelerator: Accelerator, small: Loader
) -> None:
    model = Line()
    nn.init.constant_(model.slope, float("inf"))
    with pytest.raises(NonFiniteLoss, match=r"^objective 'fit' is inf on these studies: phantom-"):
        train(a_stage(), small, accelerator, model=model)

    assert model.slope.item() == float("inf")
    assert model.followed == 0


def test_a_batch_in_the_middle_of_a_step_is_named_too(
    accelerator: Accelerator, small: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(small.epoch(0)).ids
    forward = Line.forward

    def poisoned(
        self: Line, batch: Batch, weights: Mapping[str, float], shares: Mapping[str, float] = ALONE
    ) -> Losses:
        losses = forward(self, batch, weights, shares)
        if batch.ids != first:
            return losses
        broken = replace(losses.outputs["fit"], loss=losses.total * torch.nan)
        return Losses(broken.loss, {"fit": broken})

    monkeypatch.setattr(Line, "forward", poisoned)
    with pytest.raises(NonFiniteLoss, match=", ".join(first)):
        train(a_stage(accumulate=3), small, accelerator)


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_names_the_studies_of_the_whole_step(
    slope: float, accelerator: Accelerator, small: Loader
) -> None:
    model = Line()
    model.slope.register_hook(lambda gradient: gradient * 0 + slope)
    studies = ", ".join(id for batch in list(small.epoch(0))[:2] for id in batch.ids)
    with pytest.raises(
        NonFiniteLoss,
        match=rf"norm is {slope} on these studies: {studies} \(stage s, epoch 1, step 1\)$",
    ):
        train(a_stage(accumulate=2), small, accelerator, model=model)

    assert model.slope.item() == 1
