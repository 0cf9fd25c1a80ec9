"""A fitted classifier in a folder: its tensors, and what is known about them."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save_file
from torch import nn

from rrg_knowledge.classifier_network import Architecture, check_model, own_randomness
from rrg_knowledge.classifier_record import ABOUT, read_record
from rrgcore.errors import DataError
from rrgcore.files import write_json

TENSORS: Final = "classifier.safetensors"


def save_classifier(folder: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
    """Write tensors and record."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / TENSORS)
    write_json(folder / ABOUT, about)


def load_classifier(folder: Path) -> tuple[Architecture, nn.Module, dict[str, Any]]:
    """Read what `save_classifier` wrote; raises DataError where it is damaged."""
    about = read_record(folder)
    try:
        sizes = {
            k: tuple(v) if isinstance(v, list) else v for k, v in about["architecture"].items()
        }
        architecture = Architecture(**sizes)
        check_model(architecture.model)  # which timm would fetch from wherever the name says
        with own_randomness(0, "cpu"):  # first values are drawn, and overwritten at once
            network = architecture.build()
        network.load_state_dict(load_file(folder / TENSORS))
    except Exception as error:  # timm, torch and safetensors refuse what is damaged in many ways
        raise DataError(f"the classifier in {folder} is damaged ({error})") from error
    return architecture, network, about


def digest_of(network: nn.Module) -> str:
    """Return what tells a network's values from another's."""
    digest = blake2b(digest_size=6)
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
