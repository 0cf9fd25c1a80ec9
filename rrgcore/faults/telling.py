"""Out of memory, told: where, how much, and what to change."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rrgcore.faults.changes import (
    Change,
    for_building,
    for_generation,
    for_validation,
    for_writing,
    listed,
)
from rrgcore.faults.shortage import OutOfMemory, amounts, is_out_of_memory
from rrgcore.folder import RunFolder
from rrgcore.plan import Plan


def out_of_memory(
    error: BaseException, where: str, changes: Sequence[Change], folder: RunFolder | None = None
) -> OutOfMemory:
    """Return the error for the user; `folder` is of the run that stops by it."""
    said = amounts(error)
    head = f"out of memory: {where}{f' ({said})' if said else ''}."
    if not changes:
        nothing = (
            "Nothing in the recipe is left to lower but the sizes of data and model themselves: "
            "data.image_size, data.max_report_tokens, fewer layers; or take a machine with more"
        )
        return OutOfMemory(f"{head}\n{nothing}")
    text = f"{head} What takes less, to type behind the command:\n{listed(changes)}"
    if folder is not None and folder.trained:
        text += (
            f"\n{folder.path} keeps its checkpoints, and goes on with another "
            "evaluation.batch_size. With other options it is another run, which wants another "
            "folder: --out"
        )
    return OutOfMemory(text)


@contextmanager
def preparing(plan: Plan, where: str) -> Iterator[None]:
    """Tell of memory that runs out beside training and writing."""
    with _telling(where, lambda: for_building(plan)):
        yield


@contextmanager
def validating(plan: Plan, where: str, folder: RunFolder) -> Iterator[None]:
    """Tell of memory that runs out while a run writes and scores reports between its epochs."""
    with _telling(_place(plan, where), lambda: for_validation(plan), folder):
        yield


@contextmanager
def testing(plan: Plan, folder: RunFolder) -> Iterator[None]:
    """Tell of memory that runs out when everything is trained."""
    try:
        with _telling(_place(plan, "testing"), lambda: for_generation(plan), folder):
            yield
    except OutOfMemory as error:
        instead = [
            replace(change, overrides=(f"rrg evaluate {folder.path}", *change.overrides))
            for change in for_writing(plan)
        ]
        if instead:
            text = f"{error}\nIt is trained; to test it as it is, type instead:\n{listed(instead)}"
            raise OutOfMemory(text) from error.__cause__
        raise


@contextmanager
def writing(plan: Plan) -> Iterator[None]:
    """Tell of memory that runs out in a command that writes reports with a run that there is."""
    with _telling(_place(plan, "writing"), lambda: for_writing(plan)):
        yield


@contextmanager
def _telling(
    where: str, changes: Callable[[], Sequence[Change]], folder: RunFolder | None = None
) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemory) or not is_out_of_memory(error):
            raise
        raise out_of_memory(error, where, changes(), folder) from error


def _place(plan: Plan, doing: str) -> str:
    return f"{doing}, {plan.evaluation.batch_size or plan.data.batch_size} reports at a time"
