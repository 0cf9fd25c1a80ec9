"""Several processes: what one does for all, and rows of all of them together."""

from collections.abc import Callable
from typing import Any, TypeVar, cast, final

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor
from torch.autograd.function import FunctionCtx

T = TypeVar("T")


def on_main(accelerator: Accelerator, make: Callable[[], T]) -> T:
    """Do something on the main process only, and give its result, or its failure, to all."""
    if accelerator.num_processes == 1:
        return make()
    made: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            made[0] = make()
        except Exception as error:
            made[1] = error
    broadcast_object_list(made)
    if made[1] is not None:
        raise made[1]
    return cast(T, made[0])


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate every process's rows by rank; the processes may hold unequal numbers of them.

    Gradients flow back to whoever's row it was, from the losses of all processes.
    """
    if _world() == 1:
        return rows
    counts = _counts(len(rows), rows.device)
    padded = torch.cat([rows, rows.new_zeros(max(counts) - len(rows), *rows.shape[1:])])
    gathered = cast(Tensor, _Gather.apply(padded)) if rows.requires_grad else _gather(padded)
    return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])


def gather_padded(rows: Tensor, value: float | int | bool) -> Tensor:
    """`gather_rows` of rows whose second axis is as long as each process needs, filled up."""
    if _world() == 1:
        return rows
    longest = max(_counts(rows.shape[1], rows.device))
    filling = rows.new_full((len(rows), longest - rows.shape[1], *rows.shape[2:]), value)
    return gather_rows(torch.cat([rows, filling], dim=1))


def rows_before(rows: Tensor) -> int:
    """Count the rows of the processes before this one: where its own begin among the gathered."""
    if _world() == 1:
        return 0
    return sum(_counts(len(rows), rows.device)[: dist.get_rank()])


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _counts(count: int, device: torch.device) -> list[int]:
    own = torch.tensor(count, device=device)
    counts = [torch.zeros_like(own) for _ in range(_world())]
    dist.all_gather(counts, own)
    return [int(each) for each in counts]


def _gather(rows: Tensor) -> Tensor:
    """Stack every process's rows, equally many."""
    gathered = [torch.empty_like(rows) for _ in range(_world())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.stack(gathered)


@final
class _Gather(torch.autograd.Function):
    """`_gather` with a gradient: a row learns from the losses of all processes."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor) -> Tensor:
        return _gather(rows)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed[dist.get_rank()]
