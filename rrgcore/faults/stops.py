"""The steps of a stage, whose faults are diagnosed, saved and told with what to change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch.optim import Optimizer

from rrgcore.checkpoint import STATE
from rrgcore.engine import Position, Step
from rrgcore.errors import RunError, WriteError
from rrgcore.faults.changes import for_divergence, for_training, listed
from rrgcore.faults.culprits import Culprits, by_part, find_culprits, not_finite
from rrgcore.faults.inspection import save_step
from rrgcore.faults.nonfinite import Fault, NonFiniteLoss
from rrgcore.faults.shortage import is_out_of_memory
from rrgcore.faults.telling import out_of_memory
from rrgcore.files import read_json
from rrgcore.folder import RunFolder
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule
from rrgcore.plan import Plan

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
"""Where no process has the whole of the weights."""


@final
@dataclass(frozen=True, slots=True)
class Scene:
    """Everything around the steps of a stage that a report of a fault is made of."""

    plan: Plan
    stage: str
    model: ReportModel
    optimizer: Optimizer
    schedule: Schedule
    accelerator: Accelerator
    folder: RunFolder

    def told(self, taken: Iterator[Step], at: Position) -> Iterator[Step]:
        """Pass steps on; raise NonFiniteLoss and OutOfMemory in words for the user."""
        step = at.step
        try:
            for each in taken:
                step = each.position.step
                self._check_weights(each)
                yield each
        except NonFiniteLoss as error:
            raise NonFiniteLoss(self._tell(error), error.fault) from error
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            size = self.plan.data.batch_size
            where = (
                f"stage {self.stage}, step {step + 1}, a training step of {size} studies at a time"
            )
            changes = for_training(self.plan)
            raise out_of_memory(error, where, changes, self.folder) from error

    def _tell(self, error: NonFiniteLoss) -> str:
        """Diagnose, save, and say everything."""
        fault = error.fault
        culprits = self._culprits(fault)
        if culprits is not None and culprits.seen is not None:
            fault = replace(fault, culprit=culprits.seen)
        done = "Nothing was updated." if fault.seen else "They were not saved."
        return "\n".join(
            [
                f"{error}.",
                *self._diagnosis(fault, culprits),
                *self._saved(fault, culprits),
                f"{done} {self._last()} As it is, the run comes to this step again; what may keep "
                "it finite, as overrides of a new run:",
                listed(for_divergence(self.plan, self.stage)),
            ]
        )

    def _check_weights(self, step: Step) -> None:
        """Raise NonFiniteLoss before weights are saved that a finite gradient has thrown too far.

        All processes raise it together: of a sharded model each looks at its own part.
        """
        every = self.plan.stages[self.stage].save_every
        if not (step.epoch_ended or (every and step.position.step % every == 0)):
            return
        broken = not_finite({n: p.detach() for n, p in self.model.named_parameters()})
        found = torch.tensor(float(bool(broken)), device=self.accelerator.device)
        if bool(self.accelerator.reduce(found)):
            what = "weights are not finite after the step"
            place = (step.epoch, step.position.step)
            fault = Fault(what, self.stage, *place, seen=(), culprit=None, norm=step.gradient_norm)
            raise NonFiniteLoss(f"{what} ({fault.place})", fault)

    def _culprits(self, fault: Fault) -> Culprits | None:
        """Look for what a gradient came from; nothing where several processes compute it."""
        if fault.norm is None or not fault.seen or self.accelerator.num_processes > 1:
            return None
        # by now they are clipped with a norm that is no number, and their memory is wanted
        self.optimizer.zero_grad(set_to_none=True)
        weights = self.plan.stage_weights(self.stage)
        try:
            return find_culprits(self.model, weights, fault.seen, self.accelerator)
        except Exception as error:
            # one backward an objective takes more than one of their sum
            if is_out_of_memory(error):
                return None
            raise

    def _diagnosis(self, fault: Fault, culprits: Culprits | None) -> Iterator[str]:
        broken = not_finite({n: p.detach() for n, p in self.model.named_parameters()})
        if broken:
            yield f"Weights that are not finite: {by_part(broken)}."
        for each in fault.seen:
            images = each.batch.images.flatten(1)
            ids = [
                id
                for id, finite in zip(each.batch.ids, torch.isfinite(images).all(1), strict=True)
                if not finite
            ]
            if ids:
                yield f"Images that are not finite: of {', '.join(ids)}."
        if culprits is None:
            return
        if culprits.seen is not None:
            yield f"It is the gradient of batch {culprits.seen.number} of the epoch: " + ", ".join(
                culprits.seen.batch.ids
            )
        for name, parameters in culprits.objectives.items():
            yield f"Of objective '{name}' it is not finite in {by_part(parameters)}."
        if culprits.seen is not None and not culprits.objectives:
            yield "No objective alone has a gradient that is not finite; their sum has."
        if culprits.largest is not None:
            name, value = culprits.largest
            yield (
                "Every value of it is finite, but their squares add up to more than float32 holds: "
                f"the largest is {value:.3g}, in {by_part([name])}."
            )

    def _saved(self, fault: Fault, culprits: Culprits | None) -> Iterator[str]:
        """Save the batches that may be to blame; say where, or why they could not be."""
        if not fault.seen:
            return
        accelerator = self.accelerator
        process = accelerator.process_index
        name = f"step-{fault.step}" + (f"-process-{process}" if process else "")
        whole = accelerator.is_main_process and accelerator.distributed_type not in SHARDED
        try:
            folder = save_step(
                self.folder.path,
                name,
                [fault.culprit] if fault.culprit else fault.seen,
                self._facts(fault, culprits),
                self.model,
                weights=whole,
            )
        except (OSError, WriteError) as error:
            yield f"The batch could not be saved ({error})."
            return
        others = f", those of the other processes in {folder}-process-…"
        yield (
            f"The batch is saved in {folder}, its images as PNG"
            f"{' and the weights that met it' if whole else ''}"
            f"{others if accelerator.num_processes > 1 else ''}: "
            f"rrgcore.load_saved_batch('{folder}')."
        )

    def _facts(self, fault: Fault, culprits: Culprits | None) -> Mapping[str, Any]:
        self.schedule.before_step()  # warms up: the rate that the step would have had
        return {
            "found": fault.what,
            "stage": fault.stage,
            "epoch": fault.epoch,
            "step": fault.step,
            "process": self.accelerator.process_index,
            "processes": self.accelerator.num_processes,
            "seed": self.plan.seed,
            "precision": self.plan.stages[self.stage].precision,
            "lr": self.optimizer.param_groups[0]["lr"],
            "gradient_norm": fault.norm,
            "gradients_not_finite": dict(culprits.objectives) if culprits else {},
            "weights": dict(self.plan.stage_weights(self.stage)),
        }

    def _last(self) -> str:
        """Say which checkpoint is the last one."""
        names = list(self.plan.stages)
        for name in reversed(names[: names.index(self.stage) + 1]):
            path = self.folder.checkpoint(name, "last")
            try:
                step = read_json(path / STATE)["position"]["step"]
            except (RunError, KeyError):
                continue
            return f"The last checkpoint is that of stage {name} after step {step}: {path}."
        return "There is no checkpoint yet."
