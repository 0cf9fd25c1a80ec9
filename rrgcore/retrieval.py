"""Whether the right report wins: retrieval by embedding, by matching, or by one after the other."""

from collections.abc import Sequence
from copy import copy
from typing import cast, final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from rrgcore.data import Loader
from rrgcore.features import Features
from rrgcore.interfaces import Embeds, Matches
from rrgcore.model import ReportModel
from rrgcore.precision import full_precision
from rrgcore.types import Encoded, Tokens
from rrgcore.watch import Watcher

CANDIDATES = 100
MATCHED = 16
"""Candidates that are matched with an image: each pair takes a forward pass."""
QUERIES = 2000


@torch.no_grad()
def retrieval(
    model: ReportModel,
    loader: Loader,
    *,
    embeds: str | None = None,
    matches: Sequence[str] = (),
    rng: np.random.Generator,
    watcher: Watcher,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Measure image-to-report recall@1, the mean over some 2,000 images, for objectives by name.

    An image is asked for among the 100 reports of a random group (of sixteen, where nothing
    embeds). What `embeds` ranks them, and each of `matches` its best sixteen again. A report that
    is verbatim the study's own counts as found.
    """
    assert embeds or matches, "something has to rank the reports"
    model.eval()
    most = CANDIDATES if embeds else MATCHED
    size, count = min(most, len(loader.studies)), QUERIES // most
    groups = [rng.choice(len(loader.studies), size, replace=False) for _ in range(count)]
    # of a large split only what was drawn is encoded; from here on rows count the drawn ones
    drawn, rows = np.unique(np.stack(groups), return_inverse=True)
    few = copy(loader)
    few.studies = [loader.studies[i] for i in drawn]
    reports = [study.report for study in few.studies]
    embedding = _Embedding(cast(Embeds, model.objectives[embeds])) if embeds else None
    matchings = {name: _Matching(cast(Matches, model.objectives[name])) for name in matches}
    for batch in watcher.track(few.epoch(), "encoding images and reports", len(few)):
        features = Features(model.parts, batch.to(device))
        for ranking in (embedding, *matchings.values()):
            if ranking is not None:
                ranking.take(features)

    first = f"{embeds.upper()}, then " if embeds else ""
    found = {embeds.upper(): 0} if embeds else {}
    found |= {f"{first}{name.upper()}": 0 for name in matches}
    for group in watcher.track(rows.reshape(count, size), "retrieving reports", count):
        ranked = embedding.rank(group) if embedding else np.tile(group, (size, 1))
        for image, candidates in zip(group, ranked, strict=True):
            if embeds:
                found[embeds.upper()] += reports[candidates[0]] == reports[image]
            for name, matching in matchings.items():
                best = matching.best(int(image), candidates[:MATCHED])
                found[f"{first}{name.upper()}"] += reports[best] == reports[image]
    return {
        **{f"recall@1 of {size}, {name}": n / (count * size) for name, n in found.items()},
        "chance": 1 / size,
    }


@final
class _Embedding:
    """Ranks reports by their nearness to an image."""

    def __init__(self, objective: Embeds) -> None:
        self.objective = objective
        self._images: list[Tensor] = []
        self._texts: list[Tensor] = []

    def take(self, features: Features) -> None:
        self._images.extend(full_precision(self.objective.embed_image(features.image)))
        self._texts.extend(full_precision(self.objective.embed_text(features.text)))

    def rank(self, group: Int[np.ndarray, " g"]) -> Int[np.ndarray, "g g"]:
        """Return, for each image of a group, the group's reports, the nearest first."""
        images = torch.stack([self._images[row] for row in group])
        texts = torch.stack([self._texts[row] for row in group])
        with torch.autocast(images.device.type, enabled=False):  # in half, near ones are equal
            order = (images @ texts.mT).argsort(dim=1, descending=True)
        ranked: Int[np.ndarray, "g g"] = group[order.cpu().numpy()]
        return ranked


@final
class _Matching:
    """Picks the report that most likely belongs to an image."""

    def __init__(self, objective: Matches) -> None:
        self.objective = objective
        self._images: list[Encoded] = []
        self._texts: list[tuple[Tensor, Tensor]] = []
        self._odds: dict[tuple[int, int], float] = {}

    def take(self, features: Features) -> None:
        text = features.batch.text
        self._images += [features.image[torch.tensor([i])] for i in range(len(features.batch))]
        self._texts += zip(text.ids, text.mask, strict=True)

    def best(self, image: int, reports: Int[np.ndarray, " c"]) -> int:
        missing = [int(report) for report in reports if (image, int(report)) not in self._odds]
        if missing:
            texts = _stack([self._texts[report] for report in missing])
            repeated = self._images[image][torch.zeros(len(missing), dtype=torch.long)]
            for report, value in zip(missing, self.objective.match(texts, repeated), strict=True):
                self._odds[image, report] = float(value)
        return int(max(reports, key=lambda report: self._odds[image, int(report)]))


def _stack(rows: Sequence[tuple[Tensor, Tensor]]) -> Tokens:
    width = max(int(mask.sum()) for _, mask in rows)

    def fit(row: Tensor) -> Tensor:
        return torch.nn.functional.pad(row[:width], (0, max(0, width - len(row))))

    return Tokens(
        torch.stack([fit(ids) for ids, _ in rows]), torch.stack([fit(m) for _, m in rows])
    )
