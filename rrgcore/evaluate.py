"""Generating over a split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, final

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object

from rrgcore.cleaning import is_empty
from rrgcore.data import Loader
from rrgcore.model import ReportModel
from rrgcore.scoring import Pair
from rrgcore.sharding import hide, is_sharded
from rrgcore.types import Batch, Generation
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
    total: float = 0.0
    """Their sum: the log-probability of the whole report."""

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
    batches = _in_step(loader) if is_sharded(model) else loader.epoch()
    for batch in watcher.track(batches, title, len(loader)):
        with accelerator.autocast():
            written = model.generate(batch.to(accelerator.device), generation)
        for id, report in zip(batch.ids, written, strict=True):
            mean = float(np.mean(report.logprobs)) if report.logprobs else 0.0
            total = float(sum(report.logprobs))
            predictions.append(Prediction(id, references[id], report.text, mean, total))
    hide(model)
    model.train(training)
    if accelerator.num_processes > 1:
        order = {study.id: i for i, study in enumerate(loader.studies)}
        gathered = cast(list[Prediction], gather_object(predictions[: _share(loader, loader.rank)]))
        predictions = sorted(gathered, key=lambda prediction: order[prediction.id])
    return predictions


def _in_step(loader: Loader) -> Iterator[Batch]:
    """Pass the batches on; then, where another process has one more, another that nobody reads:
    processes that hold a model in shards write together or not at all.
    """
    yield from loader.epoch()
    for _ in range(len(loader), -(-_share(loader, 0) // loader.batch_size)):
        yield loader.collate(loader.studies[:1])


def _share(loader: Loader, rank: int) -> int:
    """Count the studies of one process; the first has the most."""
    return len(range(rank, len(loader.studies), loader.world))


def with_reference(predictions: Sequence[Prediction]) -> list[Prediction]:
    """List the predictions that can be scored: a study may have no report of its own."""
    return [prediction for prediction in predictions if not is_empty(prediction.reference)]
