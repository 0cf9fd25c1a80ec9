"""An optimizer's state: tensors in safetensors, the rest in state.json, each held against the
optimizer that it is for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from rrgcore.errors import RunError
from rrgcore.sharding import divided_state
from rrgcore.stage_state import check_alike, is_number
from rrgcore.tensors import FOREIGN, check_names, load_tensors, save_tensors

OPTIMIZER = "optimizer.safetensors"


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
    folder: Path, plain: Mapping[str, Any], optimizer: Optimizer, *, said_by: Path
) -> None:
    """Give an optimizer its state back, and of a model in shards each process its part; raises
    RunError for one of other parameters or groups, and for tensors of other shapes.
    """
    path = folder / OPTIMIZER
    named, values = plain.get("tensors"), plain.get("state")
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise RunError(f"{said_by} is damaged: optimizer.tensors is no list of names")
    if not isinstance(values, dict) or not all(isinstance(each, dict) for each in values.values()):
        raise RunError(f"{said_by} is damaged: optimizer.state is no object of objects")
    groups = optimizer.state_dict()["param_groups"]
    check_alike(said_by, "optimizer.param_groups", plain.get("param_groups"), groups)
    for found, group in zip(plain["param_groups"], groups, strict=True):
        if found["params"] != group["params"]:
            raise RunError(f"{said_by}: optimizer.param_groups has other parameters. {FOREIGN}")
    stored = load_tensors(path)
    check_names(dict.fromkeys(named, Tensor()), stored, path)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in stored.items():
        index, _, key = name.partition(".")
        parameter = _parameter(index, parameters, f"{path}: {name}")
        if not tensor.is_floating_point() or not _fits(tensor, parameter):
            raise RunError(
                f"{path}: {name} is {tuple(tensor.shape)} of {tensor.dtype}, and its parameter is "
                f"{tuple(parameter.shape)}. {FOREIGN}"
            )
        state.setdefault(int(index), {})[key] = divided_state(tensor, parameter)
    for index, numbers in values.items():
        _parameter(index, parameters, f"{said_by}: optimizer.state.{index}")
        for key, value in numbers.items():
            if not (value is None or isinstance(value, bool) or is_number(value)):
                raise RunError(f"{said_by} is damaged: optimizer.state.{index}.{key} is no number")
        state.setdefault(int(index), {}).update(numbers)
    keys = [each.keys() for each in state.values()]
    if odd := [index for index, each in state.items() if each.keys() != keys[0]]:
        raise RunError(
            f"{path} holds {', '.join(sorted(state[odd[0]]))} of parameter {odd[0]}, and "
            f"{', '.join(sorted(keys[0]))} of others; it is damaged"
        )
    optimizer.load_state_dict({"state": state, "param_groups": plain["param_groups"]})


def _parameter(index: str, parameters: list[Tensor], what: str) -> Tensor:
    if not index.isdecimal() or not index.isascii() or int(index) >= len(parameters):
        raise RunError(f"{what} is of no parameter; there are {len(parameters)}. {FOREIGN}")
    return parameters[int(index)]


def _fits(tensor: Tensor, parameter: Tensor) -> bool:
    """Whether it may go with a parameter: one number, or as large, or that but for axes of one."""
    if tensor.numel() == 1:
        return True
    return tensor.dim() == parameter.dim() and all(
        own in (1, size) for own, size in zip(tensor.shape, parameter.shape, strict=True)
    )
