"""The sections of a recipe as JSON Schema, from the settings that they fill."""

import inspect
from typing import Any, cast

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from rrgcore.check.model import SLOTS
from rrgcore.check.torch_classes import NOT_OPTIONS, hints_of, known_classes
from rrgcore.schema.components import Components
from rrgcore.schema.values import OFF, described, either, or_off, settings, value
from rrgcore.settings import (
    AugmentSettings,
    DataSettings,
    EvaluationSettings,
    OptimizerSettings,
    ScheduleSettings,
    StageSettings,
)
from rrgcore.types import Generation

PART = "^(encoder|adapter|decoder|text_encoder|(shared|objectives)\\..+)$"
PARTS = {
    "type": "array",
    "items": {"type": "string", "pattern": PART},
    "description": "Parts that stand still: encoder, decoder, shared.NAME, objectives.NAME.",
}


def fragment(components: Components) -> dict[str, Any]:
    """Return the keys of a recipe but for `extends` and `variants`."""
    components.more["objective"] = {
        "weight": or_off({"type": "number", "minimum": 0, "default": 1.0})
    }
    components.more["dataset"] = _data_keys(components)
    return {
        "about": described({"type": "string"}, "Free text, printed when a run begins."),
        "seed": described(
            or_off({"type": "integer", "minimum": 0, "maximum": 2**32 - 1}), "", default=0
        ),
        "data": described(
            either(components.place("dataset"), OFF),
            "A data set, and how its studies become batches.",
        ),
        "model": described(_model(components), "The parts."),
        "objectives": described(
            _named_by_key(components, "objective"), "What is trained, by name."
        ),
        "stages": {
            "description": "How, by name, in order.",
            "type": "object",
            "additionalProperties": either(_stage(), OFF),
        },
        "generation": _section(settings(Generation), "How reports are searched for."),
        "evaluation": _section(
            {
                **settings(EvaluationSettings),
                "metrics": described(_named_by_key(components, "metric"), "Metrics by name."),
            },
            "What is measured, and which score decides.",
        ),
        "init": {
            "description": "Parts that start from another run: {encoder: run:FOLDER}.",
            "type": "object",
            "propertyNames": {"pattern": PART},
            "additionalProperties": {"type": "string"},
        },
    }


def _section(keys: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "properties": keys,
        "additionalProperties": False,
    }


def _data_keys(components: Components) -> dict[str, Any]:
    """Return core's own keys of `data`."""
    keys = settings(DataSettings)
    split = {"type": "string"}
    return {
        **keys,
        "splits": _section(
            {role: split for role in ("train", "val", "test")},
            "Which of the data's splits plays a role, where it is not the one of that name.",
        ),
        "augment": _section(settings(AugmentSettings), "How training images are varied."),
        "annotations": _annotations(components),
    }


def _annotations(components: Components) -> dict[str, Any]:
    by_slug: dict[str, dict[str, type]] = {}
    for name, cls in components.classes("annotator").items():
        by_slug.setdefault(cast(Any, cls).writes.slug, {})[name] = cls
    return {
        "description": "An annotator for a kind of annotation, in place of the data's own.",
        "type": "object",
        "properties": {
            slug: either(
                components.names("annotator", classes),
                *({"$ref": components.block("annotator", name)} for name in classes),
                *(components.unnamed("annotator", name) for name in classes),
                OFF,
            )
            for slug, classes in by_slug.items()
        },
        "additionalProperties": either(components.place("annotator"), OFF),
    }


def _model(components: Components) -> dict[str, Any]:
    slots = {slot: or_off(components.place(kind)) for slot, kind in SLOTS.items()}
    return {
        "type": "object",
        "properties": {
            "shared": {
                "description": "Parts by name, for {ref: NAME}.",
                "type": "object",
                "additionalProperties": either(components.place("part"), OFF),
            },
            **slots,
            "views": or_off({"enum": ["concat", "mean"], "default": "concat"}),
            "freeze": or_off(PARTS),
        },
        "additionalProperties": False,
    }


def _named_by_key(components: Components, kind: str) -> dict[str, Any]:
    """Return the schema of entries that are the component their key names, unless they say."""
    place = components.place(kind)
    classes = components.classes(kind)
    blocks = [{"$ref": components.block(kind, name)} for name in classes]
    names = components.names(kind, classes)
    return {
        "type": "object",
        "properties": {
            name: either(components.unnamed(kind, name), *blocks, names, OFF) for name in classes
        },
        "additionalProperties": either(place, OFF),
    }


def _stage() -> dict[str, Any]:
    keys = settings(StageSettings, leave_out=("continues", "optimizer", "schedule"))
    optimizer = settings(OptimizerSettings, leave_out=("name", "options", "lr_of"))
    rates = {
        "description": "Learning rates of single parts: {encoder: 1e-5}.",
        "type": "object",
        "propertyNames": {"pattern": PART},
        "additionalProperties": or_off({"type": "number", "exclusiveMinimum": 0}),
    }
    schedule = settings(ScheduleSettings, leave_out=("name", "options"))
    return {
        "title": "a stage",
        "type": "object",
        "properties": {
            **keys,
            "freeze": or_off(PARTS),
            "optimizer": _torch_class(
                torch.optim, Optimizer, {**optimizer, "lr_of": rates}, OptimizerSettings().name
            ),
            "schedule": _torch_class(lr_scheduler, LRScheduler, schedule, ScheduleSettings().name),
        },
        "additionalProperties": False,
    }


def _torch_class(module: Any, base: type, own: dict[str, Any], default: str) -> dict[str, Any]:
    """Return the schema of a class of torch by name with its arguments, or with some adjusted."""
    names = known_classes(module, base)
    arguments = {name: _arguments(getattr(module, name)) for name in names}
    blocks: list[dict[str, Any]] = [
        {
            "title": name,
            "type": "object",
            "properties": {"name": {"const": name}, **arguments[name], **own},
            "required": ["name"],
            "additionalProperties": False,
        }
        for name in names
    ]
    every: dict[str, Any] = {}
    for found in arguments.values():
        for key, schema in found.items():
            bare = {k: v for k, v in schema.items() if k != "default"}
            every[key] = either(every[key], bare) if every.get(key) else bare
    adjusted = {
        "type": "object",
        "properties": {**every, **own},
        "not": {"required": ["name"]},
        "additionalProperties": False,
    }
    found = either({"enum": names}, *blocks, adjusted, OFF)
    return described(found, f"A class of torch by name, with its arguments; {default} unless said.")


def _arguments(cls: Any) -> dict[str, Any]:
    hints = hints_of(cls)
    return {
        key: described(or_off(value(hints.get(key, Any))), "", *_default(parameter))
        for key, parameter in inspect.signature(cls).parameters.items()
        if key not in NOT_OPTIONS
    }


def _default(parameter: inspect.Parameter) -> list[Any]:
    return [] if parameter.default is parameter.empty else [parameter.default]
