"""The section `model`: what fills its slots, and the parts that other sections name."""

from collections.abc import Iterable, Mapping
from typing import Any

from rrgcore.check.components import Components
from rrgcore.check.reader import Reader
from rrgcore.errors import a, did_you_mean
from rrgcore.plan import Block

SLOTS: Mapping[str, str] = {
    "encoder": "encoder",
    "adapter": "adapter",
    "decoder": "decoder",
    "text_encoder": "decoder",
}
"""What a model has room for, and the kind of component that goes there."""


def slots_of(components: Components, model: Mapping[str, Any]) -> dict[str, Block | None]:
    """Read what is in each slot; where there is no adapter, `identity`."""
    given = {"adapter": "identity", **model}
    found: dict[str, Block | None] = {}
    for slot, kind in SLOTS.items():
        if slot in given:
            found[slot] = components.block(kind, given[slot], f"model.{slot}")
            continue
        found[slot] = None
        if slot != "text_encoder":
            components.reader.problem("model", f"needs `{slot}`: the name of {a(kind)}, or a block")
    return found


def part_names(shared: Iterable[str], objectives: Iterable[str]) -> list[str]:
    """List the names that parts have where a recipe freezes them, say, or loads them from a run."""
    return [
        *SLOTS,
        *(f"shared.{key}" for key in shared),
        *(f"objectives.{name}" for name in objectives),
    ]


def refuse_unknown_parts(
    reader: Reader, names: Iterable[str], known: list[str], address: str
) -> None:
    """Note the names of parts that no part has."""
    for name in names:
        if name not in known:
            reader.problem(
                address,
                f"there is no part '{name}'.{did_you_mean(name, known)}\nParts: {', '.join(known)}",
            )


def refuse_unused_parts(components: Components, roots: Iterable[Block]) -> None:
    """Note the shared parts that neither these blocks nor other shared parts refer to."""
    shared = components.shared
    used = {key for block in (*roots, *shared.values()) for key in block.refs()}
    for key in shared:
        if key not in used:
            components.reader.problem(
                f"model.shared.{key}",
                f"nothing refers to it: use `{{ref: {key}}}`, or remove it",
            )
