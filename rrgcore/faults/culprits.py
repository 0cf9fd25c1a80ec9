"""Which objective a gradient that is not finite came from, and which parameters it reached."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast, final

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rrgcore.faults.nonfinite import Seen
from rrgcore.model import ReportModel
from rrgcore.types import Losses

TRAINED: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of numbers that training may make infinite."""
NAMED = 3
"""Parameters of a part that a message names."""


@final
@dataclass(frozen=True, slots=True)
class Culprits:
    """What was found by computing the batches of a step once more."""

    seen: Seen | None = None
    """The first batch whose own gradient is not finite."""
    objectives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By objective, the parameters whose gradient of it alone is not finite."""
    largest: tuple[str, float] | None = None
    """Of gradients that are finite one by one, the parameter with the largest value."""


def find_culprits(
    model: ReportModel,
    weights: Mapping[str, float],
    seen: Sequence[Seen],
    accelerator: Accelerator,
) -> Culprits:
    """Compute the batches of a step again, each with the random numbers that it had.

    One forward and backward a batch, and one backward an objective for the batch that is to blame.
    Leaves the gradients that were there, and the generators where they stood.
    """
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    largest: tuple[str, float] | None = None
    device = accelerator.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for each in seen:
            torch.manual_seed(each.seed)
            with accelerator.autocast():
                losses = model(each.batch.to(device), weights, each.shares)
            gradients = _gradients(losses.total, parameters)
            if not_finite(gradients):
                del gradients
                return Culprits(each, _by_objective(losses, weights, each.shares, parameters))
            found = filter(None, [largest, _largest(gradients)])
            largest = max(found, key=lambda at: at[1], default=None)
    return Culprits(largest=largest)


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors that hold a value which is no finite number; of one in shards, the part that
    this process holds counts. Each is read once, and nothing as large as it is made.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own = (cast(Any, tensor).to_local() if hasattr(tensor, "to_local") else tensor).detach()
        if own.dtype in TRAINED and own.numel():
            low, high = torch.aminmax(own)  # which are no numbers where one value is none
            found[name] = torch.isfinite(low) & torch.isfinite(high)
    return [name for name, finite in found.items() if not bool(finite)]


def by_part(names: Iterable[str]) -> str:
    """Say of which parts of the model parameters are, as a recipe calls the parts."""
    of: dict[str, list[str]] = {}
    for name in names:
        section, _, rest = name.partition(".")
        head, _, tail = rest.partition(".")
        if section == "objectives":
            head = f"objectives.{head}"
        elif head == "shared":
            key, _, tail = tail.partition(".")
            head = f"shared.{key}"
        of.setdefault(head, []).append(tail)
    return "; ".join(
        f"{part} ({', '.join(own[:NAMED])}"
        f"{f' and {len(own) - NAMED} more' if len(own) > NAMED else ''})"
        for part, own in of.items()
    )


def _by_objective(
    losses: Losses,
    weights: Mapping[str, float],
    shares: Mapping[str, float],
    parameters: Mapping[str, nn.Parameter],
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, output in losses.outputs.items():
        if output.loss.requires_grad:
            term = weights[name] * shares.get(name, 1.0) * output.loss
            if bad := not_finite(_gradients(term, parameters)):
                found[name] = bad
    return found


def _gradients(loss: Tensor, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    found = torch.autograd.grad(
        loss, list(parameters.values()), retain_graph=True, allow_unused=True
    )
    return {name: g for name, g in zip(parameters, found, strict=True) if g is not None}


def _largest(gradients: Mapping[str, Tensor]) -> tuple[str, float] | None:
    values = ((name, float(g.abs().max())) for name, g in gradients.items() if g.numel())
    return max(values, key=lambda at: at[1], default=None)
