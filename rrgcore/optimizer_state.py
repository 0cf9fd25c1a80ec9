"""An optimizer's state: tensors in safetensors, the rest in state.json, each held against the
optimizer that it is for.
"""

from collections import defaultdict
from collections.abc import Mapping
from copy import copy
from math import isfinite
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rrgcore.errors import RunError
from rrgcore.sharding import divided_state
from rrgcore.stage_state import check_alike, check_same, is_number
from rrgcore.tensors import FOREIGN, check_names, load_tensors, save_tensors
from rrgcore.zero import COUNTERS

OPTIMIZER = "optimizer.safetensors"
SUMMED: Final = frozenset(("row_var", "col_var"))
"""What Adafactor keeps of rows and columns: as large as the parameter but for axes of one."""
SQUARES: Final = SUMMED | {
    *("exp_avg_sq", "max_exp_avg_sq", "square_avg", "acc_delta", "sum", "variance", "exp_inf"),
    "step_size",
}
"""What torch's optimizers take roots of or divide by, which is never below 0."""
OWN: Final = frozenset(("params", "lr"))
"""Of a group: what is compared by itself, and what the schedule sets."""


def save_optimizer(folder: Path, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write an optimizer's tensors; return the rest of its state as plain values."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value.detach().contiguous()
            else:
                plain.setdefault(str(index), {})[key] = value
    save_tensors(folder / OPTIMIZER, tensors)
    return {"state": plain, "param_groups": state["param_groups"], "tensors": sorted(tensors)}


def load_optimizer(
    folder: Path,
    plain: Mapping[str, Any],
    optimizer: Optimizer,
    *,
    said_by: Path,
    steps: int | None = None,
) -> None:
    """Give an optimizer its state back, and of a model in shards each process its part; raises
    RunError for one of other parameters, groups or options, for tensors of other shapes, and for
    what it does not keep; of an optimizer that took so many `steps`, for counts beyond them.
    """
    path = folder / OPTIMIZER
    named, values = plain.get("tensors"), plain.get("state")
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise RunError(f"{said_by} is damaged: optimizer.tensors is no list of names")
    if not isinstance(values, dict) or not all(isinstance(each, dict) for each in values.values()):
        raise RunError(f"{said_by} is damaged: optimizer.state is no object of objects")
    groups = optimizer.state_dict()["param_groups"]
    check_alike(said_by, "optimizer.param_groups", plain.get("param_groups"), groups)
    for number, (found, group) in enumerate(zip(plain["param_groups"], groups, strict=True)):
        if found["params"] != group["params"]:
            raise RunError(f"{said_by}: optimizer.param_groups has other parameters. {FOREIGN}")
        for key in group.keys() - OWN:
            where = f"optimizer.param_groups[{number}].{key}"
            check_same(said_by, where, found[key], group[key])
    stored = load_tensors(path)
    check_names(dict.fromkeys(named, Tensor()), stored, path)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in stored.items():
        index, _, key = name.partition(".")
        parameter = _parameter(index, parameters, f"{path}: {name}")
        if not tensor.is_floating_point() or not _fits(key, tensor, parameter):
            raise RunError(
                f"{path}: {name} is {tuple(tensor.shape)} of {tensor.dtype}, and its parameter is "
                f"{tuple(parameter.shape)}. {FOREIGN}"
            )
        if key in SQUARES and tensor.numel() and float(tensor.min()) < 0:
            raise RunError(f"{path}: {name} holds numbers below 0, which is damaged. {FOREIGN}")
        if key in COUNTERS:
            _check_counter(f"{path}: {name}", key, float(tensor), steps)
        state.setdefault(int(index), {})[key] = divided_state(tensor, parameter)
    for index, numbers in values.items():
        _parameter(index, parameters, f"{said_by}: optimizer.state.{index}")
        for key, value in numbers.items():
            where = f"optimizer.state.{index}.{key}"
            if value is not None and not (key in COUNTERS and is_number(value)):
                raise RunError(f"{said_by} is damaged: {where} is no number that is kept")
            if value is not None:
                _check_counter(f"{said_by}: {where}", key, value, steps)
        state.setdefault(int(index), {}).update(numbers)
    _check_kept(state, parameters, optimizer, path)
    optimizer.load_state_dict({"state": state, "param_groups": plain["param_groups"]})


def _parameter(index: str, parameters: list[Tensor], what: str) -> Tensor:
    if not index.isdecimal() or not index.isascii() or int(index) >= len(parameters):
        raise RunError(f"{what} is of no parameter; there are {len(parameters)}. {FOREIGN}")
    return parameters[int(index)]


def _fits(key: str, tensor: Tensor, parameter: Tensor) -> bool:
    """Whether it may go with a parameter: a count, what is summed over axes, or as large."""
    if key in COUNTERS:
        return not tensor.dim()
    if key not in SUMMED:
        return tensor.shape == parameter.shape
    return tensor.dim() == parameter.dim() and all(
        own in (1, size) for own, size in zip(tensor.shape, parameter.shape, strict=True)
    )


def _check_counter(what: str, key: str, value: float, steps: int | None) -> None:
    if not isfinite(value) or value < 0:
        raise RunError(f"{what} is {value}, which is no count. {FOREIGN}")
    if key == "step" and steps is not None and value > steps:
        raise RunError(f"{what} is {value:,.0f}, and {steps:,} steps were taken. {FOREIGN}")


def _check_kept(
    state: Mapping[int, Mapping[str, Any]],
    parameters: list[Tensor],
    optimizer: Optimizer,
    path: Path,
) -> None:
    """Raise RunError unless of each parameter is kept what the optimizer keeps of its like."""
    kept: dict[int, Mapping[str, Any]] = {}
    for index, values in state.items():
        dim = parameters[index].dim()
        if dim not in kept:
            kept[dim] = _example(optimizer, dim) if isinstance(optimizer, Optimizer) else values
        expected = kept[dim]
        if values.keys() != expected.keys():
            raise RunError(
                f"{path} holds {', '.join(sorted(values)) or 'nothing'} of parameter {index}, and "
                f"this optimizer keeps {', '.join(sorted(expected)) or 'nothing'}. {FOREIGN}"
            )
        if odd := [k for k, v in values.items() if v is None and expected[k] is not None]:
            raise RunError(f"{path} holds no {odd[0]} of parameter {index}. {FOREIGN}")


def _example(optimizer: Optimizer, dim: int) -> Mapping[str, Any]:
    """Return what a step of an optimizer with these options keeps of a parameter."""
    parameter = nn.Parameter(torch.zeros([2] * dim))
    parameter.grad = torch.zeros_like(parameter)
    twin = copy(optimizer)
    twin.state = defaultdict(dict)
    group = optimizer.param_groups[0]
    # it lies in the memory of the machine, where these are not for every type
    plain: dict[str, Any] = {key: False for key in ("capturable", "fused") if key in group}
    twin.param_groups = [{**group, **plain, "params": [parameter]}]
    twin.step()
    return dict(twin.state[parameter])
