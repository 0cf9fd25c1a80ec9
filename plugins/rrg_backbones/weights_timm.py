"""What timm publishes: its names for weights, and how they want pixels normalised."""

from pathlib import Path
from typing import Any

from rrg_backbones.weights import Checkpoint, looks_local, read_checkpoint, read_json
from rrgcore.api import WeightsError
from rrgcore.errors import did_you_mean

Pixel = tuple[float, float, float]
Statistics = tuple[Pixel, Pixel]

HALF: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read_published(weights: str, *, family: str) -> Checkpoint:
    """Read weights by timm's name of them, or else by file, folder or repository.

    Raises WeightsError; a misspelt name gets the nearest of the `family` ("vit*").
    """
    record = _record(weights, family)
    return read_checkpoint(weights, hub_name=record and record.hf_hub_id)


def pixel_statistics(
    weights: str | None, *, family: str, default: Statistics = HALF
) -> tuple[Pixel, Pixel]:
    """Return the mean and deviation that weights want pixels normalised with.

    Asked are the configurations beside local weights, and timm's record of its own.
    """
    found: tuple[Any, Any] = (None, None)
    if weights is not None and (folder := _folder(weights)) is not None:
        config = read_json(folder / "config.json")
        config = config.get("pretrained_cfg", config)
        processor = read_json(folder / "preprocessor_config.json")
        found = (
            config.get("mean", processor.get("image_mean")),
            config.get("std", processor.get("image_std")),
        )
    elif weights is not None and (record := _record(weights, family)) is not None:
        found = (record.mean, record.std)
    mean, std = (
        _three(other if values is None else values)
        for values, other in zip(found, default, strict=True)
    )
    return mean, std


def _folder(weights: str) -> Path | None:
    path = Path(weights).expanduser()
    if path.is_file():
        return path.parent
    return path if path.is_dir() else None


def _record(weights: str, family: str) -> Any:
    """Return timm's record of a published model, or None where it is not one of timm's names."""
    name = weights.removeprefix("timm/")
    if _folder(weights) or looks_local(weights) or "/" in name:
        return None
    import timm  # takes seconds: only where one of its names is given

    try:
        record = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        near = did_you_mean(name, timm.list_pretrained(family))
        raise WeightsError(f"timm has no weights called '{name}'.{near}") from error
    if not (record and record.hf_hub_id):
        raise WeightsError(f"timm has the model '{name}', and no weights of it on the hub")
    return record


def _three(values: Any) -> Pixel:
    red, green, blue = (float(value) for value in values)
    return (red, green, blue)
