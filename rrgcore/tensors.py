"""Tensors in a safetensors file: written, read whole, and held against what they are to fill."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from rrgcore.disk import writing
from rrgcore.errors import RunError
from rrgcore.sharding import part_of

FOREIGN: Final = "Was it saved by another recipe?"


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a file, and words beside the tensors; raises WriteError."""
    with writing(path, needed=sum(tensor.nbytes for tensor in tensors.values())):
        path.touch()
        mode = path.stat().st_mode
        save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
        path.chmod(mode)  # the library's files are for nobody else's eyes


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file; raises RunError where it is absent or damaged."""
    check_there(path)
    try:
        return load_file(path)
    except Exception as error:  # of what bytes can be, the library does not refuse all alike
        raise damaged(path, error) from error


def load_metadata(path: Path) -> dict[str, str]:
    """Read what stands beside the tensors of a file; raises RunError."""
    check_there(path)
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:  # as above
        raise damaged(path, error) from error


def check_there(path: Path) -> None:
    """Raise RunError for a file that a checkpoint should have."""
    if not path.is_file():
        raise RunError(f"{path} is not there: the run has not saved this checkpoint")


def damaged(path: Path, why: object) -> RunError:
    """Say that a file of a checkpoint cannot be read."""
    return RunError(f"{path} is damaged ({why}); go on from another checkpoint")


def check_names(wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: Path) -> None:
    """Raise RunError unless a file holds just the tensors that are wanted."""
    missing = sorted(wanted.keys() - stored.keys())
    extra = sorted(stored.keys() - wanted.keys())
    differences = [
        f"{len(names)} tensors {what} ({', '.join(names[:3])}{', …' if names[3:] else ''})"
        for names, what in ((missing, "missing"), (extra, "too many"))
        if names
    ]
    if differences:
        raise RunError(f"{path} does not fit this model: {', '.join(differences)}. {FOREIGN}")


def copy_tensors(
    wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: Path, *, cast: bool = False
) -> None:
    """Fill tensors with those of a file, all or none; raises RunError for other shapes or types.

    Where a process holds a part of a tensor, it takes that part.

    `cast`: one type of float may stand for another.
    """
    for name, tensor in wanted.items():
        found = stored[name]
        if tensor.shape != found.shape:
            raise RunError(
                f"{path}: {name} is {_size(found)}, this model's is {_size(tensor)}. {FOREIGN}"
            )
        both_float = tensor.is_floating_point() and found.is_floating_point()
        if tensor.dtype != found.dtype and not (cast and both_float):
            raise RunError(
                f"{path}: {name} is {_type(found)}, this model's is {_type(tensor)}. {FOREIGN}"
            )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(part_of(stored[name], tensor))


def _size(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
