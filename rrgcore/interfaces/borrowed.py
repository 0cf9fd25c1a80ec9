"""A module that belongs to another one."""

from typing import Any, Generic, TypeVar, final

M = TypeVar("M")


@final
class Borrowed(Generic[M]):
    """A module that is used but not owned.

    It stays out of parameters(), state_dict(), .to() and deepcopy, which follow owned modules.
    """

    __slots__ = ("module",)

    def __init__(self, module: M) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> "Borrowed[M]":
        return Borrowed(self.module)
