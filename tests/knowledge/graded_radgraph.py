"""RadGraph by rules against the exact graphs of phantoms."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rrg_knowledge.radgraph_rules import RadGraphRules
from rrg_phantom.dataset import PhantomDataset
from rrgcore.annotations import RadGraph

RELATIONS = ("located_at", "modify", "suggestive_of")


@dataclass
class Score:
    """How many are right, missed and made up."""

    right: int = 0
    missed: int = 0
    extra: int = 0

    def count(self, truth: set[Any], found: set[Any]) -> None:
        self.right += len(truth & found)
        self.missed += len(truth - found)
        self.extra += len(found - truth)

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.extra)

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.right / (2 * self.right + self.missed + self.extra)


def entities(graph: RadGraph) -> set[Any]:
    """Where each entity is, and its label."""
    return {(e.start, e.end, e.label) for e in graph.entities.values()}


def relations(graph: RadGraph, wanted: str) -> set[Any]:
    """Both ends of each relation of a sort, by their words."""
    ends = {key: (e.start, e.end) for key, e in graph.entities.items()}
    return {
        (ends[key], ends[target])
        for key, entity in graph.entities.items()
        for relation, target in entity.relations
        if relation == wanted
    }


def grade(pairs: Iterable[tuple[RadGraph, RadGraph]]) -> dict[str, Score]:
    """Score graphs against true ones."""
    scores = {name: Score() for name in ("entities", *RELATIONS)}
    for truth, found in pairs:
        assert truth.words == found.words, "spans of other words cannot be compared"
        scores["entities"].count(entities(truth), entities(found))
        for name in RELATIONS:
            scores[name].count(relations(truth, name), relations(found, name))
    return scores


def grade_phantoms(count: int, *, seed: int) -> dict[str, Score]:
    """Score the rules on the reports of test phantoms."""
    data = PhantomDataset(image_size=32, train=0, val=0, test=count, seed=seed)
    rules = RadGraphRules()
    return grade(
        (data.annotation(study, RadGraph), rules.read(study.report or ""))
        for study in data.studies("test")
    )
