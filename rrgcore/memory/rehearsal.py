"""Torch's operations without values: what they would allocate is counted, nothing is computed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdRef

BLOCK = 512
"""What CUDA's allocator rounds up to, in bytes."""

MANY = 1 << 16
"""Whole numbers and truth values, beyond which those that nobody knows take no memory either."""

_INDEXING = frozenset(
    ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
)


@final
class Rehearsal(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own is not typed
    """Lets a model run as if it had values, and counts the bytes that are alive.

    Numbers with a point are torch's fake tensors: a shape, a type, and nothing else. Whole numbers
    and truth values are real where they follow from real ones: masks decide how many rows a step
    has, and there are few of them. What follows from a number that is not there is 0, or true, or
    1.0 where Python asks for it: a search that asks whether to go on does.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self.recent = 0
        """Most since whoever watches has set it back."""
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._sizes: dict[Any, int] = {}

    def empty_like(self, tensor: Tensor) -> Tensor:
        """Return a tensor as large: fake, or zeros where it holds no numbers with a point."""
        if not _is_fraction(tensor):
            return self._counted(torch.zeros(tensor.shape, dtype=tensor.dtype))
        with self._fake:
            return self._counted(torch.empty(tensor.shape, dtype=tensor.dtype))

    def fill(self, module: nn.Module) -> None:
        """Give a module from the meta device tensors of the rehearsal, shared where its own are."""
        made: dict[int, Tensor] = {}
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    if id(parameter) not in made:
                        empty = self.empty_like(parameter)
                        made[id(parameter)] = nn.Parameter(empty, parameter.requires_grad)
                    part._parameters[name] = made[id(parameter)]  # type: ignore[assignment]
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    if id(buffer) not in made:
                        made[id(buffer)] = self.empty_like(buffer)
                    part._buffers[name] = made[id(buffer)]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count the most bytes alive at once in here, those that were before included."""
        self.peak = self.live
        with self:
            yield

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation on what is known, and count what it returns."""
        found = self._run(func, args, kwargs or {})
        return _mapped(found, self._counted)

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = [*_tensors(args), *_tensors(kwargs)]
        if any(isinstance(tensor, FakeTensor) or tensor.is_meta for tensor in given):
            return self._without_values(func, args, kwargs)
        if given:
            return _mapped(func(*args, **kwargs), self._emptied)
        with self._fake:
            made = func(*args, **kwargs)
        whole = isinstance(made, Tensor) and not _is_fraction(made)
        return func(*args, **kwargs) if whole else made

    def _without_values(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = func._schema.name
        if name == "aten::_local_scalar_dense":
            return 1.0
        if name == "aten::equal":
            return True
        if name == "aten::masked_select":
            func, name, args = torch.ops.aten.index.Tensor, "aten::index", (args[0], [args[1]])
        if name in _INDEXING:
            args = (args[0], _positions(args[1]), *args[2:])
        written = _first_written(func, args)
        if written is not None and not _is_fraction(written):
            return written  # a whole number that fractions decide stays what it was
        args, kwargs = _mapped(args, self._faked), _mapped(kwargs, self._faked)
        with self._fake:
            found = func(*args, **kwargs)
        if written is not None and isinstance(found, Tensor):
            return written
        return _mapped(found, _known)

    def _faked(self, tensor: Tensor) -> Tensor:
        if isinstance(tensor, FakeTensor):
            return tensor
        if tensor.is_meta:
            with self._fake:
                return torch.empty(tensor.shape, dtype=tensor.dtype)
        return self._fake.from_tensor(tensor)

    def _emptied(self, tensor: Tensor) -> Tensor:
        return self._fake.from_tensor(tensor) if _is_fraction(tensor) else tensor

    def _counted(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        key = WeakIdRef(storage, self._freed)
        if key not in self._sizes:
            size = -(-storage.nbytes() // BLOCK) * BLOCK
            self._sizes[key] = size
            self.live += size
            self.peak = max(self.peak, self.live)
            self.recent = max(self.recent, self.live)
        return tensor

    def _freed(self, key: Any) -> None:
        self.live -= self._sizes.pop(key)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change every tensor of what an operation takes or gives; torch's own way takes longer than
    all the rest.
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        return type(value)([_mapped(item, change) for item in value])
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _is_fraction(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _known(tensor: Tensor) -> Tensor:
    """Return zeros in place of whole numbers that nobody knows, and truth; not for so many as a
    mask of dropout has, which nobody asks.
    """
    if _is_fraction(tensor) or tensor.numel() > MANY:
        return tensor
    return torch.full(tensor.shape, tensor.dtype == torch.bool, dtype=tensor.dtype)


def _positions(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Say by number what masks choose: fake tensors cannot be asked how many that are."""
    found: list[Tensor | None] = []
    for index in indices:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            found.append(index)
        else:
            found += index.nonzero(as_tuple=True)
    return found


def _first_written(func: Any, args: tuple[Any, ...]) -> Tensor | None:
    """Return the tensor that an operation changes in place, if it changes one."""
    for argument, value in zip(func._schema.arguments, args, strict=False):
        alias = argument.alias_info
        if alias is not None and alias.is_write and isinstance(value, Tensor):
            return value
    return None
