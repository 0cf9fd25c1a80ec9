"""A stage from start to end: log, evaluate, save, resume, stop."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast, final

import torch
from accelerate import Accelerator
from torch import nn

from rrgcore.build import part_of
from rrgcore.checkpoint import (
    STATE,
    load_model,
    load_optimizer,
    save_model,
    save_optimizer,
    write_json,
    written_whole,
)
from rrgcore.engine import Position, Step, steps, total_steps
from rrgcore.evaluate import generate_reports, score, selected
from rrgcore.folder import RunFolder
from rrgcore.interfaces import Metric
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule, make_optimizer
from rrgcore.plan import Plan
from rrgcore.probes import image_gap
from rrgcore.settings import StageSettings
from rrgcore.studies import Studies
from rrgcore.types import Batch
from rrgcore.watch import Watcher

GAP_EVERY = 50
"""Optimizer steps between two looks at whether the image is used."""


@final
class Trainer:
    """Runs the stages of a plan in a run folder, from wherever that folder stands."""

    def __init__(
        self,
        *,
        plan: Plan,
        model: ReportModel,
        studies: Studies,
        metrics: Mapping[str, Metric],
        folder: RunFolder,
        accelerator: Accelerator,
        watcher: Watcher,
    ) -> None:
        self.plan = plan
        self.model = model
        self.studies = studies
        self.metrics = metrics
        self.folder = folder
        self.accelerator = accelerator
        self.watcher = watcher
        self._trainable = {name for name, p in model.named_parameters() if p.requires_grad}

    def train(self) -> None:
        """Run every stage that is not done yet; afterwards `checkpoints/best` is the best of all."""
        before: str | None = None
        for number, name in enumerate(self.plan.stages, start=1):
            if not self._state(name).get("done"):
                self._stage(name, number, before)
            before = name

    def best(self) -> tuple[str, float | None]:
        """Return the stage whose best checkpoint is the best of all, and its validation score."""
        best: tuple[str, float | None] = ("", None)
        for name in self.plan.stages:
            state = json.loads((self.folder.checkpoint(name, "best") / STATE).read_text())
            found = state["score"]
            # of equal scores the later stage's: it went on from the earlier one
            if best[1] is None or (found is not None and found >= best[1]):
                best = (name, found)
        return best

    # ---- one stage --------------------------------------------------------------------------

    def _stage(self, name: str, number: int, before: str | None) -> None:
        plan, stage, accelerator = self.plan, self.plan.stages[name], self.accelerator
        weights = plan.stage_weights(name)
        self._freeze(stage)
        loader = self.studies.loader(
            self.model,
            "train",
            training=True,
            objectives=list(weights),
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        )
        optimizer = make_optimizer(stage.optimizer, self.model)
        schedule = Schedule(stage.schedule, optimizer, warmup=stage.warmup)
        state = self._state(name)
        if state:
            last = self.folder.checkpoint(name, "last")
            load_model(last, self.model)
            optimizer.load_state_dict(load_optimizer(last, state["optimizer"]))
            schedule.load_state_dict(state["schedule"])
            self.folder.cut_metrics(state["metrics_lines"])
        else:
            if before is not None:
                load_model(self.folder.checkpoint(before, stage.start_from), self.model)
                if stage.continues:
                    schedule.continue_from(self._state(before)["schedule"])
            kept = [entry for entry in self.folder.metrics() if entry["stage"] != name]
            self.folder.cut_metrics(len(kept))
            state = {"best": None, "waiting": 0}
        position = Position(**state.get("position", {}))
        wrapped, prepared = accelerator.prepare(self.model, optimizer)
        count = total_steps(stage, loader)
        epochs = count / max(1, -(-len(loader) // stage.accumulate))
        self.watcher.stage(name, number, len(plan.stages), count, position.step, epochs)
        probe = self._probe_batch() if "report" in weights else None
        clock = _Clock()
        step: Step | None = None
        try:
            for step in steps(
                stage, wrapped, weights, loader, prepared, schedule, accelerator, position
            ):
                self._log(name, step)
                clock.add(step.studies)
                self.watcher.step(step)
                if probe is not None and step.position.step % GAP_EVERY == 1:
                    self.watcher.image_gap(image_gap(self.model, probe))
                if not step.epoch_ended:
                    continue
                last_epoch = step.position.step == count
                if last_epoch or step.position.epoch % stage.evaluate_every == 0:
                    clock.pause()
                    self._validate(name, step, state)
                    stop = stage.patience is not None and state["waiting"] >= stage.patience
                    last_epoch = last_epoch or stop
                self._save(name, step.position, prepared, schedule, state, done=last_epoch)
                self.folder.log_timing({"stage": name, "epoch": step.epoch, **clock.read()})
                if last_epoch:
                    break
        except KeyboardInterrupt:
            if step is not None:
                self._save(name, step.position, prepared, schedule, state, done=False)
            raise

    def _validate(self, name: str, step: Step, state: dict[str, Any]) -> None:
        evaluation, accelerator = self.plan.evaluation, self.accelerator
        generation = self.plan.generation
        if evaluation.val_beams is not None:
            generation = replace(generation, beams=evaluation.val_beams)
        loader = self.studies.loader(
            self.model,
            "val",
            training=False,
            batch_size=evaluation.batch_size,
            first=evaluation.val_studies,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        )
        title = f"{name}, epoch {step.position.epoch}: validating"
        predictions = generate_reports(
            self.model, loader, generation, accelerator, self.watcher, title
        )
        scores = score(predictions, self.metrics, quick=True)
        values = {key: value for found in scores.values() for key, value in found.values.items()}
        found = None if evaluation.select == "last" else selected(scores, evaluation.select)
        better = found is None or state["best"] is None or found > state["best"]
        state["waiting"] = 0 if better else state["waiting"] + 1
        if better:
            state["best"] = found
            with written_whole(self.folder.checkpoint(name, "best")) as folder:
                save_model(folder, self.model)
                write_json(
                    folder / STATE,
                    {
                        "stage": name,
                        "epoch": step.position.epoch,
                        "step": step.position.step,
                        "select": evaluation.select,
                        "score": found,
                        "scores": values,
                    },
                )
        self.folder.log(
            {
                "stage": name,
                "epoch": step.epoch,
                "step": step.position.step,
                "split": "val",
                "best": better,
                **values,
            }
        )
        self.watcher.scored(f"{name}, epoch {step.position.epoch}", values, best=better)

    def _log(self, stage: str, step: Step) -> None:
        self.folder.log(
            {
                "stage": stage,
                "epoch": step.epoch,
                "step": step.position.step,
                "loss": step.losses["total"],
                **{name: value for name, value in step.losses.items() if name != "total"},
                **step.logs,
                "lr": step.lr,
                "gradient_norm": step.gradient_norm,
            }
        )

    def _save(
        self,
        name: str,
        position: Position,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        state: Mapping[str, Any],
        *,
        done: bool,
    ) -> None:
        with written_whole(self.folder.checkpoint(name, "last")) as folder:
            save_model(folder, self.model)
            write_json(
                folder / STATE,
                {
                    **{key: state[key] for key in ("best", "waiting")},
                    "stage": name,
                    "position": asdict(position),
                    "optimizer": save_optimizer(folder, optimizer.state_dict()),
                    "schedule": schedule.state_dict(),
                    "metrics_lines": len(self.folder.metrics()),
                    "done": done,
                },
            )

    def _state(self, stage: str) -> dict[str, Any]:
        path = self.folder.checkpoint(stage, "last") / STATE
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def _freeze(self, stage: StageSettings) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self._trainable)
        objectives = cast(Mapping[str, nn.Module], dict(self.model.objectives.items()))
        for part in stage.freeze:
            part_of(self.model.parts, objectives, part).requires_grad_(False)

    def _probe_batch(self) -> Batch | None:
        loader = self.studies.loader(self.model, "val", training=False, first=32, batch_size=32)
        batch = next(loader.epoch())
        return batch.to(self.accelerator.device) if len(batch) > 1 else None


@final
class _Clock:
    """Studies a second between two readings, pauses left out, and the most memory used."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._studies = 0
        self._training: float | None = None

    def add(self, studies: int) -> None:
        self._studies += studies

    def pause(self) -> None:
        self._training = time.perf_counter() - self._start

    def read(self) -> dict[str, float]:
        now = time.perf_counter() - self._start
        training = self._training or now
        entry = {
            "training_s": round(training, 3),
            "validating_s": round(now - training, 3),
            "studies_per_s": round(self._studies / training, 2),
            "memory_mb": round(_memory() / 2**20, 1),
        }
        self._start, self._studies, self._training = time.perf_counter(), 0, None
        return entry


def _memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    except ImportError:
        return 0
