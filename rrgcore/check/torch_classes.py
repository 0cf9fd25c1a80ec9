"""Optimizers and schedules: classes of torch by name, their arguments checked as options."""

import collections.abc
import inspect
from collections.abc import Mapping
from dataclasses import fields
from types import ModuleType
from typing import Any, TypeVar, cast, get_type_hints

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from rrgcore.check.reader import Reader
from rrgcore.errors import did_you_mean
from rrgcore.settings import OptimizerSettings, ScheduleSettings

S = TypeVar("S")

# what needs more than a recipe can say, or a step of another kind than training takes
NOT_BY_NAME = {
    "LBFGS": "needs to evaluate the loss several times a step",
    "SparseAdam": "takes sparse gradients only",
    "Muon": "takes matrices only",
    "ReduceLROnPlateau": "steps by a score; use `patience`",
    "SequentialLR": "is made of other schedules",
    "ChainedScheduler": "is made of other schedules",
    "LambdaLR": "is made of a function",
    "MultiplicativeLR": "is made of a function",
    "CyclicLR": "may be made of a function; use CosineAnnealingWarmRestarts",
}
"""Classes of torch that cannot be named in a stage, and why."""

NOT_OPTIONS = {"self", "params", "optimizer", "lr", "last_epoch", "verbose"}
"""Arguments of theirs that are no options of a stage."""


def optimizer_of(reader: Reader, value: Any, address: str) -> OptimizerSettings | None:
    """Read a stage's optimizer."""
    return _torch_class(reader, OptimizerSettings, torch.optim, Optimizer, value, address)


def schedule_of(reader: Reader, value: Any, address: str) -> ScheduleSettings | None:
    """Read a stage's schedule of the learning rate."""
    return _torch_class(reader, ScheduleSettings, lr_scheduler, LRScheduler, value, address)


def _torch_class(
    reader: Reader, settings: type[S], module: ModuleType, base: type, value: Any, address: str
) -> S | None:
    before = len(reader.problems)
    value = dict(reader.mapping(value, address))
    own = {f.name: f for f in fields(cast(Any, settings)) if f.name != "options"}
    name = str(value.get("name", own["name"].default))
    known = known_classes(module, base)
    if name not in known:
        noun = "optimizer" if base is Optimizer else "schedule"
        why = f" that a recipe can name: it {NOT_BY_NAME[name]}" if name in NOT_BY_NAME else ""
        reader.problem(
            f"{address}.name",
            f"torch has no {noun} '{name}'{why}.{did_you_mean(name, known)}\n"
            f"Known: {', '.join(sorted(known))}",
        )
        return None
    cls = getattr(module, name)
    arguments = {k: v for k, v in inspect.signature(cls).parameters.items() if k not in NOT_OPTIONS}
    hints = hints_of(cls)
    options: dict[str, Any] = {}
    for key, item in value.items():
        if key in own:
            continue
        if key not in arguments:
            names = [*arguments, *(key for key in own if key != "name")]
            reader.problem(
                f"{address}.{key}",
                f"{name} has no argument '{key}'.{did_you_mean(key, names)}\n"
                f"Arguments: {', '.join(names)}",
            )
            continue
        options[key] = reader.value(hints.get(key, Any), item, f"{address}.{key}")
    if missing := [k for k, v in arguments.items() if v.default is v.empty and k not in value]:
        reader.problem(address, f"{name} needs {', '.join(f'`{key}`' for key in missing)}")
        return None
    plain = {key: item for key, item in value.items() if key in own}
    found = reader.settings(settings, {**plain, "options": options}, address, ready=("options",))
    if found and len(reader.problems) == before:
        _try_to_build(reader, cls, options, address)
    return found


def hints_of(cls: Any) -> dict[str, Any]:
    """Return the annotations of a class's arguments, as far as they can be read."""
    try:
        # torch imports some of these for its type checker alone (MultiStepLR)
        return get_type_hints(cls.__init__, localns=dict(vars(collections.abc)))
    except NameError:
        return {}


def known_classes(module: ModuleType, base: type) -> list[str]:
    """List the classes of a module that a stage may name."""
    return [
        key
        for key, item in vars(module).items()
        if isinstance(item, type) and issubclass(item, base) and item is not base
        if key not in NOT_BY_NAME and not key.startswith("_") and key != "LRScheduler"
    ]


def _try_to_build(reader: Reader, cls: type, options: Mapping[str, Any], address: str) -> None:
    """Build it on one parameter, and take a step: torch checks ranges then, and only then."""
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    parameter.grad = torch.zeros(2, 2)
    try:
        if issubclass(cls, Optimizer):
            cast(Any, cls)([parameter], lr=1e-3, **options).step()
        else:
            optimizer = torch.optim.AdamW([parameter])
            schedule = cast(Any, cls)(optimizer, **options)
            optimizer.step()
            schedule.step()
    except (ValueError, TypeError, ZeroDivisionError) as error:
        reader.problem(address, f"torch refuses this {cls.__name__}: {error}")
