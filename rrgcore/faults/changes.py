"""What to change in a recipe, as overrides to type, with values that follow from its own.

Each is legal for the recipe it is made from: an option is named only where a component has it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, final, get_args

import torch

from rrgcore.plan import Block, Plan
from rrgcore.settings import StageSettings
from rrgcore.signatures import options_of

CHECKPOINTING = ("checkpoint", "checkpointing", "gradient_checkpointing")
"""What an option is called that computes activations twice rather than keep them."""


@final
@dataclass(frozen=True, slots=True)
class Change:
    """Overrides that belong together, and what they do."""

    overrides: tuple[str, ...]
    why: str


def listed(changes: Sequence[Change], *, indent: str = "  ") -> str:
    """Write changes as lines of which the first part is to be typed."""
    typed = [" ".join(change.overrides) for change in changes]
    width = min(max(map(len, typed), default=0), 44)
    return "\n".join(
        f"{indent}{text:<{width}}   {change.why}"
        for text, change in zip(typed, changes, strict=True)
    )


def for_divergence(plan: Plan, name: str, *, studies: int | None = None) -> list[Change]:
    """What keeps a stage's numbers finite, or finds out why they are not; where its batches were of
    one study, that they were comes first.
    """
    stage = plan.stages[name]
    alone = Change(
        ("data.batch_size=2",),
        "batches had one study: a deviation over it, or a contrast to others, is no number",
    )
    half = f"stages.{name}.optimizer.lr={stage.optimizer.lr / 2:g}"
    clip = 1.0 if stage.clip is None else stage.clip / 2
    why = "largest norm of the gradient"
    found = [
        Change((half,), "half the learning rate"),
        Change(
            (f"stages.{name}.clip={clip:g}",),
            f"{why}; it has none now" if stage.clip is None else f"{why}; now {stage.clip:g}",
        ),
    ]
    if stage.precision == "fp16":
        found.append(Change(in_bf16(plan), "float32's range, where float16 ends at 65504"))
    elif stage.precision == "bf16":
        typed = _in_every_stage(plan, "precision", lambda _: "fp32", lambda each: each.precision)
        found.append(Change(typed, "full precision"))
    return [alone, *found] if studies == 1 else found


# ---- memory ---------------------------------------------------------------------------------


def for_training(plan: Plan) -> list[Change]:
    """What takes less memory in a training step."""
    return [*_smaller_batches(plan), *_precision(plan), *_checkpointing(plan), *_smaller(plan)]


def for_validation(plan: Plan) -> list[Change]:
    """What takes less memory while reports are written between epochs."""
    beams = plan.evaluation.val_beams or plan.generation.beams
    return [
        *_fewer_reports(plan, "evaluation.batch_size="),
        *_narrower(beams, "evaluation.val_beams"),
        *_precision(plan),
        *_smaller(plan),
    ]


def for_generation(plan: Plan) -> list[Change]:
    """What takes less memory in the test at the end."""
    why = "without retrieval, masked words and patches"
    probes = [Change(("evaluation.probes=false",), why)] if plan.evaluation.probes else []
    return [
        *_fewer_reports(plan, "evaluation.batch_size="),
        *_narrower(plan.generation.beams, "generation.beams"),
        *probes,
        *_precision(plan),
        *_smaller(plan),
    ]


def for_writing(plan: Plan) -> list[Change]:
    """What takes less memory in `rrg evaluate` and `rrg predict`, whose recipe is settled."""
    return list(_fewer_reports(plan, "--batch-size "))


def for_building(plan: Plan) -> list[Change]:
    """What takes less memory before anything is trained."""
    found: list[Change] = []
    for root in plan.annotators.values():
        for block in root.walk():
            size = _value(block, "batch_size")
            if isinstance(size, int) and size > 1:
                why = f"{block.name} learns from so many studies at a time"
                found.append(Change((f"{block.address}.batch_size={size // 2}",), why))
    return [*found, *_smaller(plan)]


def _fewer_reports(plan: Plan, typed: str) -> Iterator[Change]:
    size = plan.evaluation.batch_size or plan.data.batch_size
    if size > 1:
        yield Change((f"{typed}{size // 2}",), "so many reports at a time: the same reports")


def _narrower(beams: int, address: str) -> Iterator[Change]:
    if beams > 1:
        yield Change((f"{address}={beams // 2}",), "a narrower search: other reports")


def _smaller_batches(plan: Plan) -> Iterator[Change]:
    """Fewer studies at a time, and as many in a step."""
    size = plan.data.batch_size
    if size == 1:
        return
    divisor = next(d for d in (*range(2, 8), size) if size % d == 0)
    if size // divisor == 1 and size > 3:  # one study has nothing to be compared with
        divisor = 2
    small = size // divisor
    exact = small * divisor == size
    why = f"{small} studies at a time, {'' if exact else 'nearly '}as many in a step"
    if len(plan.objectives) > 1:
        why += f"; an objective that compares studies then compares {small}"
    accumulate = _in_every_stage(
        plan, "accumulate", lambda stage: stage.accumulate * divisor, lambda stage: stage.accumulate
    )
    yield Change((f"data.batch_size={small}", *accumulate), why)


def _precision(plan: Plan) -> Iterator[Change]:
    """Half precision, in every stage, since a run has one."""
    if {stage.precision for stage in plan.stages.values()} == {"fp32"}:
        typed = in_bf16(plan)
        yield Change(typed, "activations in half the memory; weights stay float32")


def in_bf16(plan: Plan) -> tuple[str, ...]:
    """Set bf16 in every stage."""
    return _in_every_stage(plan, "precision", lambda stage: "bf16", lambda stage: stage.precision)


def _in_every_stage(
    plan: Plan,
    key: str,
    wanted: Callable[[StageSettings], Any],
    now: Callable[[StageSettings], Any],
) -> tuple[str, ...]:
    """Set a key in those stages that do not continue it from the stage before."""
    own = plan.recipe.values.get("stages") or {}
    found: list[str] = []
    continued: Any = None
    for number, (name, stage) in enumerate(plan.stages.items()):
        value = continued
        said = key in (own.get(name) or {})
        if number == 0 or said:
            value = now(stage)
        if value != wanted(stage):
            found.append(f"stages.{name}.{key}={wanted(stage)}")
            value = wanted(stage)
        continued = value
    return tuple(found)


def _checkpointing(plan: Plan) -> Iterator[Change]:
    for block in plan.blocks():
        for name in CHECKPOINTING:
            if _value(block, name) is False:
                yield Change(
                    (f"{block.address}.{name}=true",),
                    f"{block.name} keeps no activations inside its layers, and computes them twice",
                )


def _smaller(plan: Plan) -> Iterator[Change]:
    """Frozen weights held in fewer bits, where a component has options for that."""
    for block in plan.blocks():
        if _value(block, "frozen") is not True:
            continue
        dtype = _value(block, "dtype")
        half = "bfloat16" in _choices(block, "dtype")
        coarse = (f"{block.address}.dtype=bfloat16",) if half and dtype == "float32" else ()
        if coarse:
            yield Change(coarse, f"the frozen weights of {block.name} in half the memory")
        if (
            "8bit" in _choices(block, "quantize")
            and _value(block, "quantize") is None
            and _value(block, "weights")
            and torch.cuda.is_available()
            and find_spec("bitsandbytes") is not None
        ):
            typed = (*coarse, f"{block.address}.quantize=8bit")
            yield Change(typed, f"the frozen weights of {block.name} in a byte each")


def _value(block: Block, name: str) -> Any:
    """Return an option of a component, said or not; None where it has none of that name."""
    option = options_of(block.cls).get(name)
    return None if option is None else block.options.get(name, option.default)


def _choices(block: Block, name: str) -> tuple[Any, ...]:
    """List the values that an option may have, where they can be listed."""
    option = options_of(block.cls).get(name)
    if option is None:
        return ()
    members = (option.annotation, *get_args(option.annotation))
    return tuple(value for member in members for value in get_args(member))
