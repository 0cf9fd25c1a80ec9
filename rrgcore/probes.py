"""Whether a model does what its tasks are for: is the image used, does the right report win, do
masks get filled from the other modality.

Everything is asked through capabilities, so a stranger's objective that offers one is measured too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor

from rrgcore.data import Loader
from rrgcore.features import Features
from rrgcore.interfaces import Embeds, Matches, Reconstructs
from rrgcore.model import ReportModel
from rrgcore.types import Batch, Encoded, Tokens
from rrgcore.watch import Watcher

DRAWS = 20
CANDIDATES = 100


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % bootstrap interval over studies."""

    value: float
    low: float
    high: float


@torch.no_grad()
def image_gap(model: ReportModel, batch: Batch) -> float:
    """Return by how much the report loss rises when each report is read with another study's
    images.
    """
    training = model.training
    model.eval()
    own = Features(model.parts, batch).decoded.loss
    other = Features(model.parts, exchange_images(batch)).decoded.loss
    model.train(training)
    return float(other - own)


def exchange_images(batch: Batch) -> Batch:
    """Give every study its neighbour's images."""
    return replace(batch, images=batch.images.roll(1, 0), present=batch.present.roll(1, 0))


def exchange_texts(batch: Batch) -> Batch:
    """Give every study its neighbour's report."""

    def roll(tokens: Tokens) -> Tokens:
        return Tokens(tokens.ids.roll(1, 0), tokens.mask.roll(1, 0))

    return replace(batch, report=roll(batch.report), text=roll(batch.text))


def blank_images(batch: Batch) -> Batch:
    """Show every study a uniform grey."""
    return replace(batch, images=torch.zeros_like(batch.images))


