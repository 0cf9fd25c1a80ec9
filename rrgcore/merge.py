"""How fragments of a recipe are laid one over another: by `extends`, by a variant, by an override.

A block that names another component replaces the one it meets whole, since the options of the one
mean nothing to the other (of `data` the settings stay that are core's, whichever dataset it is); a
block that repeats no name adjusts; a bare name is short for `{name: …}`; a `ref` counts as a name;
`off` takes an entry away; lists are values.
"""

from collections.abc import Iterator, Set
from typing import final

from rrgcore.errors import Problem, did_you_mean
from rrgcore.grammar import FRAGMENT, Block, Open, Place, Value, below
from rrgcore.yaml_loader import OFF, Node

Path = tuple[str, ...]


@final
class Merger:
    """Lays fragments over one another, and notes where `off` met nothing.

    `known` are addresses at which some fragment says something: variants can be stacked, so `off`
    may meet what another variant took away before, but never what nobody ever said.
    """

    def __init__(self, known: Set[Path] = frozenset()) -> None:
        self.problems: list[Problem] = []
        self.away: set[Path] = set()
        """Addresses that were taken away, and not said again since."""
        self._known = known

    def merge(self, base: Node, fragment: Node) -> Node:
        """Return a recipe with a fragment laid over it; both stay as they are."""
        merged = self._merge(base, fragment, FRAGMENT, None, ())
        assert merged is not None, "a recipe is never off"
        return merged

    def _merge(
        self, base: Node | None, new: Node, place: Place, default: str | None, path: Path
    ) -> Node | None:
        if new.value is OFF:
            return Node(False, new.origin) if _is_switch(place) else None
        if not isinstance(new.value, dict):
            if base is not None and _is_named(base, new, place, default):
                return base
            if not (base is not None and _kept(base, place) and isinstance(new.value, str)):
                return new
            new = Node({"name": new}, new.origin)
        children = _adjusted(base, new, place, default)
        origin = new.origin if base is None or children is None else base.origin
        if children is None:
            children = {} if base is None else _kept(base, place)
        for key, child in new.mapping.items():
            where, inner = (*path, key), below(place, key)
            takes_away = child.value is OFF and not _is_switch(inner)
            (self.away.add if takes_away else self.away.discard)(where)
            if takes_away and key not in children and where not in self._known:
                self._nothing_to_take_away(child, where, children, place)
            merged = self._merge(children.get(key), child, inner, default_name(place, key), where)
            if merged is None:
                children.pop(key, None)
            else:
                children[key] = merged
        return Node(children, origin)

    def _nothing_to_take_away(
        self, node: Node, path: Path, there: dict[str, Node], place: Place
    ) -> None:
        text = (
            f"off takes an entry away, and there is no '{path[-1]}' here."
            f"{did_you_mean(path[-1], there)}\nThere: {', '.join(there) or 'nothing'}"
        )
        if isinstance(place, Block):
            text += "\nTo switch an option off, give it a value: false, or null"
        self.problems.append(Problem(".".join(path), text, node.origin.line, node.origin.file))


def default_name(place: Place, key: str) -> str | None:
    """Return the component that the entry `key` of a place is when it has no `name`."""
    if isinstance(place, Open) and place.named_by_key:
        return key
    inner = below(place, key)
    return inner.default if isinstance(inner, Block) else None


def addresses(node: Node, path: Path = ()) -> Iterator[Path]:
    """Iterate over every address at which a fragment says something, `off` excepted."""
    for key, child in node.mapping.items():
        if child.value is not OFF:
            yield (*path, key)
            yield from addresses(child, (*path, key))


def without(node: Node, away: Set[Path], path: Path = ()) -> Node:
    """Return a fragment without some addresses, what is below them, and blocks of nothing else."""
    if not away or not isinstance(node.value, dict):
        return node
    children = {}
    for key, child in node.mapping.items():
        left = without(child, away, (*path, key))
        if (*path, key) not in away and (left.value != {} or child.value == {}):
            children[key] = left
    return Node(children, node.origin)


def _is_switch(place: Place) -> bool:
    return isinstance(place, Value) and place.switch


def _is_named(base: Node, new: Node, place: Place, default: str | None) -> bool:
    """Whether a bare name names the component that stands there as a block already."""
    return (
        isinstance(place, Block)
        and isinstance(base.value, dict)
        and _component(base, default) == ("name", new.value)
    )


def _adjusted(
    base: Node | None, new: Node, place: Place, default: str | None
) -> dict[str, Node] | None:
    """Return what stays of the base under a block; None when it is replaced whole."""
    if base is None or not isinstance(base.value, dict | str):
        return None
    if isinstance(base.value, str):
        if not isinstance(place, Block):
            return None
        kept = {"name": Node(base.value, base.origin)}
    else:
        kept = dict(base.value)
    if isinstance(place, Block):
        named = _component(new, None)
        if named is not None and named != _component(Node(kept, base.origin), default):
            return None
    return kept


def _kept(base: Node, place: Place) -> dict[str, Node]:
    """Return what stays of a block in which another component takes the place."""
    if not (isinstance(place, Block) and place.keeps):
        return {}
    return {key: child for key, child in base.mapping.items() if key in place.keys}


def _component(node: Node, default: str | None) -> tuple[str, str] | None:
    """Return what a block names: a component, or a shared part."""
    for key in ("ref", "name"):
        child = node.mapping.get(key)
        if child is not None and isinstance(child.value, str):
            return key, child.value
    return ("name", default) if default is not None else None
