"""Saving and loading: each tensor once, safetensors and JSON (never pickle), all or nothing."""

import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from rrgcore.errors import RunError
from rrgcore.files import written_whole
from rrgcore.interfaces import Pretrained
from rrgcore.json_text import parse_json
from rrgcore.sharding import kept, whole
from rrgcore.tensors import (
    FOREIGN,
    check_names,
    copy_tensors,
    damaged,
    load_metadata,
    load_tensors,
    save_tensors,
)

MODEL = "model.safetensors"
STATE = "state.json"
ALIASES = "aliases"
"""The key of a model file's metadata under which the other names of shared tensors stand."""
LEFT_OUT = "left out"
"""The key under which the tensors stand that published weights hold already."""
BOTH = "aliases and left out"
"""The key under which both stand in one, since several entries of a file's metadata are written in
an order that is another each time, and the same run shall write the same bytes.
"""
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
        flat = whole(tensor).reshape(-1)
        few = flat[:: -(-len(flat) // SAMPLED) or 1].cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(few.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def whole_model(
    model: nn.Module, left_out: Sequence[LeftOut] = (), *, keep: bool = True
) -> dict[str, Tensor]:
    """Return a model's tensors, one that several names share under the first of them, without those
    that are left out; nothing where they are not to be kept.

    Of a model in shards they are gathered, by all processes at the same time.
    """
    without = {name for each in left_out for name in each.full_names}
    found = {name: tensor for name, tensor in _unique(model).items() if name not in without}
    return kept(found, keep=keep)


def save_model(
    folder: Path,
    model: nn.Module,
    left_out: Sequence[LeftOut] = (),
    tensors: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model's tensors, as `whole_model` returns them or has returned them."""
    found = whole_model(model, left_out) if tensors is None else tensors
    aliases, without = _aliases(model), [asdict(each) for each in left_out]
    key, words = (BOTH, {ALIASES: aliases, LEFT_OUT: without}) if without else (ALIASES, aliases)
    contiguous = {name: tensor.contiguous() for name, tensor in found.items()}
    save_tensors(folder / MODEL, contiguous, {key: json.dumps(words)})


def not_saved(module: nn.Module) -> list[str]:
    """Name the modules in it whose state is not only tensors: torch's `get_extra_state`."""
    return [
        name
        for name, part in module.named_modules()
        if type(part).get_extra_state is not nn.Module.get_extra_state
    ]


def load_model(folder: Path, model: nn.Module) -> None:
    """Read what `save_model` wrote; raises RunError where names, shapes, types or what shares what
    differ, before anything is filled.

    What was left out is in the model already, or is read from the weights that the checkpoint
    names; raises RunError where these are others now, WeightsError where they are absent.
    """
    path, wanted = folder / MODEL, _unique(model)
    stored, words = load_tensors(path), _words(path)
    shared = _shared(words, path)
    for each in _left_out(words, path):
        _check_left_out(each, model, path)
        for name in each.full_names:
            wanted.pop(name, None)
    check_names(wanted, stored, path)
    for name, first in _aliases(model).items():
        if shared.pop(name, None) != first:
            raise RunError(f"{path} does not say that {name} is {first}. {FOREIGN}")
    for name, first in shared.items():
        raise RunError(f"{path} says that {name} is {first}, and here it is not. {FOREIGN}")
    copy_tensors(wanted, stored, path)


def load_part(folder: Path, part: str, module: nn.Module) -> None:
    """Start one part from another run's checkpoint, by the part's address in the model."""
    path = folder / MODEL
    stored, words = load_tensors(path), _words(path)
    shared = _shared(words, path)
    section, _, key = part.partition(".")
    prefix = f"objectives.{key}" if section == "objectives" else f"parts.{part}"
    found = {}
    wanted = _unique(module)
    for each in _left_out(words, path):
        if each.module == prefix:
            _check_left_out(replace(each, module=""), module, path)
            for name in each.names:
                wanted.pop(name, None)
    for name in wanted:
        full = f"{prefix}.{name}"
        if (tensor := stored.get(shared.get(full, full))) is not None:
            found[name] = tensor
    if missing := sorted(wanted.keys() - found.keys()):
        raise RunError(
            f"init.{part}: {folder} holds no {', '.join(missing[:3])}"
            f"{f' and {len(missing) - 3} more' if len(missing) > 3 else ''} of this part. "
            "Do both recipes name the same component there?"
        )
    copy_tensors(wanted, found, path, cast=True)


def left_out_of(folder: Path) -> list[LeftOut]:
    """Return the published weights that a checkpoint names instead of holding them."""
    path = folder / MODEL
    return _left_out(_words(path), path)


def link_folder(source: Path, target: Path) -> None:
    """Give a checkpoint a second name without storing it twice, where the file system can."""
    with written_whole(target) as folder:
        link_files(source, folder)


def link_files(source: Path, target: Path, *, but: Collection[str] = ()) -> None:
    """Give the files of a folder, `but` some, a second name in another that is there."""
    for file in source.iterdir():
        if file.name not in but:
            try:
                os.link(file, target / file.name)
            except OSError:
                shutil.copy2(file, target / file.name)


def _words(path: Path) -> dict[str, Any]:
    """Read what a model file says beside its tensors; one that is older says it in two entries."""
    words = {key: _read(key, text, path) for key, text in load_metadata(path).items()}
    found = words.get(BOTH, words)
    if not isinstance(found, dict):
        raise damaged(path, f"'{BOTH}' is no object")
    return found


def _shared(words: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Return the other names of shared tensors, each with the first."""
    found = words.get(ALIASES, {})
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise damaged(path, f"its '{ALIASES}' are no names of tensors")
    return found


def _left_out(words: Mapping[str, Any], path: Path) -> list[LeftOut]:
    kinds = {"module": str, "weights": str, "names": list, "fingerprint": str}
    entries = words.get(LEFT_OUT, [])
    for entry in entries if isinstance(entries, list) else [entries]:
        if not (
            isinstance(entry, dict)
            and {key: type(value) for key, value in entry.items()} == kinds
            and all(isinstance(name, str) for name in entry["names"])
        ):
            raise damaged(path, f"'{LEFT_OUT}' does not say which tensors of which weights")
    return [LeftOut(**{**entry, "names": tuple(entry["names"])}) for entry in entries]


def _read(key: str, text: str, path: Path) -> Any:
    try:
        return parse_json(text) if key in (ALIASES, LEFT_OUT, BOTH) else text
    except ValueError as error:
        raise damaged(path, f"'{key}': {error}") from error


def _check_left_out(each: LeftOut, model: nn.Module, path: Path) -> None:
    """See that a model holds what its checkpoint left out, and read it where it does not yet."""
    try:
        module = model.get_submodule(each.module)
    except AttributeError as error:
        raise RunError(
            f"{path} names the weights '{each.weights}' for '{each.module}', and this model has no "
            f"such part. {FOREIGN}"
        ) from error

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
            f"{path} was trained on the weights '{each.weights}', which it does not "
            f"hold, and those here now are others (expected the fingerprint "
            f"{each.fingerprint[:12]}, found {found[:12] if ' ' not in found else found}). Bring "
            "the same weights"
        )


def _aliases(module: nn.Module) -> dict[str, str]:
    """Return the other names of tensors that several names share, each with the first."""
    first: dict[int, str] = {}
    names = {
        name: first.setdefault(id(tensor), name)
        for name, tensor in module.state_dict(keep_vars=True).items()
    }
    return {name: other for name, other in names.items() if name != other}


def _unique(module: nn.Module) -> dict[str, Tensor]:
    """Name every tensor once: parameters and persistent buffers, the first name of a shared one."""
    seen: set[int] = set()
    unique: dict[str, Tensor] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            unique[name] = tensor.detach()
    return unique
