"""The section `objectives`: components with a weight, and what they require of the model."""

from collections.abc import Mapping
from typing import Any, cast

from rrgcore.check.components import Components
from rrgcore.check.model import SLOTS
from rrgcore.plan import Block, Plan


def objectives_of(components: Components, value: Any) -> tuple[dict[str, Block], dict[str, float]]:
    """Read the objectives and their weights; one that is not named otherwise has its key's name."""
    reader = components.reader
    blocks: dict[str, Block] = {}
    weights: dict[str, float] = {}
    for name, item in reader.mapping(value, "objectives").items():
        address = f"objectives.{name}"
        weight: Any = 1.0
        if isinstance(item, Mapping):
            weight = reader.value(float, item.get("weight", 1.0), f"{address}.weight")
            item = {key: option for key, option in item.items() if key != "weight"}
        if isinstance(weight, float) and weight < 0:
            reader.problem(f"{address}.weight", f"expected a weight of at least 0, got {weight}")
        if block := components.block("objective", item, address, default=name):
            blocks[name] = block
            weights[name] = cast(float, weight)
    if not blocks and not reader.problems:
        reader.problem("objectives", "there is nothing to train: name at least one objective")
    return blocks, weights


def refuse_missing_capabilities(components: Components, plan: Plan) -> None:
    """Compare what objectives require with the classes in the slots."""
    for name, block in plan.objectives.items():
        for slot, capability in getattr(block.cls, "requires", {}).items():
            filled = getattr(plan, slot) or plan.decoder
            if issubclass(filled.cls, capability):
                continue
            offered = components.those_that_are(SLOTS[slot], capability)
            article = "an" if slot[0] in "ae" else "a"
            hint = (
                "\nGive the model one beside its decoder: model.text_encoder"
                if slot == "text_encoder" and offered != "none"
                else ""
            )
            components.reader.problem(
                f"objectives.{name}",
                f"objective '{block.name}' needs {article} {slot} that is "
                f"{capability.__name__}; '{filled.name}' is not. "
                f"Those that are: {offered}{hint}",
            )
