"""A batch on disk, with everything that a forward needs to be the same again."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from math import isfinite
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor

from rrgcore.checkpoint import MODEL, load_model
from rrgcore.errors import RunError
from rrgcore.files import read_json, write_json
from rrgcore.model import ReportModel
from rrgcore.plugins import GROUP
from rrgcore.tensors import load_tensors, save_tensors
from rrgcore.types import Batch, Losses

BATCH, TENSORS = "batch.json", "batch.safetensors"
PACKED = frozenset(("torch.nn.utils.rnn:PackedSequence",))
"""The one container of tensors that is of torch; numpy has none."""


def save_batch(folder: Path, batch: Batch, facts: Mapping[str, Any]) -> None:
    """Write a batch, its tensors under the addresses that they have in it, and facts about it."""
    tensors: dict[str, Tensor] = {}
    tree = _flatten(batch, "", tensors)
    save_tensors(folder / TENSORS, tensors)
    described = {name: _described(tensor) for name, tensor in tensors.items()}
    write_json(folder / BATCH, {**_plain(facts), "tensors": described, "batch": tree})


def load_saved_batch(path: str | Path) -> "SavedBatch":
    """Read a batch that a run has left in its folder `nonfinite`; raises RunError for none."""
    return SavedBatch(Path(path))


@final
class SavedBatch:
    """A batch that was saved for inspection, and what was known of it."""

    def __init__(self, path: Path) -> None:
        if not (path / BATCH).is_file():
            below = sorted(found.parent.name for found in path.glob(f"*/{BATCH}"))
            several = f"; it has {', '.join(below)}: name one of them" if below else ""
            raise RunError(
                f"{path} holds no saved batch{several or '; expected RUN/nonfinite/step-…'}"
            )
        self.path = path
        self.facts = read_json(path / BATCH)
        """What batch.json says: where training stood, losses, studies and their reports."""

    @cached_property
    def batch(self) -> Batch:
        """The batch, on the CPU; raises RunError where it is damaged, or a class is not at hand."""
        tensors = load_tensors(self.path / TENSORS)
        try:
            batch = _rebuild(self.facts["batch"], tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{self.path} is damaged ({error!r})") from error
        if not isinstance(batch, Batch):
            raise RunError(f"{self.path} is damaged (it holds no batch)")
        return batch

    def load_weights(self, model: ReportModel) -> None:
        """Read the weights that the model had at that step, where they were saved; raises RunError.

        They are those before the step: it was not taken.
        """
        places = [self.path, self.path.parent]  # of several batches, beside them
        found = next((place for place in places if (place / MODEL).is_file()), None)
        if found is None:
            raise RunError(f"{self.path} has no {MODEL}: it was saved without the weights")
        load_model(found, model)

    def forward(self, model: ReportModel) -> Losses:
        """Compute its losses as training did: the same masks, dropout, precision and weights of
        objectives. Seeds torch, and leaves the model in training mode.
        """
        facts = self.facts
        if missing := {"torch_seed", "precision", "weights", "shares"} - facts.keys():
            raise RunError(f"{self.path / BATCH} is damaged (it does not say {min(missing)})")
        device = next(model.parameters()).device
        torch.manual_seed(facts["torch_seed"])
        model.train()
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(facts["precision"])
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            return cast(Losses, model(self.batch.to(device), facts["weights"], facts["shares"]))


# ---- a tree of values, its tensors apart ----------------------------------------------------


def _flatten(value: Any, address: str, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON that names its tensors, which are added to `tensors`."""

    def below(items: Mapping[str, Any]) -> dict[str, Any]:
        head = f"{address}." if address else ""
        return {key: _flatten(item, f"{head}{key}", tensors) for key, item in items.items()}

    if isinstance(value, (Tensor, np.ndarray)):
        is_array = isinstance(value, np.ndarray)
        tensor = torch.from_numpy(np.array(value)) if is_array else cast(Tensor, value)
        tensors[address] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"array" if is_array else "tensor": address}
    if is_dataclass(value) and not isinstance(value, type):
        held = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
        if isinstance(value, Batch) and value.text is value.report:
            del held["text"]
        return {"class": _name(type(value)), "fields": below(held)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {
            "class": _name(type(value)),
            "fields": below(dict(zip(value._fields, value, strict=True))),
        }
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": below(value)}
    if isinstance(value, (list, tuple)):
        items = list(below({str(i): item for i, item in enumerate(value)}).values())
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if isinstance(value, float) and not isfinite(value):
        return {"number": str(value)}
    if value is None or isinstance(value, (bool, int, str, float)):
        return {"value": value}
    return {"left out": _name(type(value))}


def _rebuild(node: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    match dict(node):
        case {"tensor": address}:
            return tensors[address]
        case {"array": address}:
            return tensors[address].numpy()
        case {"class": name, "fields": held}:
            values = {key: _rebuild(item, tensors) for key, item in held.items()}
            cls = _class(name)
            if cls is Batch and "text" not in values:
                values["text"] = values["report"]
            return cls(**values)
        case {"mapping": items}:
            return {key: _rebuild(item, tensors) for key, item in items.items()}
        case {"list": items}:
            return [_rebuild(item, tensors) for item in items]
        case {"tuple": items}:
            return tuple(_rebuild(item, tensors) for item in items)
        case {"value": value}:
            return value
        case {"number": text}:
            return float(text)
        case {"left out": name}:
            raise RunError(f"a {name} in it could not be saved: it is no tensor and no plain value")
    raise ValueError(f"{node} is nothing that a batch is made of")


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(name: str) -> type:
    """Find a class by its name: of core, of a plugin, or what torch packs sequences in.

    A batch is data: it brings no other module into the process, and makes no other object, however
    harmless a class may look by which somebody else's module configures the process.
    """
    module, _, attribute = name.partition(":")
    if name not in PACKED and not _is_ours(module):
        raise RunError(
            f"{name} is neither of rrgcore nor of a plugin that is at hand; load the run and its "
            "plugins before its batch"
        )
    if module not in sys.modules:
        with suppress(ImportError):
            import_module(module)
    found = getattr(sys.modules.get(module), attribute, None)
    # a module of ours has classes of others in it that it has imported
    if (
        not isinstance(found, type)
        or not (is_dataclass(found) or hasattr(found, "_fields"))
        or _name(found) != name
    ):
        raise RunError(f"{name} is not at hand; load the run and its plugins before its batch")
    return found


def _is_ours(module: str) -> bool:
    """Whether a module is of core, of an installed plugin, or of a plugin file that was loaded."""
    top = module.partition(".")[0]
    installed = {point.module.partition(".")[0] for point in entry_points(group=GROUP)}
    if top == "rrgcore" or top in installed:
        return True
    loaded = sys.modules.get(module)
    hook = None if loaded is None else vars(loaded).get("rrg_components")
    return hasattr(hook, "rrg_impl")  # pluggy's mark on what is marked as a hook of rrg


def _described(tensor: Tensor) -> dict[str, Any]:
    facts: dict[str, Any] = {"shape": list(tensor.shape), "type": str(tensor.dtype)[6:]}
    if tensor.is_floating_point() and tensor.numel():
        finite = torch.isfinite(tensor)
        facts["not_finite"] = int((~finite).sum())
        if bool(finite.any()):
            facts["least"], facts["most"] = (
                float(f(tensor[finite])) for f in (torch.min, torch.max)
            )
    return facts


def _plain(value: Any) -> Any:
    """Return what JSON can hold: it has no infinity."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value
