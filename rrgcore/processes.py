"""Work that one of several processes does for all."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

T = TypeVar("T")


def on_main(accelerator: Accelerator, make: Callable[[], T]) -> T:
    """Do something on the main process only, and give its result, or its failure, to all."""
    if accelerator.num_processes == 1:
        return make()
    made: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            made[0] = make()
        except Exception as error:
            made[1] = error
    broadcast_object_list(made)
    if made[1] is not None:
        raise made[1]
    return cast(T, made[0])
