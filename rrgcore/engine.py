"""The training loop: a generator that yields after each optimizer step. How to train is here; what to do about it is the run's."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast, final

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from rrgcore.data import Loader
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule
from rrgcore.settings import StageSettings
from rrgcore.types import Batch, Losses


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
    logs: Mapping[str, float]
    lr: float
    gradient_norm: float
    studies: int


def steps(
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

    `model` is the prepared model, so that whatever wraps it sees one forward a step.
    """
    inner = cast(ReportModel, accelerator.unwrap_model(model))
    total = total_steps(stage, loader)
    taken, epoch, studies = at.step, at.epoch, 0
    while taken < total:
        skip = at.batches if epoch == at.epoch else 0
        model.train()
        for index, batch in enumerate(loader.epoch(epoch, skip=skip), start=skip + 1):
            last = index == len(loader)
            stepping = index % stage.accumulate == 0 or last
            # an epoch's last step may have fewer batches behind it
            together = stage.accumulate
            if index > len(loader) - len(loader) % stage.accumulate:
                together = len(loader) % stage.accumulate
            studies += len(batch)
            with nullcontext() if stepping else accelerator.no_sync(model):
                losses: Losses = model(batch.to(accelerator.device), weights)
                accelerator.backward(losses.total / together)
            if not stepping:
                continue
            norm = _clip(accelerator, model, stage.clip)
            check_finite(losses, norm, batch, scaled=accelerator.scaler is not None)
            schedule.before_step()
            lr = optimizer.param_groups[0]["lr"]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
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
                losses=_plain(
                    {name: out.loss for name, out in losses.outputs.items()}, losses.total
                ),
                logs=_plain(
                    {
                        f"{name}.{key}": value
                        for name, out in losses.outputs.items()
                        for key, value in out.logs.items()
                    }
                ),
                lr=lr,
                gradient_norm=norm,
                studies=studies,
            )
            studies = 0
            if taken == total:
                return
        epoch += 1


def total_steps(stage: StageSettings, loader: Loader) -> int:
    """Count the optimizer steps of a stage."""
    if stage.steps is not None:
        return stage.steps
    return cast(int, stage.epochs) * -(-len(loader) // stage.accumulate)


def check_finite(losses: Losses, norm: float, batch: Batch, *, scaled: bool = False) -> None:
    """Raise NonFiniteLoss naming the objective and the studies; never skip a step.

    A float16 scaler's own overflow shows in the norm alone, and the scaler sees to it.
    """
    studies = ", ".join(batch.ids)
    for name, output in losses.outputs.items():
        if not bool(torch.isfinite(output.loss)):
            raise NonFiniteLoss(
                f"objective '{name}' is {float(output.loss)} on these studies: {studies}. "
                "Nothing was updated; the last checkpoint is good. Lower the learning rate, or set `clip`"
            )
    if norm != norm or (norm == float("inf") and not scaled):
        raise NonFiniteLoss(
            f"the gradient's norm is {norm} on these studies: {studies}. "
            "Nothing was updated; the last checkpoint is good. Lower the learning rate, or set `clip`"
        )


def _clip(accelerator: Accelerator, model: nn.Module, limit: float | None) -> float:
    parameters = [p for p in model.parameters() if p.grad is not None]
    if limit is not None:
        return float(accelerator.clip_grad_norm_(parameters, limit))
    return float(torch.nn.utils.get_total_norm([cast(Tensor, p.grad) for p in parameters]))


def _plain(values: Mapping[str, Tensor], total: Tensor | None = None) -> dict[str, float]:
    plain: dict[str, Any] = {name: float(value.detach()) for name, value in values.items()}
    return {"total": float(total.detach()), **plain} if total is not None else plain
