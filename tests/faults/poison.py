"""A plugin of one objective that goes wrong in a way of its own, once it has taken some steps."""

from collections.abc import Iterable
from typing import Literal, final

import torch
from torch import nn

from rrgcore import Component, hookimpl
from rrgcore.api import AlignmentObjective, Features, ObjectiveOutput

PEBIBYTE = 2**50


@final
class Poison(AlignmentObjective):
    """L = s · mean(pooled²), and worse for one study."""

    def __init__(
        self,
        *,
        study: str = "phantom-train-00003",
        how: Literal["loss", "gradient", "norm", "weights", "memory"] = "loss",
        after: int = 0,
    ) -> None:
        super().__init__()
        self.study = study
        self.how = how
        self.after = after
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, features: Features, prepared: None = None) -> ObjectiveOutput:
        """Return the loss."""
        loss = features.image.pooled.square().mean() * self.scale
        count = torch.tensor(len(features.batch))
        if self.study in features.batch.ids and self.steps >= self.after:
            match self.how:
                case "loss":
                    loss = loss * (loss - loss - 1).log()
                case "gradient":
                    loss = loss + (loss - loss).sqrt()  # 0, whose slope is infinite
                case "norm":
                    loss = loss * 1e25
                case "memory":
                    loss = loss + torch.empty(PEBIBYTE, dtype=torch.uint8)[0]
        return ObjectiveOutput(loss, count)

    @torch.no_grad()
    def after_step(self) -> None:
        """Count the steps; spoil the weights with the last one that is allowed."""
        self.steps += 1
        if self.how == "weights" and self.steps == self.after:
            self.scale.fill_(torch.inf)


@hookimpl
def rrg_components() -> Iterable[Component]:
    """Return the objective."""
    return [Component("objective", "poison", "poison:Poison", "Goes wrong.")]
