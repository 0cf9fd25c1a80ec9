"""The nearest training report by the model's own retrieval: what copying would score."""

from collections.abc import Sequence
from typing import cast

import torch

from rrgcore.data import Loader
from rrgcore.features import Features
from rrgcore.interfaces import Embeds
from rrgcore.model import ReportModel
from rrgcore.precision import full_precision
from rrgcore.types import Tokens, pad_sequences
from rrgcore.watch import Watcher

MOST = 50_000
"""Different training reports that are looked through, the first so many."""
BATCH = 64


@torch.no_grad()
def nearest_reports(
    model: ReportModel,
    loader: Loader,
    training: Sequence[str],
    raw: Sequence[str],
    *,
    embeds: str,
    max_tokens: int,
    device: torch.device | str,
    watcher: Watcher,
) -> list[str]:
    """Return, for each study of a loader, the training report nearest to its images.

    Nearness is the cosine in the joint space of the objective called `embeds`. Reports are embedded
    as they are in training, and returned as they stand in the data (`raw`, in the same order).
    """
    model.eval()
    objective = cast(Embeds, model.objectives[embeds])
    encoder = model.parts.text_encoder
    # of equal reports, the first one's
    raw_of = dict(zip(reversed(training), reversed(raw), strict=True))
    reports = list(dict.fromkeys(training))[:MOST]
    keys = []
    batches = [reports[at : at + BATCH] for at in range(0, len(reports), BATCH)]
    for some in watcher.track(batches, "embedding training reports", len(batches)):
        ids = [encoder.tokenizer.encode(report, max_tokens=max_tokens) for report in some]
        tokens = Tokens(
            pad_sequences(ids, encoder.tokenizer.pad_id),
            pad_sequences([[1] * len(row) for row in ids], 0).bool(),
        )
        text = encoder.encode_text(Tokens(tokens.ids.to(device), tokens.mask.to(device)))
        keys.append(full_precision(objective.embed_text(text)))
    index = torch.cat(keys)
    found = []
    for batch in watcher.track(loader.epoch(), "looking for the nearest reports", len(loader)):
        image = objective.embed_image(Features(model.parts, batch.to(device)).image)
        with torch.autocast(index.device.type, enabled=False):  # in half, near ones are equal
            rows = (full_precision(image) @ index.mT).argmax(dim=1)
        found += [raw_of[reports[int(row)]] for row in rows]
    return found
