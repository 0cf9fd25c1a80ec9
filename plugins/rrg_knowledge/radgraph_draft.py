"""A graph in the making: spans of words, who relates to whom, and what is said of each."""

from dataclasses import dataclass, field
from typing import Literal, final

from rrgcore.annotations import Entity

Relation = Literal["located_at", "modify", "suggestive_of"]


@final
@dataclass(slots=True)
class Node:
    """An entity without a label; it is known by its first word."""

    end: int
    anatomy: bool
    relations: list[tuple[Relation, int]] = field(default_factory=list)


@final
class Draft:
    """Entities of one sentence by first word; the same word is one entity however often added."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}

    def add(self, start: int, end: int, *, anatomy: bool) -> int:
        """Add an entity, and return its key."""
        self.nodes.setdefault(start, Node(end, anatomy))
        return start

    def relate(self, key: int, relation: Relation, target: int) -> None:
        """Add a relation, once; never of an entity to itself."""
        relations = self.nodes[key].relations
        if key != target and (relation, target) not in relations:
            relations.append((relation, target))

    def places_of(self, key: int) -> list[int]:
        """Return where an observation is."""
        return [to for relation, to in self.nodes[key].relations if relation == "located_at"]

    def described(self, key: int) -> int:
        """Return what an entity modifies in the end: its status is that one's."""
        seen = {key}
        while True:
            node = self.nodes[key]
            targets = [to for relation, to in node.relations if relation == "modify"]
            if not targets or targets[0] in seen or self.nodes[targets[0]].anatomy != node.anatomy:
                return key
            key = targets[0]
            seen.add(key)

    def drop(self, key: int) -> None:
        """Take an entity out, with all that describes it."""
        del self.nodes[key]
        for other in [k for k, node in self.nodes.items() if ("modify", key) in node.relations]:
            self.drop(other)
        for node in self.nodes.values():
            node.relations = [one for one in node.relations if one[1] != key]


def number_entities(
    drafts: list[tuple[int, Draft, dict[int, str]]], words: tuple[str, ...]
) -> dict[str, Entity]:
    """Return the entities of a report, keyed from "1" in the order of their words.

    Each draft comes with the index of its first word and the labels of its entities.
    """
    placed = [
        (first + key, first, node, labels[key])
        for first, draft, labels in drafts
        for key, node in draft.nodes.items()
    ]
    placed.sort(key=lambda row: row[0])
    names = {start: str(number) for number, (start, *_) in enumerate(placed, start=1)}
    return {
        names[start]: Entity(
            tokens=" ".join(words[start : first + node.end + 1]),
            label=label,
            start=start,
            end=first + node.end,
            relations=tuple(
                (relation, names[first + target]) for relation, target in node.relations
            ),
        )
        for start, first, node, label in placed
    }
