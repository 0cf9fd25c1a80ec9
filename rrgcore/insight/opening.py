"""Opening a run folder, to look into what it trained."""

from collections.abc import Sequence
from typing import Any, cast

import torch

from rrgcore.folder import RunFolder
from rrgcore.insight.opened import OpenRun
from rrgcore.manifest import check_belongs, load_checkpoint
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.registry import Registry
from rrgcore.settings import Split
from rrgcore.studies import Studies
from rrgcore.watch import Watcher


def open_run(
    *,
    plan: Plan,
    folder: RunFolder,
    model: ReportModel,
    studies: Studies,
    registry: Registry,
    split: Split,
    device: torch.device,
    watcher: Watcher,
) -> OpenRun:
    """Open a run; its model is filled with one checkpoint after another.

    Raises RunError, once it is asked for, for a checkpoint that does not belong to the run.
    """

    def fill(stage: str | None) -> ReportModel:
        checkpoint = folder.best if stage is None else folder.checkpoint(stage, "best")
        check_belongs(folder, checkpoint)
        load_checkpoint(checkpoint, model)
        return model.to(device)

    def load(model: ReportModel, split: Split, objectives: Sequence[str]) -> Any:
        return studies.loader(model, split, training=False, objectives=objectives)

    return OpenRun(
        registry=registry,
        fill=fill,
        load=load,
        listed=lambda split: studies[split],
        references=studies.references,
        know=studies.knowledge.open,
        dataset=studies.dataset,
        trained=_trained(plan, folder),
        exported=folder.exported,
        generation=plan.generation,
        max_report_tokens=plan.data.max_report_tokens,
        split=split,
        caution=cast(Any, plan.dataset.cls).caution,
        seed=plan.seed,
        batch_size=plan.evaluation.batch_size or plan.data.batch_size,
        device=device,
        watcher=watcher,
    )


def _trained(plan: Plan, folder: RunFolder) -> dict[str, str]:
    """Find the last stage that trained each objective, of those whose checkpoint is there."""
    found: dict[str, str] = {}
    for stage in reversed(list(plan.stages)):
        if folder.checkpoint(stage, "best").is_dir():
            weights = plan.stage_weights(stage)
            found |= {n: stage for n, weight in weights.items() if weight and n not in found}
    return {name: found[name] for name in plan.objectives if name in found}
