"""The training loop: a generator that yields after each optimizer step.

How to train is here; what to do about it (log, evaluate, save, stop) is `rrgcore.training`'s.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast, final

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.optim import Optimizer

from rrgcore.data import Loader, study_rng
from rrgcore.faults.nonfinite import Finite
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule
from rrgcore.settings import StageSettings
from rrgcore.sharding import clip, is_sharded
from rrgcore.types import Losses
from rrgcore.zero import follow, is_zero, take_step


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
    """The total, and each objective's before its weight: means over what each counts, whatever
    batch and process it was in.
    """
    logs: Mapping[str, float]
    """The same of what is only shown."""
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

    `model` is the prepared model, so that whatever wraps it sees one forward a batch. A step of
    several batches or processes averages over all that an objective counts in them, as one batch of
    them all would; the last step of an epoch has as many batches as are left.
    """
    inner = cast(ReportModel, accelerator.unwrap_model(model))
    finite = Finite(name, accelerator)
    total = total_steps(stage, loader)
    taken, epoch = at.step, at.epoch
    while taken < total:
        skip = at.batches if epoch == at.epoch else 0
        model.train()
        batches = loader.epoch(epoch, skip=skip)
        index = skip
        while group := list(islice(batches, stage.accumulate)):
            if len(group) == 1:  # several would take the memory of all of them
                group = [group[0].to(accelerator.device)]
            done: list[Losses] = []
            # an objective may ask the other processes, which are reached from the device alone
            counts = [inner.counts(batch.to(accelerator.device), weights) for batch in group]
            for batch, shares in zip(group, _shares(counts, accelerator), strict=True):
                index += 1
                # dropout depends on where training stands, not on what came before: resuming is
                # exact
                _seed(loader.collate.seed, name, epoch, index, accelerator.process_index)
                with nullcontext() if batch is group[-1] else accelerator.no_sync(model):
                    with accelerator.autocast():  # of a model in shards nothing else does it
                        losses: Losses = model(batch.to(accelerator.device), weights, shares)
                    finite.check_losses(epoch, taken + 1, index, batch, losses, shares)
                    _backward(accelerator, model, losses.total)
                done.append(losses)
            schedule.before_step()
            lr = optimizer.param_groups[0]["lr"]
            norm = _clip(accelerator, model, stage.clip)
            finite.check_gradient(epoch, taken + 1, norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            # where float16 overflowed the scaler lowers its scale and nothing has moved
            if not accelerator.optimizer_step_was_skipped:
                inner.after_step(weights)
                if is_zero(accelerator):
                    follow(model)
            schedule.after_step()
            taken += 1
            ended = index == len(loader) or taken == total
            if ended:
                schedule.after_epoch()
            yield Step(
                position=Position(epoch + 1, 0, taken) if ended else Position(epoch, index, taken),
                epoch=epoch,
                epoch_ended=ended,
                losses=_losses(accelerator, done, weights),
                logs=mean_by_name(accelerator, [row for losses in done for row in _logs(losses)]),
                lr=lr,
                gradient_norm=norm,
                studies=sum(map(len, group)),
            )
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


def _seed(seed: int, stage: str, epoch: int, index: int, rank: int) -> None:
    rng = study_rng(seed, epoch, "", f"torch\0{stage}\0{index}\0{rank}")
    torch.manual_seed(int(rng.integers(2**63)))


def _shares(
    counts: Sequence[Mapping[str, int]], accelerator: Accelerator
) -> list[dict[str, float]]:
    """Return what part of a step each batch is to each objective, by what it counts in them, times
    the number of processes, over which gradients are averaged.
    """
    world = accelerator.num_processes
    if len(counts) * world == 1:
        return [{}]
    names = list(counts[0])
    totals = torch.tensor([[each[name] for name in names] for each in counts]).sum(0)
    totals = accelerator.reduce(totals.to(accelerator.device))
    return [
        # of nothing every share will do: its loss is 0
        {
            name: each[name] * world / max(total, 1)
            for name, total in zip(names, totals.tolist(), strict=True)
        }
        for each in counts
    ]


def _backward(accelerator: Accelerator, model: nn.Module, loss: Tensor) -> None:
    if is_zero(accelerator):  # Accelerate would have it step at once, and nobody could look before
        cast(Any, model).backward(loss)
    else:
        accelerator.backward(loss)


def _clip(accelerator: Accelerator, model: nn.Module, limit: float | None) -> float:
    """Clip the gradient; return its norm before. DeepSpeed takes the step with it, unless the norm
    is not finite.
    """
    if is_zero(accelerator):
        return take_step(model)
    if is_sharded(model):
        return clip(accelerator, model, limit)
    parameters = [p for p in model.parameters() if p.grad is not None]
    if limit is not None:
        return float(accelerator.clip_grad_norm_(parameters, limit))
    accelerator.unscale_gradients()
    return float(torch.nn.utils.get_total_norm([cast(Tensor, p.grad) for p in parameters]))


def _losses(
    accelerator: Accelerator, done: Sequence[Losses], weights: Mapping[str, float]
) -> dict[str, float]:
    """Return the total, and each objective's mean over all that it counted, as in the gradient."""
    names = list(done[0].outputs)
    rows = [
        (name, each.outputs[name].loss, int(each.outputs[name].count))
        for each in done
        for name in names
    ]
    found = mean_by_name(accelerator, rows)
    means = {name: found.get(name, 0.0) for name in names}
    return {"total": sum(weights[name] * mean for name, mean in means.items()), **means}


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
