"""Published weights: found, read, and fitted to a module of ours."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rrg_backbones.transformer import Transformer
from rrgcore.api import WeightsError
from rrgcore.hub import hub_reachable

_FILES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by the names they were published under."""

    name: str
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)
    """The folder's config.json; nothing where there is only a file."""


def read_checkpoint(name: str, *, hub_name: str | None = None) -> Checkpoint:
    """Read a weight file, a folder with one, or a hub repository; raises WeightsError.

    Pickles are opened with `weights_only`. The hub's local cache is asked first.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return Checkpoint(name, _read_file(path), read_json(path.parent / "config.json"))
    if path.is_dir():
        return Checkpoint(name, _read_folder(path), read_json(path / "config.json"))
    if looks_local(name):
        raise WeightsError(f"the weights '{name}' are a path, and there is no such file or folder")
    return _read_hub(name, hub_name or name)


def looks_local(name: str) -> bool:
    """Whether a name can only be meant as a path."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or Path(name).suffix in _SUFFIXES


_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or nothing where the file is absent; raises WeightsError."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(found, dict):
        raise _damaged(path, "it holds no JSON object")
    return found


def _damaged(path: Path, why: object) -> WeightsError:
    return WeightsError(f"{path} is damaged ({why}): fetch it again")


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(path, error) from error
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path} is not a file of weights that can be read safely: {error}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            data = data[key]
    if not (isinstance(data, Mapping) and all(isinstance(item, Tensor) for item in data.values())):
        raise WeightsError(f"{path} holds no mapping of names to tensors")
    return dict(data)


def _read_folder(folder: Path) -> dict[str, Tensor]:
    for file in _FILES:
        if (folder / file).is_file():
            return _read_file(folder / file)
    for index in _INDICES:
        if (folder / index).is_file():
            places = read_json(folder / index).get("weight_map")
            if not isinstance(places, dict):
                raise _damaged(folder / index, "it has no weight_map")
            files = set(places.values())
            return {
                key: t for file in sorted(files) for key, t in _read_file(folder / file).items()
            }
    raise WeightsError(f"the folder {folder} holds no weights: expected one of {', '.join(_FILES)}")


def _read_hub(name: str, repository: str) -> Checkpoint:
    from huggingface_hub import hf_hub_download  # takes a second: only where a hub name is given
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    def fetch(file: str, *, cached: bool) -> Path | None:
        try:
            return Path(hf_hub_download(repository, file, local_files_only=cached))
        except EntryNotFoundError:
            return None

    try:
        for cached in (True, False):
            if not cached and not hub_reachable():
                break
            for file in _FILES[:2]:
                if (path := fetch(file, cached=cached)) is not None:
                    config = fetch("config.json", cached=cached)
                    return Checkpoint(name, _read_file(path), read_json(config) if config else {})
    except (HfHubHTTPError, HFValidationError) as error:
        raise WeightsError(absent(name, repository)) from error
    raise WeightsError(absent(name, repository))


def absent(name: str, repository: str) -> str:
    """Say that weights are nowhere to be had, and how to bring them."""
    return (
        f"the weights '{name}' are neither a file or folder here nor to be had from the hub.\n"
        f"Where there is a network:  hf download {repository} --local-dir DIR\n"
        f"then bring DIR here and set weights: DIR"
    )


def check_trunk(
    checkpoint: Checkpoint, trunk: nn.Module, *, norm: str, found: Mapping[str, int | None]
) -> Transformer:
    """Return the trunk; raises WeightsError unless weights of such a norm and such sizes fit it.

    A size that is None is not known. Norm placement and heads leave no trace in the shapes: weights
    in the wrong place load, and are ruined.
    """
    if not isinstance(trunk, Transformer):
        raise WeightsError(
            f"the weights '{checkpoint.name}' go into a `transformer`; "
            f"this trunk is a {type(trunk).__name__}"
        )
    theirs = {"norm": norm, **{key: size for key, size in found.items() if size is not None}}
    ours = {key: getattr(trunk, key) for key in theirs}
    check_sizes(checkpoint.name, theirs, ours, place="the trunk")
    return trunk


def check_sizes(
    name: str, theirs: Mapping[str, object], ours: Mapping[str, object], *, place: str
) -> None:
    """Raise WeightsError, with the options to set, where weights have other sizes than ours."""
    differ = {key: value for key, value in theirs.items() if ours[key] != value}
    if differ:
        raise WeightsError(
            f"the weights '{name}' have {_listed(differ)}; "
            f"{place} has {_listed({key: ours[key] for key in differ})}. "
            f"Set {_listed(differ)} in {place}"
        )


def _listed(options: Mapping[str, object]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in options.items())


@final
class Names:
    """Takes tensors out of a checkpoint by their published names, and sees that none is left."""

    def __init__(self, checkpoint: Checkpoint, *, rename: Callable[[str], str]) -> None:
        self.name = checkpoint.name
        self._left = {rename(key): tensor for key, tensor in checkpoint.tensors.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def peek(self, name: str) -> Tensor:
        """Look at a tensor; raises WeightsError where there is none of that name."""
        if name not in self._left:
            raise WeightsError(
                f"the weights '{self.name}' have no '{name}'; is this another model?"
            )
        return self._left[name]

    def take(self, *names: str) -> Tensor:
        """Take a tensor, or several as one (q, k and v of a fused projection)."""
        tensors = [self.peek(name) for name in names]
        for name in names:
            del self._left[name]
        return torch.cat(tensors) if len(tensors) > 1 else tensors[0]

    def count(self, prefix: str) -> int:
        """Count numbered layers: `blocks.0.`, `blocks.1.`, …"""
        return len(
            {key.removeprefix(prefix).split(".")[0] for key in self._left if key.startswith(prefix)}
        )

    def check_spent(self, *, ignore: Iterable[str]) -> None:
        """Raise WeightsError where tensors are left that the module has no place for."""
        known = tuple(ignore)
        if left := sorted(key for key in self._left if not key.startswith(known)):
            raise WeightsError(
                f"the weights '{self.name}' have '{left[0]}', for which there is no place here "
                f"({len(left)} such tensors): they are another architecture's"
            )


@torch.no_grad()
def set_parameters(module: nn.Module, values: Mapping[str, Tensor], name: str) -> frozenset[str]:
    """Copy tensors into parameters; raises WeightsError where a shape differs."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for key, value in values.items():
        if parameters[key].shape != value.shape:
            raise WeightsError(
                f"the weights '{name}' have {tuple(value.shape)} for '{key}', "
                f"which is {tuple(parameters[key].shape)} here"
            )
    for key, value in values.items():
        parameters[key].copy_(value)
    return frozenset(values)
