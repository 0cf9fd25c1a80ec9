"""The contract of an objective, among fakes of everything it may require."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rrgcore.check.model import SLOTS
from rrgcore.features import Features
from rrgcore.interfaces import (
    AlignmentObjective,
    ChecksTrainingSet,
    Embeds,
    Lacks,
    Matches,
    Part,
    Prepares,
    Reconstructs,
    check_capability,
)
from rrgcore.testing.modules import (
    Gradients,
    check_builds_on_meta,
    check_repeats,
    check_state,
    check_tensor,
    check_unit_length,
    shape,
)
from rrgcore.testing.prepares import check_prepares
from rrgcore.testing.subject import Subject
from rrgcore.types import Batch, ObjectiveOutput

SLOT = "objectives.checked"


def check_objective(s: Subject) -> None:
    """Check what it prepares, its output, who learns from it, a second step, its capabilities."""
    _check_requires(s)
    check_builds_on_meta(s)
    objective = _build(s)
    prepares = {}
    if isinstance(objective, Prepares):
        s = check_prepares(s, objective)
        prepares = {SLOT: objective}
    batch = s.batch(prepares)
    prepared = batch.prepared.get(SLOT)

    def run(objective: Any) -> Any:
        output = objective(Features(s.parts, batch), prepared)
        return [output.loss, output.count]

    s.parts.train()
    objective.train()
    for step in ("forward", "forward after an optimizer step"):
        with s.trying(step):
            output = objective(Features(s.parts, batch), prepared)
        _check_output(s, output, step)
        _check_learning(s, objective, output, step)
        with s.trying("count"):
            expected = objective.count(batch, prepared)
        s.expect(
            expected == int(output.count),
            f"count says {expected} before the {step}, whose output says {int(output.count)}: "
            "return there what the loss is a mean over",
        )
        with s.trying("after_step"):
            objective.after_step()
    s.parts.eval()
    check_repeats(s, objective, run, "forward")
    check_state(s, objective, _build(s, seed=1), run, "forward")
    _check_capabilities(s, objective, batch, prepared)


def _build(s: Subject, *, seed: int = 0) -> AlignmentObjective:
    objective: AlignmentObjective = s.build(seed=seed)
    with s.trying("bind"):
        objective.bind(s.parts)
    return objective


def _check_requires(s: Subject) -> None:
    requires: Mapping[str, type] = s.cls.requires  # type: ignore[attr-defined]
    for slot, capability in requires.items():
        s.expect(
            slot in SLOTS,
            f"`requires` names the slot '{slot}'; a model has {', '.join(SLOTS)}",
        )
        s.expect(
            isinstance(capability, type),
            f"`requires` wants the {slot} to be {capability!r}; expected a class",
        )
        try:
            check_capability(getattr(s.parts, slot), capability)
        except Lacks:
            s.refuse(
                f"requires the {slot} to be {capability.__name__}, which the fake one is not: give "
                f"parts=make_parts({slot}=…)"
            )


def _check_output(s: Subject, output: Any, what: str) -> None:
    s.expect(
        isinstance(output, ObjectiveOutput),
        f"{what} returns a {type(output).__name__}; expected an ObjectiveOutput",
    )
    check_tensor(s, output.loss, (), "the loss")
    check_tensor(s, output.count, (), "the count")
    s.expect(
        int(output.count) >= 1,
        f"the count is {int(output.count)}; expected how many items the loss is a mean over",
    )
    for name, value in output.logs.items():
        check_tensor(s, value, (), f"the log '{name}'")
        s.expect(
            not value.requires_grad,
            f"the log '{name}' carries a gradient: logs are shown, never optimized; detach it",
        )


def _check_learning(
    s: Subject, objective: AlignmentObjective, output: ObjectiveOutput, what: str
) -> None:
    s.parts.zero_grad()
    # a nested part may be shared: another objective may be the one that teaches it
    gradients = Gradients(s, objective, borrowed=s.nested(objective, Part))
    gradients.follow(what, output.loss)
    gradients.check_all_reached(what)
    taught = [p.grad for p in s.parts.parameters() if p.grad is not None]
    s.expect(
        any(bool(grad.any()) for grad in taught),
        f"{what} teaches the model nothing: no parameter of encoder, adapter, decoder gets a "
        "gradient from its loss",
    )
    s.expect(
        all(bool(grad.isfinite().all()) for grad in taught),
        f"{what} gives the model gradients of nan or inf",
    )
    s.parts.zero_grad()


@torch.no_grad()
def _check_capabilities(
    s: Subject, objective: AlignmentObjective, batch: Batch, prepared: Any
) -> None:
    features, rows = Features(s.parts, batch), len(batch)
    objective.eval()
    if isinstance(objective, Reconstructs):
        with s.trying("reconstruct"):
            found = objective.reconstruct(features, prepared)
        s.expect("error" in found, "reconstruct returns no 'error': each study's mean error")
        check_tensor(s, found["error"], (rows,), "reconstruct's error")
        _check_words(s, found)
        if "key_error" in found:
            s.expect(
                tuple(found["key_error"].shape) == (rows,),
                f"reconstruct's key_error is {shape(found['key_error'])}; expected [{rows}], NaN "
                "for a study without hidden key patches",
            )
        if "image" in found:
            check_tensor(s, found["image"], tuple(batch.images.shape), "reconstruct's image")
    if isinstance(objective, Matches):
        with s.trying("match"):
            odds = objective.match(batch.text, features.image)
        check_tensor(s, odds, (rows,), "match's result")
    if isinstance(objective, Embeds):
        with s.trying("embedding images and texts"):
            image, text = objective.embed_image(features.image), objective.embed_text(features.text)
        check_tensor(s, image, (rows, image.shape[-1]), "embed_image's result")
        check_tensor(s, text, (rows, image.shape[-1]), "embed_text's result")
        check_unit_length(s, image, "embed_image's result")
        check_unit_length(s, text, "embed_text's result")
    if isinstance(objective, ChecksTrainingSet):
        answer = objective.check_training_size(1_000_000)
        s.expect(
            answer is None or isinstance(answer, str),
            f"check_training_size returns {answer!r}; expected None, or what is wrong",
        )


def _check_words(s: Subject, found: Mapping[str, Tensor]) -> None:
    words = [name for name in ("study", "expected", "guessed") if name in found]
    s.expect(
        len(words) in (0, 3) and len({len(found[name]) for name in words}) <= 1,
        "reconstruct names words: expected 'study', 'expected' and 'guessed', a row a hidden token",
    )
