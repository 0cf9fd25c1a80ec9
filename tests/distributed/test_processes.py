"""What one process does for all: its outcome, and its failure, are everybody's; and rows that the
processes cannot send each other.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch.testing._internal.distributed.fake_pg import FakeStore

from rrgcore import processes
from rrgcore.errors import DataError, Problem, RecipeError, RunError, UserError, WriteError
from rrgcore.faults.nonfinite import Fault, NonFiniteLoss
from rrgcore.folder import RunFolder
from rrgcore.processes import gather_padded, gather_rows, on_main, rows_before
from rrgcore.resume import check_same_data

PROBLEM = Problem("model.decoder", "there is none", line=3)
FAULT = Fault("nan", "align", 0, 1, (), None, None)


class Refused(Exception):
    """Made of something else than its text, as many a client's."""

    def __init__(self, *, status: int) -> None:
        super().__init__(f"status {status}")


class Unsendable(Exception):
    """Holds what no other process can be given."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.made_by = lambda: None


class OfTwo(Accelerator):
    """One of two processes that nobody has connected."""

    num_processes = 2

    def __init__(self, *, main: bool) -> None:
        self.main = main

    @property
    def is_main_process(self) -> bool:
        return self.main


def both(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]) -> tuple[Any, Any]:
    """Do something as the main process and then as another one; return what each came to."""
    wire: list[Any] = []

    def broadcast(values: list[Any]) -> None:
        if wire:
            values[:] = pickle.loads(wire[0])
        else:
            wire.append(pickle.dumps(values))

    monkeypatch.setattr(processes, "broadcast", broadcast)
    found: list[Any] = []
    for main in (True, False):
        try:
            found.append(on_main(OfTwo(main=main), make if main else pytest.fail))
        except Exception as error:
            found.append(error)
    return found[0], found[1]


def test_the_outcome_is_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    assert both(monkeypatch, lambda: [1, "a"]) == ([1, "a"], [1, "a"])


@pytest.mark.parametrize(
    "error",
    [
        RecipeError("a.yaml", [PROBLEM]),
        NonFiniteLoss("the loss is nan", FAULT),
        WriteError("the disk is full", remedy="Free some", then="go on"),
        DataError("no such study", problems=["one", "two"]),
        KeyError("a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_is_everybodys_with_its_class_and_its_words(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    main, other = both(monkeypatch, fail)
    assert main is error
    assert (type(other), str(other)) == (type(error), str(error))
    assert getattr(other, "problems", ()) == getattr(error, "problems", ())
    assert main.of_all_processes
    assert other.of_all_processes


def test_what_is_wrong_with_a_loss_goes_along_with_it() -> None:
    found = pickle.loads(pickle.dumps(NonFiniteLoss("the loss is nan", FAULT)))
    assert found.fault == FAULT


@pytest.mark.parametrize("error", [Refused(status=403), Unsendable("status 403")])
def test_a_strangers_failure_that_cannot_be_sent_is_told_in_words(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    main, other = both(monkeypatch, fail)
    assert main is error
    assert type(other) is RuntimeError
    assert str(other) == f"{type(error).__name__}: status 403"


def test_a_failure_with_something_that_cannot_be_sent_keeps_its_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise DataError("the index is damaged", rest=lambda: None)

    _, other = both(monkeypatch, fail)
    assert (type(other), str(other)) == (DataError, "the index is damaged")


def test_an_outcome_that_cannot_be_sent_fails_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who met that while sending would leave the others waiting."""
    main, other = both(monkeypatch, lambda: lambda: None)
    assert isinstance(main, Exception)
    assert str(main) == str(other)


def test_within_what_is_done_for_all_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert both(monkeypatch, lambda: on_main(OfTwo(main=True), lambda: 3)) == (3, 3)


# ---- rows -------------------------------------------------------------------------------------


@pytest.fixture
def group() -> Iterator[Callable[[str], None]]:
    """Make this process the first of two that talk by something that is not there."""

    def make(backend: str) -> None:
        dist.init_process_group(backend, store=FakeStore(), rank=0, world_size=2)

    yield make
    dist.destroy_process_group()


@pytest.mark.parametrize("gather", [gather_rows, rows_before, lambda rows: gather_padded(rows, 0)])
def test_rows_that_are_not_where_the_processes_meet_are_refused(
    gather: Callable[[torch.Tensor], Any], group: Callable[[str], None]
) -> None:
    """NCCL has GPUs talk alone; with gloo, where tests run, a processor may as well."""
    group("cuda:fake")
    with pytest.raises(AssertionError, match=r"rows on cpu cannot be gathered: .* talk over cuda"):
        gather(torch.zeros(3, 2))


def test_rows_that_are_there_are_gathered(group: Callable[[str], None]) -> None:
    group("cuda:fake,cpu:fake")
    assert rows_before(torch.zeros(3, 2)) == 0


# ---- going on ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (2, 1, "begun with 2 processes and cannot go on with 1 process: .*num_processes 2"),
        (1, 4, "begun with 1 process and cannot go on with 4 processes: .*without `accelerate"),
    ],
)
def test_a_run_goes_on_with_as_many_processes_as_it_was_begun_with(
    before: int, now: int, words: str, tmp_path: Path
) -> None:
    facts = {"processes": before, "data": {}, "studies": {}}
    (tmp_path / "run.json").write_text(json.dumps({"state": "stopped", **facts}))
    folder = RunFolder(tmp_path)

    check_same_data(folder, facts)
    with pytest.raises(RunError, match=words):
        check_same_data(folder, {**facts, "processes": now})


def test_a_run_that_does_not_say_how_many_goes_on(tmp_path: Path) -> None:
    facts = {"data": {}, "studies": {}}
    (tmp_path / "run.json").write_text(json.dumps({"state": "stopped", **facts}))
    check_same_data(RunFolder(tmp_path), {**facts, "processes": 2})


def test_a_run_records_how_many_processes_it_has(finished: Any) -> None:
    assert finished.folder.record["processes"] == 1


def test_user_errors_are_copied_whole() -> None:
    assert issubclass(RecipeError, UserError)
    found = pickle.loads(pickle.dumps(RecipeError("a.yaml", [PROBLEM])))
    assert (found.source, found.problems) == ("a.yaml", (PROBLEM,))
