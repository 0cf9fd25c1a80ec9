"""Generating over a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast, final

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object

from rrgcore.cleaning import is_empty
from rrgcore.data import Loader
from rrgcore.model import ReportModel
from rrgcore.scoring import Pair
from rrgcore.types import Generation
from rrgcore.watch import Watcher


@final
@dataclass(frozen=True, slots=True)
class Prediction:
    """A report that was written for a study, as it stands in predictions.jsonl."""

    id: str
    reference: str
    """As it stands in the data, before the dataset cleaned it."""
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
    references: Mapping[str, str],
    generation: Generation,
    accelerator: Accelerator,
    watcher: Watcher,
    title: str,
) -> list[Prediction]:
    """Write a report for every study of a loader, in order, whatever the number of processes.

    References are by study (`Studies.references`): whole, never cut to what the decoder was trained
    on.
    """
    training = model.training
    model.eval()
    predictions: list[Prediction] = []
    for batch in watcher.track(loader.epoch(), title, len(loader)):
        with accelerator.autocast():
            written = model.generate(batch.to(accelerator.device), generation)
        for id, report in zip(batch.ids, written, strict=True):
            mean = float(np.mean(report.logprobs)) if report.logprobs else 0.0
            predictions.append(Prediction(id, references[id], report.text, mean))
    model.train(training)
    if accelerator.num_processes > 1:
        order = {study.id: i for i, study in enumerate(loader.studies)}
        gathered = cast(list[Prediction], gather_object(predictions))
        predictions = sorted(gathered, key=lambda prediction: order[prediction.id])
    return predictions


def with_reference(predictions: Sequence[Prediction]) -> list[Prediction]:
    """List the predictions that can be scored: a study may have no report of its own."""
    return [prediction for prediction in predictions if not is_empty(prediction.reference)]
