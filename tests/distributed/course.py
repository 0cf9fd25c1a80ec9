"""A few optimizer steps of a recipe, and what is left of them: what every process runs."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, set_seed
from safetensors.torch import save_file

from rrgcore import load_recipe, load_run
from rrgcore.build import build_model
from rrgcore.checkpoint import STATE, load_model, save_model, whole_model
from rrgcore.engine import Position, steps
from rrgcore.files import read_json
from rrgcore.job import make_accelerator, write_assessment
from rrgcore.launched import prepare_stage
from rrgcore.optim import Schedule, make_optimizer
from rrgcore.optimizer_state import load_optimizer, save_optimizer
from rrgcore.plan import Plan
from rrgcore.sharding import whole_state
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
    size = plan.data.batch_size
    wrapped, prepared, _ = prepare_stage(accelerator, model, optimizer, stage, size)
    few = replace(stage, epochs=None, steps=STEPS)
    losses = [
        dict(step.losses)
        for step in steps(
            name, few, wrapped, weights, loader, prepared, schedule, accelerator, Position()
        )
    ]
    return losses, {name: tensor.clone() for name, tensor in whole_model(model).items()}


def plan_of(case: Mapping[str, Any], overrides: Sequence[str]) -> Plan:
    """Resolve a case: a recipe at its tiniest, without dropout."""
    path = RECIPES / f"{case['recipe']}.yaml"
    return load_recipe(
        path, variants=case["variants"], overrides=[*case["overrides"], *overrides]
    ).plan


def shard(accelerator: Accelerator, layers: str | None) -> Accelerator:
    """Have it lay models in shards, layer by layer or all at once.

    Of a launcher that says so Accelerate does this itself, but not where there is no GPU.
    """
    policy = "TRANSFORMER_BASED_WRAP" if layers else "NO_WRAP"
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy=policy,
        transformer_cls_names_to_wrap=layers,
    )
    accelerator.state.distributed_type = DistributedType.FSDP
    return accelerator


def save_again(plan: Plan, name: str, checkpoint: Path, to: Path, accelerator: Accelerator) -> None:
    """Go on from a stage's checkpoint, as a run does, and save another at once."""
    studies = Studies(plan)
    model = build_model(plan, Tokenizers(plan, lambda: studies.reports("train")))
    load_model(checkpoint, model)
    stage = plan.stages[name]
    optimizer = make_optimizer(stage.optimizer, model)
    Schedule(
        stage.schedule, optimizer, warmup=stage.warmup
    )  # it notes the rates that it began with
    *_, whole = prepare_stage(accelerator, model, optimizer, stage, plan.data.batch_size)
    said = read_json(checkpoint / STATE)["optimizer"]
    load_optimizer(checkpoint, said, whole, said_by=checkpoint / STATE)
    main = accelerator.is_main_process
    tensors, state = whole_model(model, keep=main), whole_state(whole, keep=main)
    if main:
        to.mkdir()
        save_model(to, model, tensors=tensors)
        (to / STATE).write_text(json.dumps(save_optimizer(to, state)))


def main(order: Path) -> None:
    """Follow each case of an order; every process writes what it is left with."""
    told = json.loads(order.read_text())
    for number, case in enumerate(told["cases"]):
        plan = plan_of(case, case["split"])
        accelerator = make_accelerator(plan)
        if "shards" in case:
            shard(accelerator, case["shards"])
        losses, state = follow(plan, accelerator)
        stem = order.parent / f"{number}-{accelerator.process_index}"
        stem.with_suffix(".json").write_text(json.dumps(losses))
        save_file(state, stem.with_suffix(".safetensors"))
    run = load_run(told["run"])
    write_assessment(run.folder, run.evaluate(told["split"]))
    accelerator = make_accelerator(run.plan)
    if "shards" in told:
        shard(accelerator, None)
    last = run.folder.checkpoint(told["stage"], "last")
    save_again(run.plan, told["stage"], last, order.parent / "again", accelerator)
    accelerator.end_training()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
