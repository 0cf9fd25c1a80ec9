"""Saving and loading: each tensor once, safetensors and JSON (never pickle), all or nothing."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rrgcore.errors import RunError
from rrgcore.files import written_whole
from rrgcore.interfaces import Pretrained

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
ALIASES = "aliases"
"""The key of a model file's metadata under which the other names of shared tensors stand."""


LEFT_OUT = "left out"
"""The key under which the tensors stand that published weights hold already."""
SAMPLED = 65_536
"""Values of each tensor that a fingerprint looks at: all of a small one, evenly spaced ones of a
large one. Other weights have another fingerprint; reading 13 GB twice is spared.
"""


@final
@dataclass(frozen=True, slots=True)
class LeftOut:
    """Parameters that a checkpoint names instead of holding them: published, and never trained."""

    module: str
    """The component's name in the model."""
    weights: str
    names: tuple[str, ...]
    """Of the parameters, in the component."""
    fingerprint: str

    @property
    def full_names(self) -> list[str]:
        """Return the names of the parameters in the model."""
        return [f"{self.module}.{name}" for name in self.names]


def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """Tell tensors from others: by name, type, shape and values, on whatever device."""
    digest = blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        flat = tensor.detach().reshape(-1)
        few = flat[:: -(-len(flat) // SAMPLED) or 1].cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(few.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_model(folder: Path, model: nn.Module, left_out: Sequence[LeftOut] = ()) -> None:
    """Write a model's tensors, one that several names share under the first of them, without those
    that are left out.
    """
    first: dict[int, str] = {}
    aliases = {
        name: first.setdefault(id(tensor), name)
        for name, tensor in model.state_dict(keep_vars=True).items()
    }
    metadata = {name: other for name, other in aliases.items() if name != other}
    without = {name for each in left_out for name in each.full_names}
    tensors = {
        name: tensor.contiguous() for name, tensor in _unique(model).items() if name not in without
    }
    words = {
        ALIASES: json.dumps(metadata),
        LEFT_OUT: json.dumps([asdict(each) for each in left_out]),
    }
    save_file(tensors, folder / MODEL, metadata=words)


def not_saved(module: nn.Module) -> list[str]:
    """Name the modules in it whose state is not only tensors: torch's `get_extra_state`."""
    return [
        name
        for name, part in module.named_modules()
        if type(part).get_extra_state is not nn.Module.get_extra_state
    ]


def load_model(folder: Path, model: nn.Module) -> None:
    """Read what `save_model` wrote; raises RunError when names or shapes differ.

    What was left out is in the model already, or is read from the weights that the checkpoint
    names; raises RunError where these are others now, WeightsError where they are absent.
    """
    wanted = _unique(model)
    stored = _load(folder / MODEL)
    for each in _left_out(folder):
        _check_left_out(each, model, folder)
        for name in each.full_names:
            wanted.pop(name, None)
    if wanted.keys() != stored.keys():
        missing = sorted(wanted.keys() - stored.keys())
        extra = sorted(stored.keys() - wanted.keys())
        differences = [
            f"{len(names)} tensors {what} ({', '.join(names[:3])}{', …' if names[3:] else ''})"
            for names, what in ((missing, "missing"), (extra, "too many"))
            if names
        ]
        raise RunError(
            f"{folder / MODEL} does not fit this model: {', '.join(differences)}. "
            "Was it saved by another recipe?"
        )
    _copy(wanted, stored, folder)


def load_part(folder: Path, part: str, module: nn.Module) -> None:
    """Start one part from another run's checkpoint, by the part's address in the model."""
    stored = _load(folder / MODEL)
    aliases = json.loads(_metadata(folder).get(ALIASES, "{}"))
    section, _, key = part.partition(".")
    prefix = f"objectives.{key}" if section == "objectives" else f"parts.{part}"
    found = {}
    wanted = _unique(module)
    for each in _left_out(folder):
        if each.module == prefix:
            _check_left_out(replace(each, module=""), module, folder)
            for name in each.names:
                wanted.pop(name, None)
    for name in wanted:
        full = f"{prefix}.{name}"
        if (tensor := stored.get(aliases.get(full, full))) is not None:
            found[name] = tensor
    if missing := sorted(wanted.keys() - found.keys()):
        raise RunError(
            f"init.{part}: {folder} holds no {', '.join(missing[:3])}"
            f"{f' and {len(missing) - 3} more' if len(missing) > 3 else ''} of this part. "
            "Do both recipes name the same component there?"
        )
    _copy(wanted, found, folder)


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
    save_file(tensors, folder / OPTIMIZER)
    return {"state": plain, "param_groups": state["param_groups"]}


def load_optimizer(folder: Path, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Read an optimizer's state back."""
    state: dict[int, dict[str, Any]] = {int(i): dict(v) for i, v in plain["state"].items()}
    for name, tensor in _load(folder / OPTIMIZER).items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": plain["param_groups"]}


def link_folder(source: Path, target: Path) -> None:
    """Give a checkpoint a second name without storing it twice, where the file system can."""
    with written_whole(target) as folder:
        for file in source.iterdir():
            try:
                os.link(file, folder / file.name)
            except OSError:
                shutil.copy2(file, folder / file.name)


def _metadata(folder: Path) -> dict[str, str]:
    with safe_open(folder / MODEL, framework="pt") as file:
        return dict(file.metadata() or {})


def _left_out(folder: Path) -> list[LeftOut]:
    entries = json.loads(_metadata(folder).get(LEFT_OUT, "[]"))
    return [LeftOut(**{**entry, "names": tuple(entry["names"])}) for entry in entries]


def _check_left_out(each: LeftOut, model: nn.Module, folder: Path) -> None:
    """See that a model holds what its checkpoint left out, and read it where it does not yet."""
    module = model.get_submodule(each.module)

    def held() -> str:
        parameters = dict(module.named_parameters(remove_duplicate=False))
        there = {name: parameters[name] for name in each.names if name in parameters}
        if len(there) < len(each.names):
            return f"only {len(there)} of {len(each.names)} tensors"
        # a model without values holds none to compare
        if any(parameter.is_meta for parameter in there.values()):
            return each.fingerprint
        return fingerprint_of(there)

    found = held()
    if found != each.fingerprint and isinstance(module, Pretrained) and module.weights is not None:
        module.load_weights()
        found = held()
    if found != each.fingerprint:
        raise RunError(
            f"{folder / MODEL} was trained on the weights '{each.weights}', which it does not "
            f"hold, and those here now are others (expected the fingerprint "
            f"{each.fingerprint[:12]}, found {found[:12] if ' ' not in found else found}). Bring "
            "the same weights"
        )


def _unique(module: nn.Module) -> dict[str, Tensor]:
    """Name every tensor once: parameters and persistent buffers, the first name of a shared one."""
    seen: set[int] = set()
    unique: dict[str, Tensor] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            unique[name] = tensor.detach()
    return unique


def _copy(wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor], folder: Path) -> None:
    for name, tensor in wanted.items():
        if tensor.shape != stored[name].shape:
            raise RunError(
                f"{folder / MODEL}: {name} is {_size(stored[name])}, this model's is "
                f"{_size(tensor)}. Was it saved by another recipe?"
            )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(stored[name])


def _size(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"


def _load(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise RunError(f"{path} is not there: the run has not saved this checkpoint")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}); go on from another checkpoint") from error
