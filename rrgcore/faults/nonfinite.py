"""The look at each loss and gradient that stops a run before anything is spoilt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import final

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from rrgcore.errors import UserError
from rrgcore.types import Batch, Losses

SHOWN = 64
"""Studies that a message names; the saved batch has all of them."""
PROCESSES = 8
"""Of several processes, so many say what they found."""


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """A batch that was gone through in a step, and what came of it."""

    number: int
    """In its epoch, from 1."""
    batch: Batch
    losses: Losses
    shares: Mapping[str, float]
    """Of the step, by objective; 1 where nothing is said."""
    seed: int
    """What torch's generator was seeded with before it."""


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """What was not finite, and where training stood; the step was not taken."""

    what: str
    stage: str
    epoch: int
    """From 0, as in metrics.jsonl."""
    step: int
    """The number it would have had, from 1."""
    seen: Sequence[Seen]
    """The batches of the step so far, on this process."""
    culprit: Seen | None
    """The batch whose loss it was; None for a gradient, which is of all of them."""
    norm: float | None
    """The gradient's, where it came to that."""

    @property
    def place(self) -> str:
        """Say where training stood."""
        batch = f", batch {self.culprit.number} of the epoch" if self.culprit else ""
        return f"stage {self.stage}, epoch {self.epoch + 1}, step {self.step}{batch}"

    @property
    def studies(self) -> list[str]:
        """List the studies it is of."""
        seen = [self.culprit] if self.culprit else self.seen
        return [id for each in seen for id in each.batch.ids]


@final
class NonFiniteLoss(UserError):
    """A loss or gradient that is not a number: the run stops before anything is spoilt."""

    of_all_processes = True

    def __init__(self, text: str, fault: Fault) -> None:
        super().__init__(text)
        self.fault = fault


@final
class Finite:
    """Looks at what training computes; a step whose numbers are not finite is never taken, and
    never skipped in silence.

    Of several processes the one that finds something goes on until the gradients of the step are
    whole, and all of them stop there together: who stopped alone would leave the others waiting.
    A float16 scaler's own overflow is its own business, until it scales by less than 1.
    """

    def __init__(self, stage: str, accelerator: Accelerator) -> None:
        self.stage = stage
        self._accelerator = accelerator
        self._seen: list[Seen] = []
        self._found: Fault | None = None

    def check_losses(
        self,
        epoch: int,
        step: int,
        number: int,
        batch: Batch,
        losses: Losses,
        shares: Mapping[str, float],
    ) -> None:
        """Raise NonFiniteLoss naming the objective and the studies of a batch."""
        self._seen.append(Seen(number, batch, losses, shares, torch.initial_seed()))
        # one look at a device is enough while all is well: what is not finite makes the sum so
        if self._found is None and not bool(torch.isfinite(losses.total)):
            values = {f"objective '{name}'": out.loss for name, out in losses.outputs.items()}
            values["the sum of the objectives"] = losses.total
            name = next(name for name, value in values.items() if not bool(torch.isfinite(value)))
            what = f"{name} is {float(values[name].detach())}"
            self._found = self._fault(what, epoch, step, self._seen[-1], None)
        if self._found is not None and self._accelerator.num_processes == 1:
            raise NonFiniteLoss(describe(self._found), self._found)

    def check_gradient(self, epoch: int, step: int, norm: float) -> None:
        """Raise NonFiniteLoss where finite losses have a gradient that is not; on every process
        where one of them found something.
        """
        scaler = self._accelerator.scaler
        if (
            self._found is None
            and not isfinite(norm)
            and (scaler is None or scaler.get_scale() < 1)
        ):
            what = f"the gradient's norm is {norm}"
            self._found = self._fault(what, epoch, step, None, norm)
        if (found := self._agreed(epoch, step)) is not None:
            raise found
        self._seen = []

    def _fault(
        self, what: str, epoch: int, step: int, culprit: Seen | None, norm: float | None
    ) -> Fault:
        return Fault(what, self.stage, epoch, step, tuple(self._seen), culprit, norm)

    def _agreed(self, epoch: int, step: int) -> NonFiniteLoss | None:
        own, accelerator = self._found, self._accelerator
        if accelerator.num_processes == 1:
            return own and NonFiniteLoss(describe(own), own)
        flag = torch.tensor(float(own is not None), device=accelerator.device)
        if not bool(accelerator.reduce(flag)):
            return None
        texts = gather_object([own and describe(own)])
        said = [f"process {number}: {text}" for number, text in enumerate(texts) if text]
        more = [f"and {len(said) - PROCESSES} more processes"] if len(said) > PROCESSES else []
        fault = own or self._fault("another process found it", epoch, step, None, None)
        return NonFiniteLoss("\n".join([*said[:PROCESSES], *more]), fault)


def describe(fault: Fault) -> str:
    """Say what was not finite, on which studies, and where training stood."""
    studies = fault.studies
    more = f" and {len(studies) - SHOWN} more" if len(studies) > SHOWN else ""
    return f"{fault.what} on these studies: {', '.join(studies[:SHOWN])}{more} ({fault.place})"
