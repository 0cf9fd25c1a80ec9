"""Generating over a split and scoring it, beside what trivial baselines score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast, final

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object

from rrgcore.baselines import baseline_reports
from rrgcore.cleaning import is_empty
from rrgcore.data import Loader
from rrgcore.interfaces import Metric
from rrgcore.model import ReportModel
from rrgcore.types import Generation, Pair, Scores
from rrgcore.watch import Watcher


@final
@dataclass(frozen=True, slots=True)
class Prediction:
    """A report that was written for a study, as it stands in predictions.jsonl."""

    id: str
    reference: str
    prediction: str
    logprob: float
    """Mean over the tokens."""

    @property
    def pair(self) -> Pair:
        """What metrics score."""
        return Pair(self.id, self.prediction, self.reference)


def generate_reports(
    model: ReportModel,
    loader: Loader,
    generation: Generation,
    accelerator: Accelerator,
    watcher: Watcher,
    title: str,
) -> list[Prediction]:
    """Write a report for every study of a loader, in order, whatever the number of processes.

    References are the whole reports, never cut to what the decoder was trained on.
    """
    references = {study.id: study.report for study in loader.studies}
    training = model.training
    model.eval()
    predictions: list[Prediction] = []
    for batch in watcher.track(loader.epoch(), title, len(loader)):
        with accelerator.autocast():
            written = model.generate(batch.to(accelerator.device), generation)
        for id, report in zip(batch.ids, written, strict=True):
            mean = float(np.mean(report.logprobs)) if report.logprobs else 0.0
            predictions.append(Prediction(id, references[id] or "", report.text, mean))
    model.train(training)
    if accelerator.num_processes > 1:
        order = {study.id: i for i, study in enumerate(loader.studies)}
        gathered = cast(list[Prediction], gather_object(predictions))
        predictions = sorted(gathered, key=lambda prediction: order[prediction.id])
    return predictions


def with_reference(predictions: Sequence[Prediction]) -> list[Prediction]:
    """List the predictions that can be scored: a study may have no report of its own."""
    return [prediction for prediction in predictions if not is_empty(prediction.reference)]


def score(
    predictions: Sequence[Prediction], metrics: Mapping[str, Metric], *, quick: bool = False
) -> dict[str, Scores]:
    """Score predictions with every metric, those of studies that have a reference."""
    pairs = [prediction.pair for prediction in with_reference(predictions)]
    return {name: metric.score(pairs, quick=quick) for name, metric in metrics.items()}


def score_beside_baselines(
    predictions: Sequence[Prediction],
    training: Sequence[str],
    metrics: Mapping[str, Metric],
    *,
    seed: int,
) -> tuple[dict[str, Scores], dict[str, dict[str, Scores]]]:
    """Score predictions, and the trivial baselines on the very same references.

    Returns the scores by metric, and by baseline and metric; a baseline of several draws is the
    mean.
    """
    pairs = [prediction.pair for prediction in with_reference(predictions)]
    draws = baseline_reports(training, len(pairs), np.random.default_rng(seed))
    systems = {"": pairs}
    for name, reports in draws.items():
        for i, draw in enumerate(reports):
            systems[f"{name}\0{i}"] = [
                replace(pair, prediction=text) for pair, text in zip(pairs, draw, strict=True)
            ]
    scores: dict[str, Scores] = {}
    baselines: dict[str, dict[str, Scores]] = {name: {} for name in draws}
    for metric_name, metric in metrics.items():
        found = metric.score_all(systems)
        scores[metric_name] = found[""]
        for name, reports in draws.items():
            of_draws = [found[f"{name}\0{i}"] for i in range(len(reports))]
            baselines[name][metric_name] = _mean(of_draws)
    return scores, baselines


def _mean(draws: Sequence[Scores]) -> Scores:
    keys = dict.fromkeys(key for draw in draws for key in draw.values)
    values = {
        key: float(np.mean([draw.values[key] for draw in draws if key in draw.values]))
        for key in keys
    }
    return replace(draws[0], values=values)


def distinct_share(predictions: Sequence[Prediction]) -> float:
    """Return the share of different texts among the predictions."""
    return len({prediction.prediction for prediction in predictions}) / max(1, len(predictions))


def selected(scores: Mapping[str, Scores], key: str) -> float | None:
    """Find the score that decides, in whichever metric has it."""
    for found in scores.values():
        if key in found.values:
            return found.values[key]
    return None
