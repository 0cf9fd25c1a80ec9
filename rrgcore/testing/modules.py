"""What every module must do: learn, repeat itself, and come back from its state."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from rrgcore.checkpoint import not_saved
from rrgcore.interfaces import CrossModal, Pretrained
from rrgcore.testing.subject import Subject

ATOL, RTOL = 1e-4, 1e-3

Run = Callable[[Any], Any]
"""Uses a component, and returns tensors in whatever container."""


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Iterate over the tensors in dataclasses, mappings and sequences."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_of(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_of(item)


def alike(one: Any, other: Any) -> bool:
    """Whether two results hold the same numbers, up to rounding."""
    ones, others = list(tensors_of(one)), list(tensors_of(other))
    return len(ones) == len(others) and all(
        a.shape == b.shape
        and (
            torch.allclose(a, b, atol=ATOL, rtol=RTOL, equal_nan=True)
            if a.is_floating_point()
            else torch.equal(a, b)
        )
        for a, b in zip(ones, others, strict=True)
    )


def shape(tensor: Tensor) -> str:
    """Show a shape as annotations write it."""
    return "[" + " ".join(map(str, tensor.shape)) + "]"


def check_tensor(s: Subject, tensor: Any, wanted: Sequence[int], what: str) -> None:
    """Refuse a tensor that is not finite, or not of a shape."""
    s.expect(isinstance(tensor, Tensor), f"{what} is a {type(tensor).__name__}; expected a tensor")
    expected = "[" + " ".join(map(str, wanted)) + "]"
    s.expect(
        tuple(tensor.shape) == tuple(wanted), f"{what} is {shape(tensor)}; expected {expected}"
    )
    s.expect(bool(tensor.isfinite().all()), f"{what} is not finite: it holds nan or inf")


def check_mask(s: Subject, mask: Any, wanted: Sequence[int], what: str) -> None:
    """Refuse a mask of the wrong type or shape, or with a row of which nothing is real."""
    check_tensor(s, mask, wanted, what)
    s.expect(mask.dtype is torch.bool, f"{what} is of {mask.dtype}; expected bool")
    s.expect(bool(mask.any(-1).all()), f"{what} has a row in which no token is real")


def check_unit_length(s: Subject, rows: Tensor, what: str) -> None:
    """Refuse rows that are not of length 1."""
    length = rows.detach().norm(dim=-1)
    s.expect(
        bool(torch.allclose(length, torch.ones_like(length), atol=1e-3)),
        f"{what} has length {float(length.flatten()[0]):.3g}; expected unit length",
    )


@final
class Gradients:
    """Which trainable parameters learn something from some uses of a module.

    Those of `borrowed` modules may learn elsewhere.
    """

    def __init__(
        self, s: Subject, module: nn.Module, *, borrowed: Sequence[nn.Module] = ()
    ) -> None:
        self.s = s
        others = {id(p) for other in borrowed for p in other.parameters()}
        self.wanted = {
            name: p
            for name, p in module.named_parameters()
            if p.requires_grad and id(p) not in others
        }
        self.reached: set[str] = set()

    def follow(self, what: str, result: Any, *, inputs: Sequence[Tensor] = ()) -> None:
        """Send a gradient back through a result; refuses one that is cut, infinite, or all zero."""
        outputs = [t for t in tensors_of(result) if t.is_floating_point() and t.requires_grad]
        self.s.expect(
            bool(outputs) or not (self.wanted or inputs),
            f"the result of {what} carries no gradient: is it computed under no_grad, or detached?",
        )
        if not outputs:
            return
        torch.autograd.backward([(o * torch.randn_like(o)).sum() for o in outputs])
        learning = [p for p in self.wanted.values() if p.grad is not None]
        for name, p in self.wanted.items():
            if p.grad is None:
                continue
            self.reached.add(name)
            self.s.expect(
                bool(p.grad.isfinite().all()), f"{what} gives {name} a gradient of nan or inf"
            )
        self.s.expect(
            not learning or any(bool(p.grad.any()) for p in learning if p.grad is not None),
            f"{what} gives every parameter a gradient of zero: nothing would be learned",
        )
        self.s.expect(
            not inputs or any(t.grad is not None and bool(t.grad.any()) for t in inputs),
            f"{what} sends no gradient back to its input: what comes before would not learn",
        )
        for p in self.wanted.values():
            p.grad = None

    def check_all_reached(self, uses: str) -> None:
        """Refuse parameters that nothing which was tried uses."""
        unused = sorted(set(self.wanted) - self.reached)
        more = f" and {len(unused) - 5} more" if len(unused) > 5 else ""
        self.s.expect(
            not unused,
            f"{uses} leave these parameters without a gradient: {', '.join(unused[:5])}{more}. "
            "Remove them, make them buffers, or set requires_grad to False",
        )


def check_repeats(s: Subject, component: Any, run: Run, what: str) -> None:
    """Refuse a module that answers differently when asked again in eval."""
    component.eval()
    with torch.no_grad(), s.trying(what):
        first, second = run(component), run(component)
    s.expect(
        alike(first, second),
        f"{what} gives another result the second time, in eval: "
        "dropout that is always on, or state that a call changes?",
    )


def check_state(s: Subject, component: nn.Module, other: nn.Module, run: Run, what: str) -> None:
    """Refuse a module of which another one, built from another seed, does not become the same."""
    for name in not_saved(component):
        s.refuse(
            f"{name or s.cls.__name__} defines get_extra_state, and a checkpoint holds tensors "
            "only: make it a buffer (register_buffer)"
        )
    with s.trying("load_state_dict of its own state_dict"):
        other.load_state_dict(component.state_dict())
    component.eval()
    other.eval()
    with torch.no_grad(), s.trying(what):
        results = run(component), run(other)
    s.expect(
        alike(*results),
        f"{what} gives another result after a round trip through state_dict: what was drawn or "
        "learned must be parameters or buffers, else a checkpoint loses it",
    )


def check_copies(s: Subject, component: nn.Module, run: Run, what: str) -> None:
    """Refuse a module of which no momentum twin can be made."""
    with s.trying("copy.deepcopy"):
        twin = deepcopy(component)
    component.eval()
    twin.eval()
    with torch.no_grad(), s.trying(f"{what} of a copy"):
        results = run(component), run(twin)
    s.expect(alike(*results), f"{what} of a deepcopy gives another result")


def check_declared_modules(s: Subject, component: nn.Module) -> None:
    """Refuse cross-modal modules that are not its own, and pretraining that names no weights."""
    if isinstance(component, CrossModal):
        own = set(map(id, component.modules()))
        s.expect(
            all(id(module) in own for module in component.cross_modal()),
            "cross_modal() returns a module that is not its own",
        )
    if isinstance(component, Pretrained):
        s.expect(
            hasattr(component, "weights"),
            "is Pretrained but sets no `weights` in its constructor: a name, or None",
        )


def check_builds_on_meta(s: Subject) -> None:
    """Refuse a constructor that needs values: `rrg check` builds without allocating."""
    with torch.device("meta"), s.trying("building it on the meta device, as `rrg check` does,"):
        s.build()
