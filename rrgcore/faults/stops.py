"""The steps of a stage, whose faults are diagnosed, saved and told with what to change."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
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
from rrgcore.folder import RunFolder
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule
from rrgcore.plan import Plan
from rrgcore.stage_state import LAST, read_state

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
    by_design: frozenset[str]
    """Buffers that are not finite as the stage begins: `infinite_buffers`."""

    def told(self, taken: Iterator[Step], at: Position) -> Iterator[Step]:
        """Pass steps on; raise NonFiniteLoss and OutOfMemory in words for the user."""
        step = at.step
        try:
            for each in taken:
                step = each.position.step
                if self._is_saved(each):
                    self.check_weights(state_of(self.model), each.epoch, step)
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
        names = list(self.plan.stages)
        names = names[: names.index(self.stage) + 1]
        return "\n".join(
            [
                f"{error}.",
                *self._diagnosis(fault, culprits),
                *self._saved(fault, culprits),
                f"{done} {last_saved(self.folder, names)}. As it is, the run comes to this step "
                "again; what may keep it finite, as overrides of a new run:",
                listed(
                    for_divergence(
                        self.plan,
                        self.stage,
                        studies=max((len(each.batch.ids) for each in fault.seen), default=None),
                    )
                ),
            ]
        )

    def check_weights(self, tensors: Mapping[str, Tensor], epoch: int, step: int) -> None:
        """Raise NonFiniteLoss before weights, or what modules keep beside them, are saved that a
        finite gradient has thrown too far.

        All processes raise it together: of a sharded model each looks at its own part.
        """
        broken = set(not_finite(tensors)) - self.by_design
        found = torch.tensor(float(bool(broken)), device=self.accelerator.device)
        if bool(self.accelerator.reduce(found)):
            what = "weights are not finite after the step"
            fault = Fault(what, self.stage, epoch, step, seen=(), culprit=None, norm=None)
            raise NonFiniteLoss(f"{what} ({fault.place})", fault)

    def _is_saved(self, step: Step) -> bool:
        """Whether what a step leaves is validated or saved."""
        every = self.plan.stages[self.stage].save_every
        return step.epoch_ended or bool(every and step.position.step % every == 0)

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
        broken = [name for name in not_finite(state_of(self.model)) if name not in self.by_design]
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


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Name each tensor of a model's state once: parameters, and what is kept beside them."""
    first = {id(tensor): name for name, tensor in reversed(_named(model))}
    return {name: tensor for name, tensor in _named(model) if first[id(tensor)] == name}


def infinite_buffers(model: nn.Module) -> frozenset[str]:
    """Name the buffers that are not finite before anything is trained: a mask, by design."""
    parameters = {id(parameter) for parameter in model.parameters()}
    return frozenset(
        not_finite({n: t for n, t in state_of(model).items() if id(t) not in parameters})
    )


def _named(model: nn.Module) -> list[tuple[str, Tensor]]:
    return list(model.state_dict(keep_vars=True).items())


def last_saved(folder: RunFolder, stages: Iterable[str]) -> str:
    """Say in a sentence without its full stop which checkpoint of some stages is the last one."""
    for name in reversed(list(stages)):
        try:
            path = folder.checkpoint(name, "last")
            step = read_state(path / STATE, name, LAST)["position"]["step"]
        except RunError:  # not there, or nothing to go on from
            continue
        return f"The last checkpoint is that of stage {name} after step {step}: {path}"
    return "There is no checkpoint yet"
