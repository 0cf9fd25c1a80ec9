"""Saving and loading: each tensor once, safetensors and JSON (never pickle), all or nothing."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rrgcore.errors import RunError

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; it takes the name `folder` only when everything is written."""
    beside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    yield beside
    if folder.exists():
        gone = folder.with_name(f".{folder.name}.replaced")
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        beside.rename(folder)
        shutil.rmtree(gone)
    else:
        beside.rename(folder)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is there whole or not at all."""
    beside = path.with_name(f".{path.name}.writing")
    beside.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(beside, path)


def save_model(folder: Path, model: nn.Module) -> None:
    """Write a model's tensors, one that several names share under the first of them."""
    save_file(_unique(model), folder / MODEL, metadata={"format": "pt"})


def load_model(folder: Path, model: nn.Module) -> None:
    """Read what `save_model` wrote; raises RunError when names or shapes differ."""
    wanted = _unique(model)
    stored = _load(folder / MODEL)
    if wanted.keys() != stored.keys():
        missing, extra = (
            sorted(wanted.keys() - stored.keys()),
            sorted(stored.keys() - wanted.keys()),
        )
        raise RunError(
            f"{folder / MODEL} does not fit this model: {len(missing)} tensors missing "
            f"({', '.join(missing[:3])}), {len(extra)} too many ({', '.join(extra[:3])}). "
            "Was it saved by another recipe?"
        )
    _copy(wanted, stored, folder)


def load_part(folder: Path, part: str, module: nn.Module) -> None:
    """Start one part from another run's checkpoint, by the part's address in the model."""
    stored = _load(folder / MODEL)
    section, _, key = part.partition(".")
    prefix = f"objectives.{key}." if section == "objectives" else f"parts.{part}."
    found = {name.removeprefix(prefix): t for name, t in stored.items() if name.startswith(prefix)}
    wanted = _unique(module)
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise RunError(
            f"init.{part}: {folder} holds no {', '.join(missing[:3])}"
            f"{f' and {len(missing) - 3} more' if len(missing) > 3 else ''} of this part. "
            "Do both recipes name the same component there?"
        )
    _copy(wanted, {name: found[name] for name in wanted}, folder)


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
    tensors["rng.cpu"] = torch.get_rng_state()
    for device in range(torch.cuda.device_count()):
        tensors[f"rng.cuda.{device}"] = torch.cuda.get_rng_state(device)
    save_file(tensors, folder / OPTIMIZER)
    return {"state": plain, "param_groups": state["param_groups"]}


def load_optimizer(folder: Path, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Read an optimizer's state back, and set the random generators to where they were."""
    tensors = _load(folder / OPTIMIZER)
    torch.set_rng_state(tensors.pop("rng.cpu"))
    state: dict[int, dict[str, Any]] = {int(i): dict(v) for i, v in plain["state"].items()}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if index == "rng":
            torch.cuda.set_rng_state(tensor, int(key.removeprefix("cuda.")))
        else:
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


def _unique(module: nn.Module) -> dict[str, Tensor]:
    """Name every tensor once: parameters and persistent buffers, the first name of a shared one."""
    state = module.state_dict(keep_vars=True)
    seen: set[int] = set()
    unique: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            unique[name] = tensor.detach()
    return {name: tensor.contiguous() for name, tensor in unique.items()}


def _copy(wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor], folder: Path) -> None:
    for name, tensor in wanted.items():
        if tensor.shape != stored[name].shape:
            raise RunError(
                f"{folder}: {name} is {tuple(stored[name].shape)}, this model's is "
                f"{tuple(tensor.shape)}. Was it saved by another recipe?"
            )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(stored[name])


def _load(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise RunError(f"{path} is not there: the run has not saved this checkpoint")
    try:
        with safe_open(path, framework="pt"):
            pass
    except Exception as error:
        raise RunError(f"{path} is damaged ({error}); resume from another checkpoint") from error
    return load_file(path)
