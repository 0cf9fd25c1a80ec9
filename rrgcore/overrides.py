"""Overrides, `ADDRESS=VALUE`: fragments of one entry, whose address must exist."""

from collections.abc import Collection, Sequence

from rrgcore.errors import Problem, did_you_mean
from rrgcore.grammar import (
    FRAGMENT,
    RECIPE,
    Block,
    Open,
    Place,
    Section,
    Value,
    below,
    check_grammar,
    unknown_key,
)
from rrgcore.merge import Merger
from rrgcore.yaml_loader import Node, read_yaml, shown

COMMAND_LINE = "command line"


def apply_override(
    root: Node, override: str, *, variants: Collection[str] = ()
) -> tuple[Node, list[Problem]]:
    """Return the recipe with ADDRESS=VALUE laid over it, and what is wrong with the override.

    `variants` are names that a user may have meant where there is no value.
    """
    address, equals, text = override.partition("=")
    if not equals:
        hint = f", such as {override}=…"
        if override in variants:
            hint = f"; a variant is chosen with --variant {override}"
        return root, [_wrong(override, f"expected ADDRESS=VALUE{hint}")]
    address = address.strip()
    path = _path(address)
    if not all(path):
        return root, [_wrong(override, "expected an address before '=', such as model.encoder")]
    value, problems = read_yaml(text, file=COMMAND_LINE, address=address, numbered=False)
    if (reason := _why_not(root, path)) is not None:
        problems.append(_wrong(address, reason))
    if problems or value is None:
        return root, problems
    fragment = value
    for key in reversed(path):
        fragment = Node({key: fragment}, value.origin)
    if problems := list(check_grammar(fragment, FRAGMENT)):
        return root, problems
    merger = Merger()
    return merger.merge(root, fragment), merger.problems


def _path(address: str) -> tuple[str, ...]:
    """Split an address at its dots; where keys name parts of the model, the rest is one key."""
    path: list[str] = []
    place: Place = FRAGMENT
    keys = address.split(".")
    for depth, key in enumerate(keys):
        if isinstance(place, Open) and place.dotted:
            return (*path, ".".join(keys[depth:]))
        path.append(key)
        place = below(place, key)
    return tuple(path)


def _why_not(root: Node, path: Sequence[str]) -> str | None:
    """Say why there is no such address; a component's options are not known here, any is taken."""
    place: Place = FRAGMENT
    node: Node | None = root
    for depth, key in enumerate(path):
        children = node.value if node is not None and isinstance(node.value, dict) else {}
        above = ".".join(path[:depth])
        match place:
            case Section() if key not in place.keys:
                if key in RECIPE.keys and not depth:
                    return f"'{key}' is said in the file, not in an override"
                return unknown_key(place, key)
            case Open() if depth + 1 < len(path) and key not in children:
                return (
                    f"there is no {place.noun} '{key}' to adjust.{did_you_mean(key, children)}\n"
                    f"There: {', '.join(children) or 'none'}. To add one: {above}.{key}={{…}}"
                )
            case Value() if key not in children:
                return f"{above} is one value, without parts: {above}=…"
            case Block() if node is not None and not isinstance(node.value, dict | str):
                found = "a list, which is set whole" if isinstance(node.value, list) else "a value"
                return f"{above} is {shown(node.value)}, {found}: {above}=…"
        place, node = below(place, key), children.get(key)
    return None


def _wrong(address: str, text: str) -> Problem:
    return Problem(address, text, None, COMMAND_LINE)
