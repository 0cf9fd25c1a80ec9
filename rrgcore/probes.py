"""Whether a model does what its tasks are for: is the image used, do masks get filled from the
other modality.

Everything is asked through capabilities, so a stranger's objective that offers one is measured too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from rrgcore.data import Loader, study_rng
from rrgcore.features import Features
from rrgcore.interfaces import Reconstructs
from rrgcore.model import ReportModel
from rrgcore.precision import full_precision
from rrgcore.scoring.significance import Interval
from rrgcore.study import Study
from rrgcore.types import Batch, Tokens
from rrgcore.watch import Watcher


@torch.no_grad()
def image_gap(
    model: ReportModel,
    pairs: Iterable[tuple[Batch, Batch]],
    device: torch.device | str = "cpu",
) -> float:
    """Return by how much the report loss of a token rises from batches to the same with images
    exchanged.
    """
    training = model.training
    model.eval()
    rise, tokens = 0.0, 0
    for pair in pairs:
        own, other = (Features(model.parts, batch.to(device)).decoded for batch in pair)
        rise += float(other.loss - own.loss) * int(own.count)
        tokens += int(own.count)
    model.train(training)
    return rise / tokens


def exchange_images(studies: Sequence[Study], seed: int) -> list[Study]:
    """Give every study another one's images: a random cycle, so that none keeps its own.

    Annotations go with the images: an adapter may read what was derived from them.
    """
    order = study_rng(seed, 0, "", "exchange").permutation(len(studies))
    exchanged = list(studies)
    for i, j in zip(order, np.roll(order, 1), strict=True):
        exchanged[i] = replace(studies[j], id=studies[i].id, report=studies[i].report)
    return exchanged


def exchange_texts(batch: Batch) -> Batch:
    """Give every study its neighbour's report."""

    def roll(tokens: Tokens) -> Tokens:
        return Tokens(tokens.ids.roll(1, 0), tokens.mask.roll(1, 0))

    return replace(batch, report=roll(batch.report), text=roll(batch.text))


def blank_images(batch: Batch) -> Batch:
    """Show every study a uniform grey."""
    return replace(batch, images=torch.zeros_like(batch.images))


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
    with another's, over the studies that have some; at all masked patches, where none has. For one
    that names words (MLM): the balanced accuracy with the image and with a blank one. Intervals are
    over studies, 95 %, by bootstrap.
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
    has_key = "key_error" in a and not bool(a["key_error"].isnan().all())
    key, where = ("key_error", "key") if has_key else ("error", "hidden")
    scored = ~a[key].isnan()
    painted, repainted = a[key][scored], b[key][scored]
    difference = (repainted - painted).numpy()
    return {
        f"error at {where} patches": float(painted.mean()),
        "with another's report": float(repainted.mean()),
        "gain": _interval(
            float(difference.mean()),
            [float(difference[rows].mean()) for rows in _resamples(len(difference), rng)],
        ),
    }


def _resamples(count: int, rng: np.random.Generator, times: int = 500) -> Iterator[np.ndarray]:
    yield from (rng.integers(0, count, count) for _ in range(times))


def _interval(value: float, draws: Sequence[float]) -> Interval:
    low, high = np.quantile(np.asarray(draws), [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _concatenate(results: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {key: torch.cat([_whole(result[key]) for result in results]) for key in results[0]}


def _whole(values: Tensor) -> Tensor:
    """Return values as numpy takes them, which knows no half precision of torch's."""
    return full_precision(values.cpu()) if values.is_floating_point() else values.cpu()


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
