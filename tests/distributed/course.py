"""A few optimizer steps of a recipe, and what is left of them: what every process runs."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import save_file

from rrgcore import load_recipe
from rrgcore.build import build_model
from rrgcore.engine import Position, steps
from rrgcore.job import make_accelerator
from rrgcore.optim import Schedule, make_optimizer
from rrgcore.plan import Plan
from rrgcore.studies import Studies
from rrgcore.tokenizers import Tokenizers

RECIPES = Path(__file__).parent.parent.parent / "recipes"
STEPS = 4


def follow(plan: Plan, accelerator: Accelerator) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Train the last stage for a few steps; return their losses, and the model's state."""
    studies = Studies(plan)
    set_seed(plan.seed)
    model = build_model(plan, Tokenizers(plan, lambda: studies.reports("train")))
    name, stage = list(plan.stages.items())[-1]
    weights = plan.weights
    loader = studies.loader(
        model,
        "train",
        training=True,
        objectives=list(weights),
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    optimizer = make_optimizer(stage.optimizer, model)
    schedule = Schedule(stage.schedule, optimizer, warmup=0)
    accelerator.free_memory()
    wrapped, prepared = accelerator.prepare(model, optimizer)
    few = replace(stage, epochs=None, steps=STEPS)
    losses = [
        dict(step.losses)
        for step in steps(
            name, few, wrapped, weights, loader, prepared, schedule, accelerator, Position()
        )
    ]
    return losses, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def plan_of(case: Mapping[str, Any], overrides: Sequence[str]) -> Plan:
    """Resolve a case: a recipe at its tiniest, without dropout."""
    path = RECIPES / f"{case['recipe']}.yaml"
    return load_recipe(
        path, variants=case["variants"], overrides=[*case["overrides"], *overrides]
    ).plan


def main(order: Path) -> None:
    """Follow each case of an order; every process writes what it is left with."""
    for number, case in enumerate(json.loads(order.read_text())):
        plan = plan_of(case, case["split"])
        accelerator = make_accelerator(plan)
        losses, state = follow(plan, accelerator)
        stem = order.parent / f"{number}-{accelerator.process_index}"
        stem.with_suffix(".json").write_text(json.dumps(losses))
        save_file({k: v.clone() for k, v in state.items()}, stem.with_suffix(".safetensors"))
    accelerator.end_training()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
