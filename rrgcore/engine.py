"""The training loop: a generator that yields after each optimizer step.

How to train is here; what to do about it (log, evaluate, save, stop) is `rrgcore.training`'s.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast, final

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.optim import Optimizer

from rrgcore.data import Loader, study_rng
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule
from rrgcore.settings import StageSettings
from rrgcore.types import Batch, Losses

ADVICE = "Nothing was updated; the last checkpoint is good. Lower the learning rate, or set `clip`"


class NonFiniteLoss(RuntimeError):
    """A loss or gradient that is not a number: the run stops before anything is spoilt."""


@final
@dataclass(frozen=True, slots=True)
class Position:
    """Where a stage stands: epochs done, batches done of the next one, optimizer steps taken."""

    epoch: int = 0
    batches: int = 0
    step: int = 0


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step that was taken."""

    position: Position
    """Where the stage stands after it."""
    epoch: int
    """The epoch it belongs to."""
    epoch_ended: bool
    losses: Mapping[str, float]
    """The total, and each objective's before its weight: means over batches and processes."""
    logs: Mapping[str, float]
    """Means over what each objective counts, whatever batch and process it was in."""
    lr: float
    gradient_norm: float
    """Infinite, or no number, where float16 overflowed and the optimizer skipped its step."""
    studies: int


def steps(
    name: str,
    stage: StageSettings,
    model: nn.Module,
    weights: Mapping[str, float],
    loader: Loader,
    optimizer: Optimizer,
    schedule: Schedule,
    accelerator: Accelerator,
    at: Position,
) -> Iterator[Step]:
    """Train one stage from a position in it, yielding after each optimizer step.

    `model` is the prepared model, so that whatever wraps it sees one forward a step. A step of
    several batches averages their means, the last of an epoch over as many as are left.
    """
    inner = cast(ReportModel, accelerator.unwrap_model(model))
    total = total_steps(stage, loader)
    taken, epoch = at.step, at.epoch
    while taken < total:
        skip = at.batches if epoch == at.epoch else 0
        model.train()
        group: list[tuple[Batch, Losses]] = []
        for index, batch in enumerate(loader.epoch(epoch, skip=skip), start=skip + 1):
            last = index == len(loader)
            stepping = index % stage.accumulate == 0 or last
            # dropout depends on where training stands, not on what came before: resuming is exact
            _seed(loader.collate.seed, name, epoch, index, accelerator.process_index)
            with nullcontext() if stepping else accelerator.no_sync(model):
                losses: Losses = model(batch.to(accelerator.device), weights)
                check_losses(losses, batch)
                accelerator.backward(losses.total / _together(index, stage, loader))
            group.append((batch, losses))
            if not stepping:
                continue
            norm = _clip(accelerator, model, stage.clip)
            # a float16 scaler's own overflow shows in the norm alone, and the scaler sees to it
            if accelerator.scaler is None:
                check_norm(norm, [batch for batch, _ in group])
            schedule.before_step()
            lr = optimizer.param_groups[0]["lr"]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            # where float16 overflowed the scaler lowers its scale and nothing has moved
            if not accelerator.optimizer_step_was_skipped:
                inner.after_step(weights)
            schedule.after_step()
            taken += 1
            ended = last or taken == total
            if ended:
                schedule.after_epoch()
            yield Step(
                position=Position(epoch + 1, 0, taken) if ended else Position(epoch, index, taken),
                epoch=epoch,
                epoch_ended=ended,
                losses=mean_by_name(
                    accelerator, [row for _, losses in group for row in _losses(losses)]
                ),
                logs=mean_by_name(
                    accelerator, [row for _, losses in group for row in _logs(losses)]
                ),
                lr=lr,
                gradient_norm=norm,
                studies=sum(len(batch) for batch, _ in group),
            )
            group = []
            if taken == total:
                return
        epoch += 1


def total_steps(stage: StageSettings, loader: Loader) -> int:
    """Count the optimizer steps of a stage."""
    if stage.steps is not None:
        return stage.steps
    return cast(int, stage.epochs) * steps_an_epoch(stage, loader)


def steps_an_epoch(stage: StageSettings, loader: Loader) -> int:
    """Count the optimizer steps of an epoch."""
    return -(-len(loader) // stage.accumulate)


def check_losses(losses: Losses, batch: Batch) -> None:
    """Raise NonFiniteLoss naming the objective and the studies; a step is never skipped instead."""
    for name, output in losses.outputs.items():
        if not bool(torch.isfinite(output.loss)):
            raise NonFiniteLoss(
                f"objective '{name}' is {float(output.loss.detach())} on these studies: "
                f"{', '.join(batch.ids)}. {ADVICE}"
            )


def check_norm(norm: float, batches: Sequence[Batch]) -> None:
    """Raise NonFiniteLoss naming the studies where finite losses have a gradient that is not."""
    if not abs(norm) < float("inf"):
        studies = ", ".join(id for batch in batches for id in batch.ids)
        raise NonFiniteLoss(f"the gradient's norm is {norm} on these studies: {studies}. {ADVICE}")


def _seed(seed: int, stage: str, epoch: int, index: int, rank: int) -> None:
    rng = study_rng(seed, epoch, "", f"torch\0{stage}\0{index}\0{rank}")
    torch.manual_seed(int(rng.integers(2**63)))


def _together(index: int, stage: StageSettings, loader: Loader) -> int:
    """Count the batches of the optimizer step that a batch belongs to."""
    left = len(loader) % stage.accumulate
    return left if index > len(loader) - left else stage.accumulate


def _clip(accelerator: Accelerator, model: nn.Module, limit: float | None) -> float:
    """Clip the gradient; return its norm before."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    if limit is not None:
        return float(accelerator.clip_grad_norm_(parameters, limit))
    accelerator.unscale_gradients()
    return float(torch.nn.utils.get_total_norm([cast(Tensor, p.grad) for p in parameters]))


def _losses(losses: Losses) -> Iterator[tuple[str, Tensor, int]]:
    """Name each loss; every batch weighs the same, as in the gradient."""
    yield "total", losses.total, 1
    for name, output in losses.outputs.items():
        yield name, output.loss, 1


def _logs(losses: Losses) -> Iterator[tuple[str, Tensor, int]]:
    """Name each log; a batch weighs as many items as it had."""
    for name, output in losses.outputs.items():
        for key, value in output.logs.items():
            yield f"{name}.{key}", value, int(output.count)


def mean_by_name(
    accelerator: Accelerator, rows: Sequence[tuple[str, Tensor, int]]
) -> dict[str, float]:
    """Average values, each with its weight, over the batches and processes that have the name."""
    weighed = [
        (name, float(value.detach()) * weight, weight) for name, value, weight in rows if weight
    ]
    if accelerator.num_processes > 1:
        # with the names: an objective may log something only where a batch gives rise to it
        weighed = gather_object(weighed)
    sums: dict[str, float] = defaultdict(float)
    weights: dict[str, int] = defaultdict(int)
    for name, value, weight in weighed:
        sums[name] += value
        weights[name] += weight
    return {name: total / weights[name] for name, total in sums.items()}
