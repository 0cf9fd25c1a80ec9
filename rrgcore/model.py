"""The model that is trained: parts, and the objectives that pull features from them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast, final

import torch
from torch import nn

from rrgcore.checkpoint import LeftOut
from rrgcore.features import Features, Parts
from rrgcore.interfaces import AlignmentObjective
from rrgcore.settings import StageSettings
from rrgcore.types import Batch, Generated, Generation, Losses

ALONE: Mapping[str, float] = MappingProxyType({})
"""The shares of a batch that is a step of its own."""


@final
class ReportModel(nn.Module):
    """Parts and objectives; one `forward` does everything of a training step, so that wrappers see
    it.
    """

    def __init__(self, *, parts: Parts, objectives: Mapping[str, AlignmentObjective]) -> None:
        super().__init__()
        self.parts = parts
        self.left_out: tuple[LeftOut, ...] = ()
        """What checkpoints name instead of holding it: published weights that nothing trains."""
        self.objectives = nn.ModuleDict(cast(Mapping[str, nn.Module], objectives))
        parts.adapter.bind(parts)
        for objective in objectives.values():
            objective.bind(parts)

    def forward(
        self,
        batch: Batch,
        weights: Mapping[str, float],
        shares: Mapping[str, float] = ALONE,
    ) -> Losses:
        """Return the weighted sum of objectives (KIA, eq. 9; CmEAA, eq. 16).

        `shares` are this batch's in a step of several, 1 unless said.
        """
        features = Features(self.parts, batch)
        outputs = {
            name: self.objectives[name](features, batch.prepared.get(f"objectives.{name}"))
            for name, weight in weights.items()
            if weight
        }
        assert outputs, "no objective has a weight: there is nothing to train"
        terms = [weights[name] * shares.get(name, 1.0) * o.loss for name, o in outputs.items()]
        return Losses(torch.stack(terms).sum(), outputs)

    def counts(self, batch: Batch, weights: Mapping[str, float]) -> dict[str, int]:
        """Count what each objective's loss of this batch will be a mean over."""
        return {
            name: cast(AlignmentObjective, self.objectives[name]).count(
                batch, batch.prepared.get(f"objectives.{name}")
            )
            for name, weight in weights.items()
            if weight
        }

    @torch.no_grad()
    def generate(self, batch: Batch, generation: Generation) -> list[Generated]:
        """Write a report for each study of a batch."""
        features = Features(self.parts, batch)
        return self.parts.decoder.generate(features.visual, generation)

    def part(self, name: str) -> nn.Module:
        """Return the module that a recipe calls encoder, shared.joint or objectives.irc."""
        return part_of(self.parts, dict(self.objectives.items()), name)

    def after_step(self, weights: Mapping[str, float]) -> None:
        """Tell the objectives that took part that the optimizer has stepped."""
        for name, weight in weights.items():
            if weight:
                cast(AlignmentObjective, self.objectives[name]).after_step()


def freeze_for(model: ReportModel, stage: StageSettings, trainable: set[str]) -> None:
    """Let a stage train what the recipe trains, but for what the stage freezes."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
    for part in stage.freeze:
        model.part(part).requires_grad_(False)


def part_of(parts: Parts, objectives: Mapping[str, nn.Module], name: str) -> nn.Module:
    """Return the module that a recipe calls encoder, shared.joint or objectives.irc."""
    section, _, key = name.partition(".")
    if section == "shared":
        return parts.shared[key]
    if section == "objectives":
        return objectives[key]
    return cast(nn.Module, getattr(parts, section))
