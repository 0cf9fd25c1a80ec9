"""A plan as plain values with every default filled in, and what its model weighs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, cast, final

from torch import nn

from rrgcore.ema import EmaTwin
from rrgcore.model import ReportModel
from rrgcore.plan import Block, Plan, Ref
from rrgcore.settings import OptimizerSettings, ScheduleSettings, StageSettings
from rrgcore.signatures import options_of
from rrgcore.types import Generation


def resolved(plan: Plan) -> dict[str, Any]:
    """Return the recipe that the plan came from, defaults filled in; it can be run as it stands."""
    model: dict[str, Any] = {"views": plan.views}
    if plan.shared:
        model["shared"] = {key: _block(block) for key, block in plan.shared.items()}
    for slot in ("encoder", "adapter", "decoder", "text_encoder"):
        if (block := getattr(plan, slot)) is not None:
            model[slot] = _block(block)
    if plan.freeze:
        model["freeze"] = list(plan.freeze)
    data = {**_block(plan.dataset), **_plain(asdict(plan.data))}
    if plan.annotators:
        data["annotations"] = {
            cast(Any, kind).slug: _block(block) for kind, block in plan.annotators.items()
        }
    evaluation = _plain(asdict(plan.evaluation))
    if plan.metrics:
        evaluation["metrics"] = {name: _block(block) for name, block in plan.metrics.items()}
    found: dict[str, Any] = {}
    if about := plan.recipe.values.get("about"):
        found["about"] = about
    found |= {
        "seed": plan.seed,
        "data": data,
        "model": model,
        "objectives": {
            name: {**_block(block), "weight": plan.weights[name]}
            for name, block in plan.objectives.items()
        },
        "stages": {name: _stage(stage) for name, stage in plan.stages.items()},
        "generation": {f.name: getattr(plan.generation, f.name) for f in fields(Generation)},
        "evaluation": evaluation,
    }
    if plan.init:
        found["init"] = dict(plan.init)
    return found


@final
@dataclass(frozen=True, slots=True)
class Weight:
    """How many parameters a part adds that no part before it has."""

    part: str
    trainable: int
    frozen: int


def weigh(model: ReportModel) -> list[Weight]:
    """Count parameters by part, a shared one once: where model.shared names it, else where it is
    first used.

    Momentum twins are counted apart: they are copies that no task is run with.
    """
    parts = model.parts
    named: list[tuple[str, nn.Module]] = [
        *((f"shared.{key}", part) for key, part in parts.shared.items()),
        ("encoder", parts.encoder),
        ("adapter", parts.adapter),
        ("decoder", parts.decoder),
    ]
    if not parts.decoder_encodes_text:
        named.append(("text_encoder", cast(nn.Module, parts.text_encoder)))
    twins: list[tuple[str, nn.Module]] = []
    for name, objective in model.objectives.items():
        named.append((f"objectives.{name}", objective))
        twins += [
            (f"objectives.{name} (momentum twin)", module)
            for module in objective.modules()
            if isinstance(module, EmaTwin)
        ]
    seen: set[int] = set()
    of_twins = {id(p) for _, twin in twins for p in twin.parameters()}
    of_twins -= {id(p) for p in parts.parameters()}  # what is frozen, a twin shares
    weights: list[Weight] = []
    for part, module in (*named, *twins):
        trainable = frozen = 0
        for parameter in module.parameters():
            is_twin = any(part == name for name, _ in twins)
            if id(parameter) in seen or (id(parameter) in of_twins) != is_twin:
                continue
            seen.add(id(parameter))
            if parameter.requires_grad:
                trainable += parameter.numel()
            else:
                frozen += parameter.numel()
        weights.append(Weight(part, trainable, frozen))
    return weights


def _block(block: Block) -> dict[str, Any]:
    values: dict[str, Any] = {"name": block.name}
    for name, option in options_of(block.cls).items():
        if name in block.options:
            value = block.options[name]
            if isinstance(value, Block):
                value = _block(value)
            elif isinstance(value, Ref):
                value = {"ref": value.key}
        elif option.wired or option.required or option.default is None:
            continue
        else:
            value = option.default
        if value is not None:
            values[name] = _plain(value)
    return values


def _stage(stage: StageSettings) -> dict[str, Any]:
    """A stage as its section; a schedule that goes on, and its learning rate, stay unsaid."""
    found: dict[str, Any] = {}
    for field in fields(StageSettings):
        value = getattr(stage, field.name)
        if field.name in ("optimizer", "schedule"):
            if field.name == "schedule" and stage.continues:
                continue
            settings = cast(OptimizerSettings | ScheduleSettings, value)
            left_out = {"options", *(["lr"] if stage.continues else [])}
            plain = {k: v for k, v in asdict(settings).items() if k not in left_out and v != {}}
            found[field.name] = _plain({**plain, **settings.options})
        elif field.name != "continues" and value is not None and value != ():
            found[field.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
