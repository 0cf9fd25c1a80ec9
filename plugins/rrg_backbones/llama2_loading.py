"""A Llama on disk: found, built without values, and read a tensor at a time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.utils.checkpoint
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from rrg_backbones.llama2_extras import shape_of
from rrg_backbones.weights import absent, looks_local, read_json
from rrgcore.api import WeightsError
from rrgcore.hub import hub_reachable

CONFIG = "config.json"
_STEMS = ("model.safetensors", "pytorch_model.bin")
_PATTERNS = (("*.safetensors", "*.safetensors.index.json"), ("*.bin", "*.bin.index.json"))
_BUFFER = ".rotary_emb.inv_freq"  # older checkpoints hold what follows from the configuration

Place = Callable[[str, Tensor], bool]
"""Puts the value of a named parameter somewhere itself; False leaves it to be copied."""


def read_config(weights: str) -> Any | None:
    """Read the configuration of published weights; None where it is nowhere to be had.

    Raises WeightsError for one that transformers does not know.
    """
    from transformers import AutoConfig  # takes seconds: only where a Llama is wanted

    folder = Path(weights).expanduser()
    if not folder.exists() and not looks_local(weights):
        found = _from_hub(weights, (CONFIG,), lambda folder: (folder / CONFIG).is_file())
        folder = found or folder
    if not (folder / CONFIG).is_file():
        return None
    kind = read_json(folder / CONFIG).get("model_type")
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"the weights '{weights}' are a {kind or 'model without a `model_type`'}, which "
            "llama2 does not read"
        ) from error


def make_llm(config: Any, *, dtype: torch.dtype, empty: bool, checkpoint: bool) -> Any:
    """Build a language model; `empty` draws no first values, for one that is given them later.

    `checkpoint` lets each layer compute its activations twice, while its own flag says training.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig
    from transformers.initialization import no_init_weights

    with no_init_weights() if empty else nullcontext():
        llm = AutoModelForCausalLM.from_config(config, dtype=dtype)
    llm.tie_weights()
    llm.generation_config = GenerationConfig()  # how to write, the recipe alone says
    if checkpoint:
        again = partial(torch.utils.checkpoint.checkpoint, use_reentrant=False)
        for layer in llm.model.layers:
            layer.gradient_checkpointing, layer._gradient_checkpointing_func = True, again
    return llm


def hold_still(llm: Any, *, training: bool) -> None:
    """Put a frozen model in eval mode, but for what is trained beside it."""
    llm.eval()
    for layer in llm.model.layers:
        layer.training = training  # for `checkpoint`: the flag of the layer alone, not of its parts
    for name, module in llm.named_modules():
        if ".lora_dropout." in name:
            module.train(training)


def load_llm(llm: nn.Module, weights: str, *, place: Place) -> frozenset[str]:
    """Read values into a model in place, one tensor at a time; return the names of parameters.

    On the meta device names and shapes are compared, and no value is read. Raises WeightsError.
    """
    parameters = dict(llm.named_parameters(remove_duplicate=False))
    wanted = {_published(name): name for name in parameters if "lora_" not in name}
    read: set[int] = set()
    for key, shape, value in _tensors(find_weights(weights)):
        if key.endswith(_BUFFER):
            continue
        if key not in wanted:
            raise WeightsError(
                f"the weights '{weights}' have '{key}', for which there is no place here: they are "
                "another architecture's"
            )
        parameter = parameters[wanted[key]]
        if (ours := shape_of(llm, wanted[key])) != shape:
            raise WeightsError(
                f"the weights '{weights}' have {shape} for '{key}', which is {ours} here"
            )
        if not parameter.is_meta and not place(wanted[key], tensor := value()):
            with torch.no_grad():
                parameter.copy_(tensor)
        read.add(id(parameter))
    # a head that is tied to the embedding has no tensor of its own
    names = frozenset(name for name in wanted.values() if id(parameters[name]) in read)
    if missing := [key for key, name in wanted.items() if name not in names]:
        raise WeightsError(
            f"the weights '{weights}' have no '{missing[0]}' ({len(missing)} tensors are missing): "
            "is this another model, or only a part of it?"
        )
    return names


def find_weights(weights: str) -> Path:
    """Return the folder of published weights, fetched from the hub where they are not here."""
    path = Path(weights).expanduser()
    if path.is_file():
        raise WeightsError(
            f"'{weights}' is a file; llama2 reads a folder with {CONFIG} and the weights, or a hub "
            "name"
        )
    if path.is_dir():
        if not (files := _files(path)):
            raise WeightsError(f"the folder {weights} holds no weights: expected {_STEMS[0]}")
        if gone := [file.name for file in files if not file.is_file()]:
            raise WeightsError(f"{path} lacks {gone[0]}, which its index names: fetch it again")
        return path
    if looks_local(weights):
        raise WeightsError(f"the weights '{weights}' are a path, and there is no such folder")

    def whole(folder: Path) -> bool:
        files = _files(folder)
        return bool(files) and all(file.is_file() for file in files)

    for patterns in _PATTERNS:
        if (folder := _from_hub(weights, (CONFIG, *patterns), whole)) is not None:
            return folder
    raise WeightsError(absent(weights, weights))


def _from_hub(weights: str, patterns: tuple[str, ...], good: Callable[[Path], bool]) -> Path | None:
    """Return the folder of a hub name in the cache, fetched where it is not good as it is."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    for cached in (True, False):
        if not cached and not hub_reachable():
            return None
        try:
            given = {"allow_patterns": list(patterns), "local_files_only": cached}
            found = Path(snapshot_download(weights, **given))
        except (HfHubHTTPError, HFValidationError, OSError):
            continue  # not in the cache; or the hub has none of that name, or will not give it
        if good(found):
            return found
    return None


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[int, ...], Callable[[], Tensor]]]:
    """Iterate over names, shapes, and ways to read the values."""
    for file in _files(folder):
        if file.suffix == ".safetensors":
            try:
                with safe_open(file, framework="pt") as tensors:
                    for key in tensors.keys():  # noqa: SIM118  it is no mapping
                        shape = tuple(tensors.get_slice(key).get_shape())
                        yield key, shape, lambda key=key, of=tensors: of.get_tensor(key)
            except (SafetensorError, OSError) as error:
                raise WeightsError(f"{file} is damaged ({error}): fetch it again") from error
        else:
            try:
                state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            except Exception as error:
                raise WeightsError(
                    f"{file} is not a file of weights that can be read safely: {error}"
                ) from error
            for key, tensor in state.items():
                yield key, tuple(tensor.shape), lambda tensor=tensor: tensor


def _files(folder: Path) -> list[Path]:
    """List the files of weights that a folder has, or that its index names."""
    for stem in _STEMS:
        places: Mapping[str, str] = read_json(folder / f"{stem}.index.json").get("weight_map", {})
        if places:
            return [folder / name for name in sorted(set(places.values()))]
        if (folder / stem).is_file():
            return [folder / stem]
    return []


def _published(name: str) -> str:
    return name.replace(".base_layer.", ".")  # what peft calls the linear map beside its matrices
