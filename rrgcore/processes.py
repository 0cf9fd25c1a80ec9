"""Several processes: what one does for all, and rows of all of them together."""

import pickle
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeVar, cast, final

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor
from torch.autograd.function import FunctionCtx

from rrgcore.errors import UserError

T = TypeVar("T")

PATIENCE: Final = timedelta(hours=72)

_FOR_ALL: Final = ContextVar("for_all", default=False)
"""Whether the main process is at what it does for all, who wait for the outcome."""


def on_main(accelerator: Accelerator, make: Callable[[], T]) -> T:
    """Do something on the main process only, and give its result, or its failure, to all.

    Within such a thing the others are waiting already: it is simply done.
    """
    if accelerator.num_processes == 1 or _FOR_ALL.get():
        return make()
    made: list[T] = []
    failure: Exception | None = None
    sent: list[Any] = [None]
    if accelerator.is_main_process:
        before = _FOR_ALL.set(True)
        try:
            made.append(make())
            # here, where it can still be told: a result that cannot be sent is a failure as well
            sent[0] = pickle.dumps((made[0], None))
        except Exception as error:
            failure = error
            sent[0] = pickle.dumps((None, _sendable(error)))
        finally:
            _FOR_ALL.reset(before)
    broadcast(sent)
    if not accelerator.is_main_process:
        result, failure = pickle.loads(sent[0])
        made.append(result)
    if failure is not None:
        failure.of_all_processes = True  # type: ignore[attr-defined]  # as of a UserError
        raise failure
    return made[0]


def broadcast(sent: list[Any]) -> None:
    """Give all processes what the main one has, whenever it has it."""
    dist.broadcast_object_list(sent, src=0, group=_patient(dist.group.WORLD))


@cache
def _patient(world: dist.ProcessGroup | None) -> dist.ProcessGroup | None:
    """Make the group in which processes wait for the main one: that may fit a classifier, ask a
    language model or score, for hours, whereas of a step nobody is waited for so long.
    """
    assert world is not None, "there are several processes"
    return cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=PATIENCE))


def _sendable(error: Exception) -> Exception:
    """Return an error as other processes can read it: itself, or else what it is and says."""
    told: list[Exception] = [error]
    if isinstance(error, UserError):
        told += [type(error).__new__(type(error), str(error)), UserError(str(error))]
    for each in told:
        with suppress(Exception):  # whatever the class of a third party makes of being copied
            copy = pickle.loads(pickle.dumps(each))
            if type(copy) is type(each) and str(copy) == str(error):
                return each
    return RuntimeError(f"{type(error).__name__}: {error}")


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate every process's rows by rank; the processes may hold unequal numbers of them.

    Gradients flow back to whoever's row it was, from the losses of all processes.
    """
    if _world() == 1:
        return rows
    _check_reached(rows)
    counts = _counts(len(rows), rows.device)
    padded = torch.cat([rows, rows.new_zeros(max(counts) - len(rows), *rows.shape[1:])])
    gathered = cast(Tensor, _Gather.apply(padded)) if rows.requires_grad else _gather(padded)
    return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])


def gather_padded(rows: Tensor, value: float | int | bool) -> Tensor:
    """`gather_rows` of rows whose second axis is as long as each process needs, filled up."""
    if _world() == 1:
        return rows
    _check_reached(rows)
    longest = max(_counts(rows.shape[1], rows.device))
    filling = rows.new_full((len(rows), longest - rows.shape[1], *rows.shape[2:]), value)
    return gather_rows(torch.cat([rows, filling], dim=1))


def rows_before(rows: Tensor) -> int:
    """Count the rows of the processes before this one: where its own begin among the gathered."""
    if _world() == 1:
        return 0
    _check_reached(rows)
    return sum(_counts(len(rows), rows.device)[: dist.get_rank()])


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _check_reached(rows: Tensor) -> None:
    """Refuse rows from where the processes cannot send: with GPUs, NCCL reaches nothing else."""
    reached = [way.partition(":")[0] for way in dist.get_backend_config().split(",")]
    assert rows.device.type in reached, (
        f"rows on {rows.device} cannot be gathered: the processes talk over "
        f"{' and '.join(reached)}. A component gathers what the batch brings, which is on the "
        "device, or moves there what it makes itself"
    )


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
