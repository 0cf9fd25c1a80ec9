"""What a run leaves behind of a step that it did not take: batches, images, weights."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from rrgcore.checkpoint import save_model
from rrgcore.faults.batches import save_batch
from rrgcore.faults.nonfinite import Seen
from rrgcore.features import Parts
from rrgcore.files import written_whole
from rrgcore.folder import NONFINITE
from rrgcore.interfaces import VisualEncoder
from rrgcore.model import ReportModel
from rrgcore.tokens import Tokenizer
from rrgcore.types import Batch, Tokens


def save_step(
    run: Path,
    name: str,
    seen: Sequence[Seen],
    facts: Mapping[str, Any],
    model: ReportModel,
    *,
    weights: bool,
) -> Path:
    """Write batches below `<run>/nonfinite`, with the `weights` that met them where that is said.

    One batch is in the folder itself, several in one each below it. What is there stays: the next
    step of that name has a number behind it.
    """
    folder, count = run / NONFINITE / name, 1
    while folder.exists():
        count += 1
        folder = run / NONFINITE / f"{name}_{count}"
    with written_whole(folder) as made:
        for each in seen:
            place = made if len(seen) == 1 else made / f"batch-{each.number}"
            place.mkdir(exist_ok=True)
            _save_seen(place, each, facts, model.parts)
        if weights:
            save_model(made, model, model.left_out)
    return folder


def _save_seen(folder: Path, seen: Seen, facts: Mapping[str, Any], parts: Parts) -> None:
    batch = seen.batch
    pictures = list(_save_images(folder, batch, parts.encoder))
    reports, texts = _texts(batch.report, parts.decoder.tokenizer), None
    if batch.text is not batch.report:
        texts = _texts(batch.text, parts.text_encoder.tokenizer)
    studies = [
        {
            "id": id,
            "images": [name for row, name in pictures if row == number],
            "report": reports[number],
            **({"text": texts[number]} if texts else {}),
        }
        for number, id in enumerate(batch.ids)
    ]
    outputs = seen.losses.outputs
    save_batch(
        folder,
        batch,
        {
            **facts,
            "batch_in_epoch": seen.number,
            "torch_seed": seen.seed,
            "shares": dict(seen.shares),
            "losses": {
                "total": float(seen.losses.total.detach()),
                **{name: float(output.loss.detach()) for name, output in outputs.items()},
            },
            "counts": {name: int(output.count) for name, output in outputs.items()},
            "logs": {
                f"{name}.{key}": float(value.detach())
                for name, output in outputs.items()
                for key, value in output.logs.items()
            },
            "studies": studies,
        },
    )


def _texts(tokens: Tokens, tokenizer: Tokenizer) -> list[str]:
    """Return the texts as the tokenizer reads them back."""
    rows = zip(tokens.ids, tokens.mask, strict=True)
    return [tokenizer.decode(ids[mask].tolist()) for ids, mask in rows]


def _save_images(folder: Path, batch: Batch, encoder: VisualEncoder) -> Iterator[tuple[int, str]]:
    """Write the images as the model saw them, to be looked at; return each one's row and name."""
    mean, std = (
        rearrange(torch.tensor(list(values)), "c -> c 1 1")
        for values in (encoder.mean, encoder.std)
    )
    for row, (images, present) in enumerate(zip(batch.images, batch.present, strict=True)):
        for view, image in enumerate(images[present]):
            name = f"study-{row + 1}-image-{view + 1}.png"
            _picture(image * std + mean).save(folder / name)
            yield row, name


def _picture(image: Tensor) -> Image.Image:
    """Make a picture of values from 0 to 1; one that is no number is black."""
    grey = torch.nan_to_num(image, nan=0.0).clamp(0, 1).mul(255).round().to(torch.uint8)
    return Image.fromarray(rearrange(grey, "c h w -> h w c").contiguous().numpy())
