"""A timm classifier of grey images: built, filled from published weights, asked."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import timm
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from rrgcore.errors import WeightsError, did_you_mean
from rrgcore.hub import hub_reachable

FILE = "model.safetensors"
GREY = ((0.5,), (0.25,))
"""Mean and deviation of the pixels for a network that starts from random values: one channel."""


@final
@dataclass(frozen=True, slots=True)
class Architecture:
    """What a network is built from, besides its weights."""

    model: str
    image_size: int
    outputs: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def build(self) -> nn.Module:
        """Make it, with values drawn from torch's global state: call it in `own_randomness`."""
        return _create(self.model, self.image_size, self.outputs, in_chans=len(self.mean))

    def pixels(self, images: UInt8[Tensor, "m h w"]) -> Float[Tensor, "m c h w"]:
        """Return images as the network wants them."""
        mean, std = (torch.tensor(each, device=images.device) for each in (self.mean, self.std))
        grey = images.unsqueeze(1).float() / 255
        return (grey - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def check_model(name: str) -> None:
    """Raise ValueError unless timm has a model of this name."""
    if not timm.is_model(name):
        raise ValueError(f"timm has no model '{name}'.{did_you_mean(name, timm.list_models())}")


def begin(
    model: str, *, image_size: int, outputs: int, weights: str | None
) -> tuple[Architecture, nn.Module]:
    """Build a network to be fitted, and say what it is; raises WeightsError.

    Published weights keep their three channels, which are all the grey image.
    """
    if weights is None:
        architecture = Architecture(model, image_size, outputs, *GREY)
        return architecture, architecture.build()
    file = _find(weights)
    config = _config(file)
    if (other := config.get("architecture", model)) != model:
        raise _misfit(weights, model, f"their config.json says {other}")
    pixels = {k: v for k, v in config.get("pretrained_cfg", {}).items() if k in ("mean", "std")}
    state = torch.get_rng_state()
    try:
        network = _create(
            model,
            image_size,
            outputs,
            in_chans=3,
            pretrained=True,
            pretrained_cfg_overlay={"file": str(file), **pixels},
        )
    except Exception as error:
        raise _misfit(weights, model, f"{type(error).__name__}: {error}") from error
    torch.set_rng_state(state)
    published: dict[str, Any] = dict(network.pretrained_cfg)
    if unset := _unset(network, _create(model, image_size, outputs, in_chans=3), published):
        raise _misfit(weights, model, f"they have no {', '.join(unset[:3])}")
    mean, std = tuple(published["mean"]), tuple(published["std"])
    return Architecture(model, image_size, outputs, mean, std), network


def _misfit(weights: str, model: str, why: str) -> WeightsError:
    return WeightsError(f"the weights '{weights}' are not those of a {model}: {why}")


def _unset(network: nn.Module, fresh: nn.Module, published: Mapping[str, Any]) -> list[str]:
    """List the matrices, but for the classifier's, that still have their first values.

    For another number of classes timm takes what fits from a file, and is content with nothing.
    """
    heads = published.get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ((heads,) if isinstance(heads, str) else heads))
    first = dict(fresh.named_parameters())
    return [
        name
        for name, tensor in network.named_parameters()
        if tensor.dim() > 1 and not name.startswith(prefixes) and torch.equal(tensor, first[name])
    ]


def check_weights(weights: str | None) -> None:
    """Raise ValueError for a file that is not there."""
    if weights is None or not _looks_local(weights):
        return
    path = Path(weights).expanduser()
    if not path.is_file() and not (path / FILE).is_file():
        raise ValueError(
            f"the weights '{weights}' are a path, and there is no such file, nor a folder with a "
            f"{FILE}"
        )


@contextmanager
def own_randomness(seed: int, device: str) -> Iterator[None]:
    """Seed torch for what draws from its global state (first values, dropout), and put it back."""
    kind = torch.device(device)
    devices = [] if kind.type == "cpu" else [kind]
    with torch.random.fork_rng(devices, device_type=kind.type if devices else "cuda"):
        torch.manual_seed(seed)
        yield


@torch.inference_mode()
def ask(
    network: nn.Module,
    architecture: Architecture,
    images: Sequence[UInt8[Tensor, "h w"]],
    *,
    batch_size: int,
    device: str,
) -> Float[Tensor, "m o"]:
    """Return the probabilities of some images; `network` is on the device, in evaluation.

    Every batch is of the same size, filled up with black: an image gets the same number, to the
    last bit, whatever stands beside it.
    """
    found = []
    for start in range(0, len(images), batch_size):
        some = torch.stack(list(images[start : start + batch_size]))
        full = some.new_zeros(batch_size, *some.shape[1:])
        full[: len(some)] = some
        logits = network(architecture.pixels(full.to(device)))
        found.append(logits.sigmoid()[: len(some)].cpu())
    return torch.cat(found)


def _create(model: str, image_size: int, outputs: int, **options: Any) -> nn.Module:
    published = timm.get_pretrained_cfg(model, allow_unregistered=True)
    if published is not None and published.fixed_input_size:
        options["img_size"] = image_size
    network: nn.Module = timm.create_model(model, num_classes=outputs, **options)
    return network


def _find(weights: str) -> Path:
    """Return the file: the one that is named, that of a folder, or the hub's, from its cache where
    it is there.
    """
    path = Path(weights).expanduser()
    if path.is_dir():
        path /= FILE
    if path.is_file():
        return path
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if "/" in weights:
        repository = weights
    else:  # as timm calls its own: densenet121.ra_in1k
        published = timm.get_pretrained_cfg(weights, allow_unregistered=True)
        repository = (published and published.hf_hub_id) or f"timm/{weights}"
    known = try_to_load_from_cache(repository, FILE)
    if isinstance(known, str):
        return Path(known)
    if not hub_reachable():
        raise WeightsError(
            f"the weights '{weights}' are no file here, and the hub cannot be asked for them: name "
            "a file, or leave `weights` away to start from random values"
        )
    try:
        hf_hub_download(repository, "config.json")
        return Path(hf_hub_download(repository, FILE))
    except OSError as error:  # what the hub's client raises is one
        raise WeightsError(
            f"the weights '{weights}' cannot be had from the hub ({error}); name a file of timm's, "
            "or one of its names, such as densenet121.ra_in1k"
        ) from error


def _config(file: Path) -> dict[str, Any]:
    """Read what is published beside the weights; nothing where nothing is."""
    path = file.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error})") from error
    return found if isinstance(found, dict) else {}


def _looks_local(name: str) -> bool:
    suffixes = (".safetensors", ".bin", ".pth", ".pt")
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or Path(name).suffix in suffixes


def count_batches(images: int, batch_size: int) -> int:
    """Return how many batches an epoch has; none of them is of one image, which has no variance."""
    return max(1, math.floor(images / batch_size))
