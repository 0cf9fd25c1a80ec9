"""A validation while a stage trains: how good it is, and whether it is the best so far."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, final

from accelerate import Accelerator

from rrgcore.checkpoint import STATE, save_model, whole_model
from rrgcore.compiling import as_written
from rrgcore.engine import Position
from rrgcore.evaluate import generate_reports, with_reference
from rrgcore.faults.telling import validating
from rrgcore.files import write_json, written_whole
from rrgcore.folder import RunFolder
from rrgcore.interrupts import Interrupts
from rrgcore.manifest import Manifest
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.processes import on_main
from rrgcore.scoring import Metric, Scores
from rrgcore.scoring.scorecard import flat, score, selected
from rrgcore.settings import StageSettings
from rrgcore.studies import Studies
from rrgcore.watch import Watcher


@final
class Validation:
    """Validates a stage in a run folder; with several processes the main one scores and writes."""

    def __init__(
        self,
        *,
        plan: Plan,
        model: ReportModel,
        studies: Studies,
        metrics: Mapping[str, Metric],
        folder: RunFolder,
        manifest: Manifest,
        accelerator: Accelerator,
        watcher: Watcher,
        interrupts: Interrupts,
    ) -> None:
        self.plan = plan
        self.model = model
        self.studies = studies
        self.metrics = metrics
        self.folder = folder
        self.manifest = manifest
        self.accelerator = accelerator
        self.watcher = watcher
        self.interrupts = interrupts

    def take(
        self, name: str, stage: StageSettings, state: dict[str, Any], at: Position
    ) -> Mapping[str, float]:
        """Generate over the validation split, score, and keep the weights if they are the best;
        `state` learns of it: what is `best`, and how many were not since, `waiting`.
        """
        evaluation = self.plan.evaluation
        scores = self._score(stage, f"{name}, epoch {at.epoch}: validating")
        values = {key: value if isfinite(value) else None for key, value in flat(scores).items()}
        newest = evaluation.select == "last"
        found = None if newest else selected(scores, evaluation.select)
        if found is not None and not isfinite(found):
            found = None
        # there is something to go on from, and to test, though nothing could be compared yet
        first = state["best"] is None and not state["waiting"]
        better = newest or (found is not None and (state["best"] is None or found > state["best"]))
        if not newest and found is None:
            self.watcher.note(
                f"{name}, epoch {at.epoch}: no {evaluation.select} came of the validation, "
                f"{'and none before' if first else 'so the best checkpoint stays what it was'}"
            )
        state["waiting"] = 0 if better else state["waiting"] + 1
        if better or first:
            state["best"] = found
            self._keep(name, at, found, values)
        self.folder.log(
            {
                "stage": name,
                "epoch": at.epoch - 1,
                "step": at.step,
                "split": "val",
                "best": better,
                **values,
            }
        )
        return {key: value for key, value in values.items() if value is not None}

    def _score(self, stage: StageSettings, title: str) -> dict[str, Scores]:
        """Write reports and score them, without what takes long."""
        evaluation, accelerator = self.plan.evaluation, self.accelerator
        generation = self.plan.generation
        if evaluation.val_beams is not None:
            generation = generation.with_beams(evaluation.val_beams)
        loader = self.studies.loader(
            self.model,
            "val",
            training=False,
            batch_size=evaluation.batch_size,
            first=evaluation.val_studies,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        )
        # alone, a process may leave a validation; of several, the others would wait for it forever
        with (
            self.interrupts.let_through(when=accelerator.num_processes == 1),
            validating(self.plan, title, self.folder),
            as_written(stage.compile),
        ):
            predictions = generate_reports(
                self.model,
                loader,
                self.studies.references("val"),
                generation,
                accelerator,
                self.watcher,
                title,
            )

        def scored() -> dict[str, Scores]:
            pairs = [prediction.pair for prediction in with_reference(predictions)]
            return score(pairs, self.metrics, quick=True)

        return on_main(accelerator, scored)

    def _keep(
        self, name: str, at: Position, found: float | None, values: Mapping[str, float | None]
    ) -> None:
        """Save the weights as the stage's best."""
        tensors = whole_model(self.model, self.model.left_out, keep=self.folder.writes)
        if not self.folder.writes:
            return
        with written_whole(self.folder.checkpoint(name, "best")) as folder:
            save_model(folder, self.model, self.model.left_out, tensors)
            write_json(
                folder / STATE,
                {
                    "stage": name,
                    "epoch": at.epoch,
                    "step": at.step,
                    "select": self.plan.evaluation.select,
                    "score": found,
                    "scores": values,
                },
            )
            self.manifest.write(folder)