@torch.no_grad()
def retrieval(
    model: ReportModel,
    loader: Loader,
    *,
    rng: np.random.Generator,
    watcher: Watcher,
    best: int = 16,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Measure image-to-report recall@1 among 100, the mean over twenty draws of 100 studies.

    Candidates are ranked by the embedding (IRC), then its `best` ones again by matching (IRM),
    where the model has them. A report that is verbatim the study's own counts as found.
    """
    embeds = next((o for o in model.objectives.values() if isinstance(o, Embeds)), None)
    matches = next((o for o in model.objectives.values() if isinstance(o, Matches)), None)
    if embeds is None:
        return {}
    model.eval()
    images: list[Encoded] = []
    tokens: list[tuple[Tensor, Tensor]] = []
    image_rows: list[Tensor] = []
    text_rows: list[Tensor] = []
    for batch in watcher.track(loader.epoch(), "embedding images and reports", len(loader)):
        features = Features(model.parts, batch.to(device))
        images += [features.image[torch.tensor([i])] for i in range(len(batch))]
        tokens += list(zip(features.batch.text.ids, features.batch.text.mask, strict=True))
        image_rows.append(embeds.embed_image(features.image))
        text_rows.append(embeds.embed_text(features.text))
    similarity = torch.cat(image_rows) @ torch.cat(text_rows).mT
    reports = [study.report for study in loader.studies]
    size = min(CANDIDATES, len(reports))
    draws = [rng.choice(len(reports), size, replace=False) for _ in range(DRAWS)]
    scores: dict[tuple[int, int], float] = {}
    found = {"IRC": 0, "IRC, then IRM": 0}
    for draw in watcher.track(draws, "retrieving reports", DRAWS):
        among = similarity[draw][:, draw]
        order = among.argsort(dim=1, descending=True)
        for row, image in enumerate(draw):
            candidates = [int(draw[i]) for i in order[row, :best]]
            found["IRC"] += reports[candidates[0]] == reports[image]
            if matches is None:
                continue
            missing = [c for c in candidates if (int(image), c) not in scores]
            if missing:
                texts = _stack([tokens[c] for c in missing])
                repeated = images[image][torch.zeros(len(missing), dtype=torch.long)]
                for c, value in zip(missing, matches.match(texts, repeated), strict=True):
                    scores[int(image), c] = float(value)
            top = max(candidates, key=lambda c: scores[int(image), c])
            found["IRC, then IRM"] += reports[top] == reports[image]
    if matches is None:
        del found["IRC, then IRM"]
    total = DRAWS * size
    return {
        **{f"recall@1 of {size}, {name}": count / total for name, count in found.items()},
        "chance": 1 / size,
    }


def _stack(rows: Sequence[tuple[Tensor, Tensor]]) -> Tokens:
    width = max(int(mask.sum()) for _, mask in rows)

    def fit(row: Tensor) -> Tensor:
        return torch.nn.functional.pad(row[:width], (0, max(0, width - len(row))))

    return Tokens(
        torch.stack([fit(ids) for ids, _ in rows]), torch.stack([fit(m) for _, m in rows])
    )


@torch.no_grad()
def reconstruction(
    model: ReportModel,
    name: str,
    loader: Loader,
    *,
    rng: np.random.Generator,
    watcher: Watcher,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Measure how much the other modality helps an objective to fill its masks.

    For one that paints (MIM): the error at the masked key patches with the study's own report and
    with another's. For one that names words (MLM): the balanced accuracy with the image and with a
    blank one. Intervals are over studies, 95 %, by bootstrap.
    """
    objective = cast(Reconstructs, model.objectives[name])
    model.eval()
    own: list[Mapping[str, Tensor]] = []
    without: list[Mapping[str, Tensor]] = []
    offset = 0
    for batch in watcher.track(loader.epoch(), f"filling the masks of {name}", len(loader)):
        batch = batch.to(device)
        prepared = batch.prepared.get(f"objectives.{name}")
        with_own = objective.reconstruct(Features(model.parts, batch), prepared)
        names_words = "guessed" in with_own
        changed = blank_images(batch) if names_words else exchange_texts(batch)
        with_other = objective.reconstruct(Features(model.parts, changed), prepared)
        for results, result in ((own, with_own), (without, with_other)):
            shifted = {k: v for k, v in result.items() if k != "image"}
            if names_words:
                shifted["study"] = shifted["study"] + offset
            results.append(shifted)
        offset += len(batch)
    a, b = _concatenate(own), _concatenate(without)
    if "guessed" in a:
        gains = [(_balanced(a, rows), _balanced(b, rows)) for rows in _resamples(offset, rng)]
        everyone = np.arange(offset)
        return {
            "balanced accuracy": _interval(_balanced(a, everyone), [g[0] for g in gains]),
            "with a blank image": _interval(_balanced(b, everyone), [g[1] for g in gains]),
            "gain": _interval(
                _balanced(a, everyone) - _balanced(b, everyone), [g[0] - g[1] for g in gains]
            ),
        }
    difference = (b["error"] - a["error"]).numpy()
    return {
        "error at key patches": float(a["error"].mean()),
        "with another's report": float(b["error"].mean()),
        "gain": _interval(
            float(difference.mean()),
            [float(difference[rows].mean()) for rows in _resamples(offset, rng)],
        ),
    }


def _resamples(count: int, rng: np.random.Generator, times: int = 500) -> Iterator[np.ndarray]:
    yield from (rng.integers(0, count, count) for _ in range(times))


def _interval(value: float, draws: Sequence[float]) -> Interval:
    low, high = np.quantile(np.asarray(draws), [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _concatenate(results: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {key: torch.cat([result[key].cpu() for result in results]) for key in results[0]}


def _balanced(result: Mapping[str, Tensor], rows: np.ndarray) -> float:
    """Mean over the expected words of the share guessed right, each study weighted by its draws."""
    times = np.bincount(rows, minlength=int(result["study"].max()) + 1)[result["study"].numpy()]
    expected, right = result["expected"].numpy(), (result["expected"] == result["guessed"]).numpy()
    shares = [
        (times * right)[expected == word].sum() / total
        for word in np.unique(expected)
        if (total := times[expected == word].sum())
    ]
    return float(np.mean(shares))
