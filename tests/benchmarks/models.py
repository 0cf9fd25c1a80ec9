"""Models with random weights, and batches of imagined studies for them: nothing is downloaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from rrgcore import load_recipe
from rrgcore.build import build_model
from rrgcore.check import check_recipe
from rrgcore.memory.imagined import (
    CountingTokenizer,
    imagine_prepared,
    imagine_studies,
    imagine_text,
)
from rrgcore.model import ReportModel, freeze_for
from rrgcore.optim import make_optimizer
from rrgcore.plan import Plan
from rrgcore.plugins import discover
from rrgcore.studies import preparing
from rrgcore.tokenizers import Tokenizers
from rrgcore.types import Batch


def plan_of(recipe: str, variants: Sequence[str] = (), overrides: Sequence[str] = ()) -> Plan:
    """Check a recipe whose data need not be there."""
    session = load_recipe(recipe, variants=variants, overrides=overrides)
    return check_recipe(session.recipe, discover().registry, expand_paths=False)


def stand_in(plan: Plan) -> Tokenizers:
    """Return tokenizers that only count."""
    tokenizers = Tokenizers(plan, None, absent_allowed=True)
    for block in plan.blocks():
        if isinstance(said := block.options.get("tokenizer"), str):
            words = block.options.get("vocabulary") or 1000
            tokenizers.loaded.setdefault(said, CountingTokenizer(size=words))
    return tokenizers


@dataclass(slots=True)
class Training:
    """A model in a stage, and what a step of it is made of."""

    plan: Plan
    model: ReportModel
    weights: Mapping[str, float]
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(cls, plan: Plan, stage: str, *, device: str = "cpu") -> "Training":
        """Build it as a run would, but for the weights."""
        with torch.device(device):
            model = build_model(plan, stand_in(plan), load_weights=False)
        settings, weights = plan.stages[stage], plan.stage_weights(stage)
        trainable = {name for name, p in model.named_parameters() if p.requires_grad}
        freeze_for(model, settings, trainable)
        return cls(plan, model.train(), weights, make_optimizer(settings.optimizer, model))

    def batch(self, size: int, *, tokens: int, pixels: int | None = None) -> Batch:
        """Imagine studies with one image and a report of so many tokens, its frame counted."""
        side = pixels or self.plan.data.image_size
        studies = imagine_studies(size, views=1, words=tokens)
        text = imagine_text(studies, self.model.parts.decoder.tokenizer, max_tokens=tokens)
        return Batch(
            ids=tuple(study.id for study in studies),
            images=torch.randn(size, 1, 3, side, side),
            present=torch.ones(size, 1, dtype=torch.bool),
            report=text,
            text=text,
            prepared=imagine_prepared(preparing(self.model, list(self.weights)), studies),
        )

    def forward_and_backward(self, batch: Batch, half: torch.dtype | None = None) -> None:
        """Take the losses, and gradients of everything that is trained."""
        with torch.autocast(batch.images.device.type, half, enabled=half is not None):
            losses = self.model(batch, self.weights)
        losses.total.backward()

    def update(self) -> None:
        """Move the weights, and what follows them: twin and queues."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.after_step(self.weights)
