"""A stage from start to end: log, evaluate, save, resume, stop."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from accelerate import Accelerator
from torch import Tensor

from rrgcore.checkpoint import STATE, link_files, save_model, whole_model
from rrgcore.compiling import as_written, compiled
from rrgcore.data import Loader
from rrgcore.engine import Position, Step, steps, steps_an_epoch, total_steps
from rrgcore.faults.nonfinite import NonFiniteLoss
from rrgcore.faults.stops import Scene, infinite_buffers, last_saved
from rrgcore.files import read_json, write_json, written_whole
from rrgcore.folder import RunFolder
from rrgcore.interrupts import Interrupts
from rrgcore.launched import prepare_stage
from rrgcore.manifest import MANIFEST, Manifest, check_files, hashes_in, load_checkpoint
from rrgcore.model import ReportModel, freeze_for
from rrgcore.optim import Schedule, make_optimizer
from rrgcore.optimizer_state import load_optimizer, save_optimizer
from rrgcore.plan import Plan
from rrgcore.probes import exchange_images, image_gap
from rrgcore.settings import StageSettings
from rrgcore.sharding import at_hand, whole_state
from rrgcore.stage_state import (
    BEST,
    LAST,
    check_alike,
    check_at_most,
    check_position,
    check_same,
    read_state,
)
from rrgcore.studies import Studies
from rrgcore.timing import Clock
from rrgcore.types import Batch
from rrgcore.validation import Validation
from rrgcore.watch import Watcher

GAP_EVERY = 50
"""Optimizer steps between two looks at whether the image is used."""
GAP_STUDIES = 32
"""Validation studies that are looked at then."""


@final
class Trainer:
    """Runs the stages of a plan in a run folder, from wherever that folder stands.

    With several processes the main one writes and the others wait for it.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        model: ReportModel,
        studies: Studies,
        validation: Validation,
        folder: RunFolder,
        manifest: Manifest,
        accelerator: Accelerator,
        watcher: Watcher,
        interrupts: Interrupts,
    ) -> None:
        self.plan = plan
        self.model = model
        self.studies = studies
        self.validation = validation
        self.folder = folder
        self.manifest = manifest
        self.accelerator = accelerator
        self.watcher = watcher
        self.interrupts = interrupts
        self._trainable = {name for name, p in model.named_parameters() if p.requires_grad}
        self._states: dict[str, dict[str, Any]] = {}
        """How far each stage was when it was come to, and when it was done."""

    def train(self) -> None:
        """Run every stage that is not done yet."""
        before: str | None = None
        for number, name in enumerate(self.plan.stages, start=1):
            self._states[name] = self._state(name)
            if not self._states[name].get("done"):
                with compiled(self.model, self.plan.stages[name].compile):
                    self._stage(name, number, before)
                self._states[name] = self._state(name)
            before = name

    def best(self) -> tuple[str, float | None]:
        """Return the stage whose best checkpoint is the best of those that may be tested, and its
        validation score.
        """
        best: tuple[str, float | None] = ("", None)
        for name in (name for name, stage in self.plan.stages.items() if stage.tested):
            checkpoint = self.folder.checkpoint(name, "best")
            check_files(checkpoint)
            found = read_state(checkpoint / STATE, name, BEST)["score"]
            # of equal scores the later stage's: it went on from the earlier one
            if best[1] is None or (found is not None and found >= best[1]):
                best = (name, found)
        return best

    # ---- one stage --------------------------------------------------------------------------

    def _stage(self, name: str, number: int, before: str | None) -> None:
        stage, accelerator = self.plan.stages[name], self.accelerator
        weights = self.plan.stage_weights(name)
        freeze_for(self.model, stage, self._trainable)
        loader = self.studies.loader(
            self.model,
            "train",
            training=True,
            objectives=list(weights),
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        )
        optimizer = make_optimizer(stage.optimizer, self.model)
        schedule = self._schedule(name, optimizer, loader)
        last = self.folder.checkpoint(name, "last")
        state = self._states[name]
        if state:
            load_checkpoint(last, self.model)
            self._check_state(name, schedule, loader)
        else:
            ended = self._states[before] if before is not None else {}
            if before is not None:
                load_checkpoint(self.folder.checkpoint(before, stage.start_from), self.model)
                self._restore_scaler(ended, self.folder.checkpoint(before, "last") / STATE)
            self.folder.cut_metrics(ended.get("metrics_lines", 0))
        accelerator.free_memory()  # the stage before wrapped the model for what it trained
        wrapped, prepared, whole = prepare_stage(
            accelerator, self.model, optimizer, stage, self.plan.data.batch_size
        )
        if state:  # of a model in shards, the optimizer's are
            load_optimizer(
                last,
                state["optimizer"],
                whole,
                said_by=last / STATE,
                steps=state["position"]["step"],
            )
            schedule.load_state_dict(state["schedule"])
            self._restore_scaler(state, last / STATE)
            self.folder.cut_metrics(state["metrics_lines"])
        else:
            state = {"best": None, "waiting": 0}
        scene = Scene(
            self.plan,
            name,
            self.model,
            prepared,
            schedule,
            accelerator,
            self.folder,
            infinite_buffers(self.model),
        )
        course = _Course(name, stage, total_steps(stage, loader), whole, schedule, scene, state)
        at = Position(**state.get("position", {}))
        epochs = -(-course.steps // steps_an_epoch(stage, loader))
        self.watcher.stage(name, number, len(self.plan.stages), course.steps, at.step, epochs)
        if state.get("unvalidated") and self._end_epoch(course, at):
            return
        probe = self._probe_batches() if "report" in weights else []
        step: Step | None = None
        try:
            taken = steps(
                name, stage, wrapped, weights, loader, prepared, schedule, accelerator, at
            )
            for step in scene.told(taken, at):
                course.unsaved = True
                self._log(name, step)
                course.clock.add(step.studies)
                self.watcher.step(step)
                if probe and step.position.step % GAP_EVERY == 1:
                    with at_hand(self.model), as_written(stage.compile), accelerator.autocast():
                        self.watcher.image_gap(image_gap(self.model, probe, accelerator.device))
                self._stop_if_asked()
                if stage.save_every and step.position.step % stage.save_every == 0:
                    self._save(course, step.position, unvalidated=step.epoch_ended)
                if step.epoch_ended and self._end_epoch(course, step.position):
                    return
        except KeyboardInterrupt:
            if step is not None and course.unsaved and not self.interrupts.forced:
                self._save_and_stop(course, step)
            raise

    def _schedule(self, name: str, optimizer: torch.optim.Optimizer, loader: Loader) -> Schedule:
        """Make a stage's schedule as it begins: where the stage before ended its own, if it goes on
        with that.
        """
        stage, names = self.plan.stages[name], list(self.plan.stages)
        schedule = Schedule(stage.schedule, optimizer, warmup=stage.warmup)
        if stage.continues:
            before = names[names.index(name) - 1]
            freeze_for(self.model, self.plan.stages[before], self._trainable)
            own = make_optimizer(self.plan.stages[before].optimizer, self.model)
            self._check_state(before, self._schedule(before, own, loader), loader)
            freeze_for(self.model, stage, self._trainable)
            schedule.continue_from(self._states[before]["schedule"])
        return schedule

    def _check_state(self, name: str, schedule: Schedule, loader: Loader) -> None:
        """Take a stage's schedule to where the stage was saved; raises RunError where a state says
        what cannot be there.
        """
        stage, state = self.plan.stages[name], self._states[name]
        path = self.folder.checkpoint(name, "last") / STATE
        at, each = Position(**state["position"]), steps_an_epoch(stage, loader)
        steps = total_steps(stage, loader)
        check_at_most(
            path,
            {
                "position.step": (at.step, steps),
                "position.epoch": (at.epoch, -(-steps // each)),
                "position.batches": (at.batches, len(loader)),
            },
        )
        check_position(path, state, steps=steps, each=each, by=stage.accumulate)
        schedule.go_to(at.step, at.epoch)
        expected = schedule.state_dict()
        check_alike(path, "schedule", state["schedule"], expected)
        check_same(path, "schedule", state["schedule"], expected)

    def _save_and_stop(self, course: "_Course", step: Step) -> None:
        """Save what a run that somebody stops goes on from; weights that are not finite are not."""
        try:
            self._save(course, step.position, unvalidated=step.epoch_ended)
        except NonFiniteLoss as error:
            kept = last_saved(self.folder, self.plan.stages)
            self.watcher.note(f"{error}: they were not saved. {kept}")
        # who ended now would have the launcher end the others, and the main one is writing
        self.accelerator.wait_for_everyone()
        self.interrupts.share(self.interrupts.heard)

    def _end_epoch(self, course: "_Course", at: Position) -> bool:
        """Validate where that is due, and save; return whether the stage is done."""
        stage, state = course.stage, course.state
        done = at.step == course.steps
        validated: Mapping[str, float] | None = None
        course.clock.pause()
        if done or at.epoch % stage.evaluate_every == 0:
            if course.unsaved:  # whatever becomes of the validation, the epoch is there
                self._save(course, at, unvalidated=True)
                self.accelerator.wait_for_everyone()
            validated = self.validation.take(course.name, stage, state, at)
            done = done or (stage.patience is not None and state["waiting"] >= stage.patience)
            self._save_outcome(course, done=done)
        else:
            self._save(course, at)
        self.accelerator.wait_for_everyone()
        if validated is not None:
            title = f"{course.name}, epoch {at.epoch}"
            self.watcher.scored(title, validated, best=state["waiting"] == 0)
        self.folder.log_timing({"stage": course.name, "epoch": at.epoch - 1, **course.clock.read()})
        return done

    def _stop_if_asked(self) -> None:
        if self.accelerator.num_processes > 1:
            # all of them after the same step: who went on alone would wait for the others forever
            heard = torch.tensor([self.interrupts.heard], device=self.accelerator.device)
            heard = self.accelerator.gather(heard)
            self.interrupts.share(0 if self.interrupts.heard else int(heard.max()))
        self.interrupts.check()

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

    def _save(self, course: "_Course", at: Position, *, unvalidated: bool = False) -> None:
        course.unsaved = False
        tensors = self._weights()
        # the main process looks at what is written, and the others hear of it
        course.scene.check_weights(tensors, at.epoch - (not at.batches), at.step)
        optimizer = whole_state(course.optimizer, keep=self.folder.writes)
        if not self.folder.writes:
            return
        scaler = self.accelerator.scaler
        lines = self.folder.sync_metrics()
        with written_whole(self.folder.checkpoint(course.name, "last")) as folder:
            save_model(folder, self.model, self.model.left_out, tensors)
            write_json(
                folder / STATE,
                {
                    **{key: course.state[key] for key in ("best", "waiting")},
                    "stage": course.name,
                    "position": asdict(at),
                    "optimizer": save_optimizer(folder, optimizer),
                    "schedule": course.schedule.state_dict(),
                    "scaler": scaler.state_dict() if scaler is not None else None,
                    "metrics_lines": lines,
                    "unvalidated": unvalidated,
                    "done": False,
                },
            )
            self.manifest.write(folder)

    def _save_outcome(self, course: "_Course", *, done: bool) -> None:
        """Save what came of a validation: beside the weights of before it, which did not change and
        are neither written nor hashed again.
        """
        if not self.folder.writes:
            return
        last = self.folder.checkpoint(course.name, "last")
        known = {name: sha for name, sha in hashes_in(last).items() if name != STATE}
        state = read_json(last / STATE) | {
            **{key: course.state[key] for key in ("best", "waiting")},
            "metrics_lines": self.folder.sync_metrics(),
            "unvalidated": False,
            "done": done,
        }
        with written_whole(last) as folder:
            link_files(last, folder, but=(STATE, MANIFEST))
            write_json(folder / STATE, state)
            self.manifest.write(folder, known=known)

    def _weights(self) -> Mapping[str, Tensor]:
        """Return what a checkpoint holds, on the process that writes it."""
        return whole_model(self.model, self.model.left_out, keep=self.folder.writes)

    def _restore_scaler(self, state: Mapping[str, Any], path: Path) -> None:
        """Scale losses as where a state was saved; only float16 has a scaler."""
        scaler = self.accelerator.scaler
        if scaler is not None and state.get("scaler") is not None:
            check_alike(path, "scaler", state["scaler"], scaler.state_dict())
            scaler.load_state_dict(state["scaler"])

    def _state(self, stage: str) -> dict[str, Any]:
        """Read how far a stage is; nothing where it has not begun."""
        last = self.folder.checkpoint(stage, "last")
        return read_state(last / STATE, stage, LAST) if last.exists() else {}

    def _probe_batches(self) -> list[tuple[Batch, Batch]]:
        """Make batches to ask whether the image is used, each with the same one with others'
        images.
        """
        loader = self.studies.loader(
            self.model,
            "val",
            training=False,
            first=GAP_STUDIES,
            batch_size=self.plan.evaluation.batch_size,
        )
        if len(loader.studies) < 2:
            return []
        own = list(loader.epoch())
        loader.studies = exchange_images(loader.studies, self.plan.seed)
        return list(zip(own, loader.epoch(), strict=True))


@final
class _Course:
    """What belongs to one stage while it runs."""

    def __init__(
        self,
        name: str,
        stage: StageSettings,
        steps: int,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        scene: Scene,
        state: dict[str, Any],
    ) -> None:
        self.name = name
        self.stage = stage
        self.steps = steps
        self.optimizer = optimizer
        self.schedule = schedule
        self.scene = scene
        self.state = state
        self.unsaved = False
        self.clock = Clock()
