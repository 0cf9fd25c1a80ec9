"""One combination, all the way: trained, written with, saved, and written with again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rrgcore.build import build_model
from rrgcore.checkpoint import load_model, save_model
from rrgcore.engine import Position, Step, steps
from rrgcore.features import Features
from rrgcore.interfaces import Embeds, Matches, Reconstructs
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule, make_optimizer
from rrgcore.plan import Plan
from rrgcore.studies import Studies
from rrgcore.supply import Dataset
from rrgcore.tokenizers import Tokenizers
from rrgcore.types import Generated


def try_out(plan: Plan, dataset: Dataset, accelerator: Accelerator, folder: Path) -> None:
    """Train two steps, write, reload into a fresh model, write the same; assert that all of it is
    so.
    """
    studies = Studies(plan, dataset)
    tokenizers = Tokenizers(plan, lambda: studies.reports("train"))
    model = build_model(plan, tokenizers).to(accelerator.device)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    taken = _train(plan, model, studies, accelerator)

    assert len(taken) == 2
    assert all({"total", *plan.objectives} <= step.losses.keys() for step in taken)
    check_learned(plan, model, before)
    probe(plan, model, studies)
    written = write(plan, model, studies)
    assert any(report.text for report in written), f"nothing but empty reports: {written}"

    save_model(folder, model, model.left_out)
    saved = {name: str(folder / str(i)) for i, name in enumerate(tokenizers.loaded)}
    for name, tokenizer in tokenizers.loaded.items():
        tokenizer.save(Path(saved[name]))
    again = build_model(plan, Tokenizers(plan, None, saved), load_weights=False)
    load_model(folder, again.to(accelerator.device))
    rewritten = write(plan, again, studies)
    assert rewritten == written, f"wrote {written}, and reloaded {rewritten}"


def _train(
    plan: Plan, model: ReportModel, studies: Studies, accelerator: Accelerator
) -> list[Step]:
    (name, stage), *_ = plan.stages.items()
    weights = plan.stage_weights(name)
    loader = studies.loader(model, "train", training=True, objectives=list(weights))
    optimizer = make_optimizer(stage.optimizer, model)
    schedule = Schedule(stage.schedule, optimizer, warmup=0)
    at = Position()
    course = steps(name, stage, model, weights, loader, optimizer, schedule, accelerator, at)
    return list(course)


def check_learned(plan: Plan, model: ReportModel, before: Mapping[str, Tensor]) -> None:
    """Assert that something moved in each part that takes part and can learn."""
    parts: dict[str, nn.Module] = {
        slot: getattr(model.parts, slot) for slot in ("encoder", "adapter", "decoder")
    }
    if any("text_encoder" in block.requires for block in plan.objectives.values()):
        parts["text_encoder"] = model.parts.text_encoder
    parts |= {f"objectives.{name}": objective for name, objective in model.objectives.items()}
    # by identity, since a shared parameter has one name of several
    names = {id(p): name for name, p in model.named_parameters()}
    for part, module in parts.items():
        learning = [p for p in module.parameters() if p.requires_grad]
        moved = [p for p in learning if not torch.equal(p, before[names[id(p)]])]
        assert moved or not learning, f"{part} has parameters to train, and none moved"


@torch.no_grad()
def probe(plan: Plan, model: ReportModel, studies: Studies) -> None:
    """Ask the objectives what a run asks them at its end."""
    model.eval()
    loader = studies.loader(model, "test", training=False, objectives=list(plan.objectives))
    (batch,) = (each.to(_device(model)) for each in loader.epoch())
    features = Features(model.parts, batch)
    for name, objective in model.objectives.items():
        found: list[Tensor] = []
        if isinstance(objective, Reconstructs):
            prepared: Any = batch.prepared[f"objectives.{name}"]
            found.append(objective.reconstruct(features, prepared)["error"])
        if isinstance(objective, Embeds):
            found += [
                objective.embed_image(features.image),
                objective.embed_text(features.text),
            ]
        if isinstance(objective, Matches):
            found.append(objective.match(batch.text, features.image))
        assert all(len(each) == len(batch) and bool(each.isfinite().all()) for each in found), name


def write(plan: Plan, model: ReportModel, studies: Studies) -> list[Generated]:
    """Write a report for each test study, from its images alone."""
    loader = studies.loader(model.eval(), "test", training=False)
    batches = (batch.to(_device(model)) for batch in loader.epoch())
    return [report for batch in batches for report in model.generate(batch, plan.generation)]


def _device(model: ReportModel) -> torch.device:
    return next(model.parameters()).device
