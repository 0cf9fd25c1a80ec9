"""torch's own optimizers and schedules by name, with the two things recipes add: warm-up and
exemptions.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, cast, final

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rrgcore.model import ReportModel
from rrgcore.settings import OptimizerSettings, ScheduleSettings


def make_optimizer(settings: OptimizerSettings, model: ReportModel) -> Optimizer:
    """Build an optimizer over what is trainable.

    Vectors (biases, norms, temperatures) and tokens such as a mask token are spared weight decay,
    as SimMIM spares them, unless `exempt` is off; parts named in `lr_of` have a rate of their own.
    """
    rates: dict[int, float] = {}
    for name, rate in settings.lr_of.items():
        for parameter in model.part(name).parameters():
            rates[id(parameter)] = rate
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            # a [1, 1, d] token is a vector too
            vector = max(parameter.shape, default=1) == parameter.numel()
            rate = rates.get(id(parameter), settings.lr)
            groups.setdefault((rate, settings.exempt and vector), []).append(parameter)
    assert groups, "a stage with nothing to train is refused before it is built"
    cls = getattr(torch.optim, settings.name)
    return cast(
        Optimizer,
        cls(
            [
                {"params": parameters, "lr": rate, **({"weight_decay": 0.0} if spared else {})}
                for (rate, spared), parameters in groups.items()
            ],
            lr=settings.lr,
            **settings.options,
        ),
    )


@final
class Schedule:
    """A torch schedule that steps by epoch or by step, under a linear warm-up."""

    def __init__(self, settings: ScheduleSettings, optimizer: Optimizer, *, warmup: int) -> None:
        cls = cast(Any, getattr(torch.optim.lr_scheduler, settings.name))
        self._scheduler: LRScheduler = cls(optimizer, **settings.options)
        self._optimizer = optimizer
        self._by_step = settings.every == "step"
        self._warmup = warmup
        self._steps = 0

    def before_step(self) -> None:
        """Set this step's learning rates."""
        share = min(1.0, (self._steps + 1) / self._warmup) if self._warmup else 1.0
        for group, rate in self._rates():
            group["lr"] = rate * share

    def after_step(self) -> None:
        """Count a step."""
        self._steps += 1
        for group, rate in self._rates():
            group["lr"] = rate
        if self._by_step:
            self._advance()

    def after_epoch(self) -> None:
        """Count an epoch."""
        if not self._by_step:
            self._advance()

    def go_to(self, steps: int, epochs: int) -> None:
        """Stand where so many steps and whole epochs of training would have led from here."""
        self._advance(steps if self._by_step else epochs)
        self._steps = steps

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        plain = {
            key: value
            for key, value in self._scheduler.state_dict().items()
            if isinstance(value, (int, float, str, list, bool, type(None)))
        }
        return {
            "scheduler": plain,
            "steps": self._steps,
            "rates": [rate for _, rate in self._rates()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where a saved state was (resume)."""
        self._scheduler.load_state_dict(dict(state["scheduler"]))
        self._steps = int(state["steps"])
        for group, rate in zip(self._optimizer.param_groups, state["rates"], strict=True):
            group["lr"] = rate

    def continue_from(self, state: Mapping[str, Any]) -> None:
        """Go on from the end of the stage before, under an optimizer of its own
        (docs/papers/kia.md, K19).
        """
        base = state["scheduler"]["base_lrs"][0]
        share = state["rates"][0] / base if base else 1.0
        self._scheduler.last_epoch = state["scheduler"]["last_epoch"]
        rates = [group["initial_lr"] * share for group in self._optimizer.param_groups]
        self._scheduler._last_lr = rates
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def _advance(self, times: int = 1) -> None:
        with warnings.catch_warnings():
            # a first step that float16 skipped counts too, and torch suspects the order of calls
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            for _ in range(times):
                self._scheduler.step()

    def _rates(self) -> Iterator[tuple[dict[str, Any], float]]:
        # asked for anew: an optimizer that loads a state replaces its groups
        groups = self._optimizer.param_groups
        return zip(groups, map(float, self._scheduler.get_last_lr()), strict=True)
