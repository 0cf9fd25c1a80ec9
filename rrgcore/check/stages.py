"""The section `stages`: what each one says, and what it continues from the one before."""

import re
from collections.abc import Mapping
from typing import Any

from rrgcore.check.reader import Reader
from rrgcore.check.torch_classes import optimizer_of, schedule_of
from rrgcore.errors import did_you_mean
from rrgcore.settings import StageSettings

OF_ONE_STAGE = ("epochs", "steps", "only", "start_from", "warmup", "freeze", "tested")
"""What a stage does not continue from the one before."""


def stages_of(reader: Reader, value: Any, weights: Mapping[str, float]) -> dict[str, StageSettings]:
    """Read the stages; each must train some objective that has a weight."""
    found: dict[str, StageSettings] = {}
    before: dict[str, Any] = {}
    for name, item in reader.mapping(value, "stages").items():
        address = f"stages.{name}"
        if not re.fullmatch(r"[\w-]+", name) or name == "best":
            reader.problem(
                address,
                f"'{name}' cannot be a folder below checkpoints/, where `best` is taken; expected "
                "letters, digits, - and _",
            )
        own = dict(reader.mapping(item, address))
        for key in ("optimizer", "schedule"):
            if isinstance(own.get(key), str):
                own[key] = {"name": own[key]}
        continues = bool(before) and not (
            "schedule" in own
            or "lr" in reader.mapping(own.get("optimizer"), f"{address}.optimizer")
        )
        merged = _continued(before, own)
        schedule = merged.setdefault("schedule", {}) or {}
        if isinstance(schedule, Mapping) and "name" not in schedule:
            # of itself torch's ConstantLR begins at a third
            merged["schedule"] = {"name": "ConstantLR", "factor": 1.0, **schedule}
        if stage := _stage(reader, merged, continues, address):
            found[name] = stage
        before = merged
    if not found and not reader.problems:
        reader.problem("stages", "there is nothing to run: name at least one stage")
    for name, stage in found.items():
        _refuse_idle(reader, name, stage, weights)
    if found and not any(stage.tested for stage in found.values()):
        reader.problem(
            "stages",
            "no stage is `tested`, and the run could be tested with no checkpoint: leave one so",
        )
    precisions = {stage.precision for stage in found.values()}
    if len(precisions) > 1:
        reader.problem(
            "stages",
            f"every stage of a run has one precision, got {', '.join(sorted(precisions))}",
        )
    return found


def _continued(before: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage with what it does not say from the one before: its length and its like
    excepted.

    An optimizer or schedule that names no other class is adjusted, as blocks are everywhere.
    """
    merged = {key: item for key, item in before.items() if key not in OF_ONE_STAGE}
    for key, item in own.items():
        above = merged.get(key)
        if key in ("optimizer", "schedule") and isinstance(item, Mapping) and above is not None:
            renamed = "name" in item and item["name"] != above.get("name")
            item = dict(item) if renamed else {**above, **item}
        merged[key] = item
    return merged


def _stage(
    reader: Reader, merged: Mapping[str, Any], continues: bool, address: str
) -> StageSettings | None:
    optimizer = optimizer_of(reader, merged.get("optimizer", {}), f"{address}.optimizer")
    schedule = schedule_of(reader, merged["schedule"], f"{address}.schedule")
    if optimizer is None or schedule is None:
        return None
    ready = {"continues": continues, "optimizer": optimizer, "schedule": schedule}
    return reader.settings(StageSettings, {**merged, **ready}, address, ready=list(ready))


def _refuse_idle(
    reader: Reader, name: str, stage: StageSettings, weights: Mapping[str, float]
) -> None:
    """Note what a stage names that is no objective, and that it trains nothing."""
    for chosen in stage.only or ():
        if chosen not in weights:
            reader.problem(
                f"stages.{name}.only",
                f"there is no objective '{chosen}'.{did_you_mean(chosen, weights)}\n"
                f"Objectives: {', '.join(weights) or 'none'}",
            )
    if weights and not any(weight for key, weight in weights.items() if stage.trains(key)):
        reader.problem(
            f"stages.{name}", "there is nothing to train: no objective in it has a weight"
        )
