"""The section `objectives`: components with a weight, and what they require of the model."""

from collections.abc import Mapping
from math import inf
from typing import Any, cast

from rrgcore.check.components import Components
from rrgcore.check.model import SLOTS
from rrgcore.errors import a, did_you_mean
from rrgcore.plan import Block, Plan

COLUMNS = frozenset(
    ("total", "loss", "lr", "gradient_norm", "stage", "epoch", "step", "split", "best")
)
"""What a line of metrics.jsonl says beside the objectives' losses."""


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
        if isinstance(weight, float) and not 0 <= weight < inf:
            reader.problem(f"{address}.weight", f"expected a weight of at least 0, got {weight}")
        if name in COLUMNS:
            reader.problem(
                address,
                f"'{name}' is a column of metrics.jsonl already; give the objective another key, "
                f"such as {{my_{name}: {{name: …}}}}",
            )
        if block := components.block("objective", item, address, default=name):
            blocks[name] = block
            weights[name] = cast(float, weight)
    if not blocks and not reader.problems:
        reader.problem("objectives", "there is nothing to train: name at least one objective")
    return blocks, weights


def refuse_missing_capabilities(components: Components, plan: Plan) -> None:
    """Compare what components require with the classes in the slots."""
    for block in plan.blocks():
        for slot, capability in block.requires.items():
            if (text := _missing(components, plan, block, slot, capability)) is not None:
                components.reader.problem(block.address, text)


def _missing(
    components: Components, plan: Plan, block: Block, slot: str, capability: type
) -> str | None:
    if slot not in SLOTS:
        return (
            f"`requires` of {block.kind} '{block.name}' names the slot '{slot}', which a model "
            f"does not have.{did_you_mean(slot, SLOTS)}\nSlots: {', '.join(SLOTS)}"
        )
    if not isinstance(capability, type):
        return (
            f"`requires` of {block.kind} '{block.name}' wants the {slot} to be {capability!r}; "
            "expected a class"
        )
    filled = getattr(plan, slot) or plan.decoder
    if issubclass(filled.cls, capability):
        return None
    offered = components.those_that_are(SLOTS[slot], capability)
    hint = (
        "\nGive the model one beside its decoder: model.text_encoder"
        if slot == "text_encoder" and offered != "none"
        else ""
    )
    return (
        f"{block.kind} '{block.name}' needs {a(slot)} that is {capability.__name__}; "
        f"'{filled.name}' is not. Those that are: {offered}{hint}"
    )
