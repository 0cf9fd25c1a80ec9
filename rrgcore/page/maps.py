"""Where the decoder looked for each word that it wrote, small enough to be kept in a page."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from rrgcore.data import Loader
from rrgcore.insight.attending import attend_writing, check_attends_writing
from rrgcore.model import ReportModel
from rrgcore.watch import Watcher

STEPS = 16
"""Of a byte: 1/16 of an even look, so that 255 is nearly sixteen times as much."""


@final
@dataclass(frozen=True, slots=True)
class Maps:
    """A map a word of a report, or why there are none."""

    data: str = ""
    """Base64 of a byte a patch, by words, views, rows and columns: how many `STEPS` of what it
    would have if the word had looked at all patches alike.
    """
    words: int = 0
    views: int = 0
    rows: int = 0
    columns: int = 0
    absent: str = ""


def attention_maps(
    model: ReportModel, loader: Loader, reports: Sequence[str], watcher: Watcher
) -> list[Maps]:
    """Return where the decoder looked in the course of writing these reports, one a study of the
    loader. Raises Lacks where it cannot tell.
    """
    check_attends_writing(model)
    tokenizer = model.parts.decoder.tokenizer
    device = next(model.parameters()).device
    found: list[Maps] = []
    for batch in watcher.track(loader.epoch(), "asking for attention", len(loader)):
        own = reports[len(found) : len(found) + len(batch)]
        ids = [[id for id in tokenizer.encode(report) if id != tokenizer.cls_id] for report in own]
        for report, attended in zip(own, attend_writing(model, batch.to(device), ids), strict=True):
            words = report.split()
            if len(attended.words) == len(words):
                found.append(packed(attended.maps()))
            else:
                found.append(Maps(absent="its tokens do not spell the words that it was written"))
    return found


def packed(maps: Float[np.ndarray, "words views rows columns"]) -> Maps:
    """Write maps that sum to one a word as bytes; views that are absent have nothing."""
    words, views, rows, columns = maps.shape
    there = maps.any((2, 3)).sum(1).reshape(-1, 1, 1, 1)
    steps = np.round(maps * (there * rows * columns * STEPS))
    data = b64encode(np.minimum(steps, 255).astype(np.uint8).tobytes()).decode()
    return Maps(data, words, views, rows, columns)
