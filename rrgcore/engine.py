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
    lr: float
    gradient_norm: float
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
                losses=_mean(accelerator, [_losses(losses) for _, losses in group]),
                logs=_mean(accelerator, [_logs(losses) for _, losses in group]),
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


def _losses(losses: Losses) -> dict[str, Tensor]:
    return {"total": losses.total} | {name: out.loss for name, out in losses.outputs.items()}


def _logs(losses: Losses) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, output in losses.outputs.items()
        for key, value in output.logs.items()
    }


def _mean(accelerator: Accelerator, rows: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Average by name over batches and processes, over those that have the name."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for key, value in row.items():
            found[key].append(float(value.detach()))
    if accelerator.num_processes > 1 and found:
        sums = torch.tensor(
            [[sum(values), len(values)] for values in found.values()],
            dtype=torch.float64,
            device=accelerator.device,
        )
        totals, counts = accelerator.reduce(sums).T.tolist()
        return {key: t / n for key, t, n in zip(found, totals, counts, strict=True)}
    return {key: sum(values) / len(values) for key, values in found.items()}
