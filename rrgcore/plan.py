"""A checked recipe: what is to be built, with every name resolved and every value typed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, final

from rrgcore.errors import Problem, RecipeError
from rrgcore.recipe import Recipe
from rrgcore.scoring.cautions import ORACLE
from rrgcore.settings import DataSettings, EvaluationSettings, Split, StageSettings
from rrgcore.types import Generation


@final
@dataclass(frozen=True, slots=True)
class Ref:
    """That very object from model.shared."""

    key: str


@final
@dataclass(frozen=True, slots=True)
class Block:
    """A component that will be built from its options."""

    kind: str
    name: str
    cls: type
    options: Mapping[str, Any]
    """Values, and nested Blocks and Refs."""
    address: str

    @property
    def requires(self) -> Mapping[str, type]:
        """What its class requires of the slots of a model: slot to capability."""
        requires: Mapping[str, type] = getattr(self.cls, "requires", {})
        return requires

    def walk(self) -> Iterator["Block"]:
        """Iterate over this block and those nested in it."""
        yield self
        for value in self.options.values():
            if isinstance(value, Block):
                yield from value.walk()

    def refs(self) -> Iterator[str]:
        """Iterate over the shared parts that this block or one nested in it refers to."""
        for value in self.options.values():
            if isinstance(value, Ref):
                yield value.key
            elif isinstance(value, Block):
                yield from value.refs()


def problem_at(recipe: Recipe, address: str, text: str) -> Problem:
    """Say that something is wrong at an address, with the file and line that say so."""
    origin = recipe.origin(address)
    return Problem(address, text, origin.line if origin else None, origin.file if origin else None)


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run needs to know before anything is built."""

    recipe: Recipe
    seed: int
    data: DataSettings
    dataset: Block
    annotators: Mapping[type, Block]
    shared: Mapping[str, Block]
    encoder: Block
    adapter: Block
    decoder: Block
    text_encoder: Block | None
    views: Literal["concat", "mean"]
    freeze: tuple[str, ...]
    objectives: Mapping[str, Block]
    weights: Mapping[str, float]
    stages: Mapping[str, StageSettings]
    generation: Generation
    evaluation: EvaluationSettings
    metrics: Mapping[str, Block]
    init: Mapping[str, str] = field(default_factory=dict)

    def problem(self, address: str, text: str) -> Problem:
        """Say that something is wrong at an address of the recipe."""
        return problem_at(self.recipe, address, text)

    def refusal(self, address: str, text: str) -> RecipeError:
        """Return the error for one thing that is wrong."""
        return RecipeError(self.recipe.source, [self.problem(address, text)])

    def blocks(self) -> Iterator[Block]:
        """Iterate over every component of the model, nested ones included."""
        roots = [*self.shared.values(), self.encoder, self.adapter, self.decoder]
        roots += [self.text_encoder] if self.text_encoder else []
        for root in (*roots, *self.objectives.values()):
            yield from root.walk()

    def components(self) -> Iterator[Block]:
        """Iterate over every component of the model, and of what annotates."""
        yield from self.blocks()
        for root in self.annotators.values():
            yield from root.walk()

    @property
    def cautions(self) -> list[str]:
        """Return what must be said beside every score of it."""
        found = [cast(Any, self.dataset.cls).caution]
        if self.data.oracle:
            found.append(ORACLE)
        blocks = self.components()
        if trusted := [block.address for block in blocks if block.options.get("trusted") is True]:
            found.append(
                f"Trusted: what {', '.join(trusted)} was learned from is not known; the recipe "
                "vouches that it saw no report that is predicted here."
            )
        return [caution for caution in found if caution]

    def stage_weights(self, stage: str) -> Mapping[str, float]:
        """Return the weights of the objectives that take part in a stage."""
        trains = self.stages[stage].trains
        return {name: weight for name, weight in self.weights.items() if trains(name)}

    def loaders(self) -> Iterator[tuple[Split, tuple[str, ...]]]:
        """Iterate over the loaders of a run: whose studies, and the objectives that prepare them.

        The adapter takes part in all of them.
        """
        for stage in self.stages:
            yield "train", tuple(self.stage_weights(stage))
        yield "val", ()
        yield "test", ()

    def without(self, slot: str, kind: type) -> str:
        """Say how to do without an annotation class that the component of a slot reads.

        Where a masking in it reads the class, another masking is the nearest way.
        """
        top = self.adapter if slot == "adapter" else self.objectives[slot.partition(".")[2]]
        reading = [block for block in top.walk() if kind in getattr(block.cls, "reads", ())]
        return "; and ".join(", or ".join(_ways_around(block)) for block in reading or [top])


def _ways_around(block: Block) -> Iterator[str]:
    """Say what to set to have another component, or none."""
    section, name, *inner = block.address.split(".")
    if block.kind == "part":
        yield f"{block.address}=off"  # where its argument may be None
    elif section != "objectives" or inner:
        yield f"{block.address}=… (rrg list {block.kind}s)"
    if section == "objectives":
        yield f"{section}.{name}=off"
