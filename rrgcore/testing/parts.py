"""The contract of shared parts: trunks and joint spaces, and what any part must do."""

from typing import Any

import torch

from rrgcore.interfaces import JointSpace, Part, Trunk
from rrgcore.testing.modules import (
    Gradients,
    alike,
    check_builds_on_meta,
    check_copies,
    check_declared_modules,
    check_repeats,
    check_state,
    check_tensor,
    check_unit_length,
)
from rrgcore.testing.subject import Subject

ROWS, LENGTH, CONTEXT = 3, 5, 4


def check_part(s: Subject) -> None:
    """Check a trunk or a joint space; of another part, that it is built, saved and restored."""
    check_builds_on_meta(s)
    part: Part = s.build()
    check_declared_modules(s, part)
    if isinstance(part, Trunk):
        _check_trunk(s, part)
    elif isinstance(part, JointSpace):
        _check_space(s, part)
    else:
        check_state(s, part, s.build(seed=1), lambda part: part.state_dict(), "its state")


def _check_space(s: Subject, space: JointSpace) -> None:
    image = torch.randn(ROWS, s.wired("image_dim"))
    text = torch.randn(ROWS, s.wired("text_dim"))

    def run(space: Any) -> Any:
        return space.project_image(image), space.project_text(text)

    with s.trying("project_image and project_text"):
        projected = run(space.train())
    for rows, what in zip(projected, ("project_image", "project_text"), strict=True):
        check_tensor(s, rows, (ROWS, space.dim), f"{what}'s result")
        check_unit_length(s, rows, f"{what}'s result")
    gradients = Gradients(s, space)
    gradients.follow("project_image and project_text", projected)
    gradients.check_all_reached("project_image and project_text")
    check_repeats(s, space, run, "a projection")
    check_state(s, space, s.build(seed=1), run, "a projection")
    check_copies(s, space, run, "a projection")


def _check_trunk(s: Subject, trunk: Trunk) -> None:
    s.expect(trunk.norm in ("pre", "post"), f"`norm` is {trunk.norm!r}; expected 'pre' or 'post'")
    s.expect(isinstance(trunk.heads, int), f"`heads` is {trunk.heads!r}; expected an int")
    x = torch.randn(ROWS, LENGTH, trunk.dim)
    mask = torch.arange(LENGTH).expand(ROWS, -1) < torch.tensor([[LENGTH], [3], [4]])
    context = torch.randn(ROWS, CONTEXT, trunk.context_dim) if trunk.context_dim else None
    context_mask = None
    if context is not None:
        context_mask = torch.arange(CONTEXT).expand(ROWS, -1) < torch.tensor([[2], [CONTEXT], [3]])

    def run(trunk: Any) -> Any:
        return trunk(x, mask=mask, context=context, context_mask=context_mask)

    gradients = Gradients(s, trunk.train())
    for what, options in (
        ("forward", {}),
        ("forward with a context", {"context": context, "context_mask": context_mask}),
    ):
        with s.trying(what):
            hidden = trunk(x, mask=mask, **options)
        check_tensor(s, hidden, (ROWS, LENGTH, trunk.dim), f"the result of {what}")
        gradients.follow(what, hidden)
    gradients.check_all_reached("forward and forward with a context")
    check_repeats(s, trunk, run, "forward")
    check_state(s, trunk, s.build(seed=1), run, "forward")
    check_copies(s, trunk, run, "forward")
    with torch.no_grad():
        _check_masks(s, trunk, x, mask, context, context_mask)
        _check_decoding(s, trunk, x, context, context_mask)
        if context is not None:
            _check_attention(s, trunk, x, context, context_mask)


def _check_masks(s: Subject, trunk: Trunk, x: Any, mask: Any, context: Any, seen: Any) -> None:
    hidden = trunk(x, mask=mask, context=context, context_mask=seen)[mask]
    other = torch.where(mask[..., None], x, 7.0)
    s.expect(
        alike(hidden, trunk(other, mask=mask, context=context, context_mask=seen)[mask]),
        "forward reads tokens that mask says are padding",
    )
    if context is None:
        return
    other = torch.where(seen[..., None], context, 7.0)
    s.expect(
        alike(hidden, trunk(x, mask=mask, context=other, context_mask=seen)[mask]),
        "forward reads a context that context_mask says is absent",
    )
    s.expect(
        not alike(hidden, trunk(x, mask=mask, context=-context, context_mask=seen)[mask]),
        "forward ignores its context, though `context_dim` says that it reads one",
    )


def _check_decoding(s: Subject, trunk: Trunk, x: Any, context: Any, seen: Any) -> None:
    whole = trunk(x, context=context, context_mask=seen, causal=True)
    s.expect(
        alike(whole[:, :-1], trunk(x[:, :-1], context=context, context_mask=seen, causal=True)),
        "a causal forward looks ahead: without the last token the others come out differently",
    )
    with s.trying("begin and extend"):
        cache = trunk.begin(context, seen)
        steps = [trunk.extend(part, cache) for part in (x[:, :1], x[:, 1:2], x[:, 2:])]
    s.expect(
        alike(whole, torch.cat(steps, dim=1)),
        "extend, token by token, gives another result than the causal forward of the whole",
    )
    s.expect(
        cache.length == LENGTH, f"the cache says it holds {cache.length} tokens, after {LENGTH}"
    )
    rows = torch.tensor([2, 0])
    with s.trying("select"):
        cache = trunk.begin(context, seen)
        trunk.extend(x[:, :3], cache)
        cache.select(rows)
        rest = trunk.extend(x[rows, 3:], cache)
    s.expect(alike(whole[rows, 3:], rest), "select keeps other rows than those it is given")


def _check_attention(s: Subject, trunk: Trunk, x: Any, context: Any, seen: Any) -> None:
    with s.trying("attention"):
        weights = trunk.attention(x, context=context, context_mask=seen)
    expected = (ROWS, weights.shape[1], trunk.heads, LENGTH, CONTEXT)
    check_tensor(s, weights, expected, "attention's result")
    s.expect(
        alike(weights.sum(-1), torch.ones_like(weights.sum(-1))),
        "attention does not sum to 1 over what is attended to",
    )
    absent = weights.movedim(-1, 1)[~seen]
    s.expect(not bool(absent.any()), "attention looks at what context_mask says is absent")
