"""Ctrl-C and SIGTERM: the step is finished and saved, and the exit status says which it was."""

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rrgcore import load_recipe
from rrgcore.engine import Step
from rrgcore.interrupts import Interrupts, Stopped, exit_status
from rrgcore.plugins import Discovered
from rrgcore.watch import Watcher

from .comparing import differences

TINY = Path(__file__).parent.parent / "tiny.yaml"
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
Rrg = Callable[..., Any]


@pytest.fixture(autouse=True)
def _not_under_nohup() -> Iterator[None]:
    """Hear a closed terminal, though who runs the tests may have told them not to."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@SIGNALS
def test_the_first_signal_waits_until_it_is_safe_to_stop(number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(number)
        assert (interrupts.asked, interrupts.forced) == (True, False)
        with pytest.raises(Stopped) as stopped:
            interrupts.check()

    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
    assert exit_status(stopped.value) == expected[number]


@SIGNALS
def test_the_second_one_stops_at_once(number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped) as stopped:
            signal.raise_signal(number)

    assert interrupts.forced
    assert stopped.value.number == number


def test_a_signal_stops_at_once_where_nothing_is_to_be_saved() -> None:
    with Interrupts() as interrupts, pytest.raises(Stopped), interrupts.let_through():
        signal.raise_signal(signal.SIGINT)
    assert not interrupts.forced


def test_what_a_launcher_passes_on_is_no_second_signal() -> None:
    with Interrupts(echo=0.2) as interrupts:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert not interrupts.forced
        time.sleep(0.3)
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_another_process_heard_is_the_first_one_here() -> None:
    with Interrupts(echo=0.2) as interrupts:
        interrupts.share(0)
        assert not interrupts.asked
        interrupts.share(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # the launcher's, as that process has ended
        assert (interrupts.heard, interrupts.forced) == (signal.SIGTERM, False)


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts():
        pass
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_under_nohup_a_closed_terminal_is_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_whose_terminal_is_closed_saves_its_step(tmp_path: Path) -> None:
    """The process leads a session of its own, whose terminal goes while it trains and prints."""
    out = tmp_path / "run"
    words = ["run", str(TINY), "--out", str(out), "stages.align.epochs=200"]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "rrgcore", *words])
    metrics = out / "metrics.jsonl"
    until = time.monotonic() + 120
    while not (metrics.is_file() and metrics.stat().st_size) and time.monotonic() < until:
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 1 << 16)
    os.close(terminal)
    _, status = os.waitpid(process, 0)

    assert os.waitstatus_to_exitcode(status) == 129
    assert json.loads((out / "run.json").read_text())["state"] == "stopped"
    state = json.loads((out / "checkpoints/align/last/state.json").read_text())
    assert state["position"]["step"] == len(metrics.read_text().splitlines())


@SIGNALS
def test_any_command_that_is_stopped_ends_with_the_status_of_the_signal(
    number: signal.Signals, rrg: Rrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr("rrgcore.session.Session.show", stopped)
    answer = rrg("show", TINY)

    assert (answer.code, answer.err) == (128 + number, "stopped\n")


class Signals(Watcher):
    """Sends this process a signal at an optimizer step, once or twice; keeps what it is told."""

    def __init__(self, step: int, number: signal.Signals, *, times: int = 1) -> None:
        self.at = step
        self.number = number
        self.times = times
        self.notes: list[str] = []

    def step(self, step: Step) -> None:
        if step.position.step == self.at:
            for _ in range(self.times):
                signal.raise_signal(self.number)

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_that_is_stopped_saves_its_step_or_stops_at_once_and_ends_the_same(
    tmp_path: Path, plugins: Discovered
) -> None:
    """By SIGTERM at step two; then by Ctrl-C twice at step three, which is lost."""
    session = load_recipe(TINY, variants=["short"], plugins=plugins)
    whole, out = session.run(tmp_path / "whole").path, tmp_path / "run"
    state = out / "checkpoints" / "align" / "last" / "state.json"
    told = f"to go on: rrg run {out / 'recipe.yaml'} --out {out}"

    once = Signals(2, signal.SIGTERM)
    with pytest.raises(Stopped) as stopped:
        session.run(out, watcher=once)
    assert exit_status(stopped.value) == 143
    assert json.loads(state.read_text())["position"]["step"] == 2
    assert once.notes[-1] == f"stopped; {told}"

    twice = Signals(3, signal.SIGINT, times=2)
    with pytest.raises(Stopped) as stopped:
        session.run(out, watcher=twice)
    assert exit_status(stopped.value) == 130
    assert json.loads(state.read_text())["position"]["step"] == 2
    assert twice.notes[-1] == f"stopped at once, unsaved since the last checkpoint; {told}"

    session.run(out)
    assert differences(whole, out) == []


def test_a_run_is_saved_within_an_epoch_as_often_as_its_stage_says(
    tmp_path: Path, plugins: Discovered
) -> None:
    """It dies at the fifth step, and goes on from the fourth."""

    class Dies(Watcher):
        def step(self, step: Step) -> None:
            if step.position.step == 5:
                raise RuntimeError("power cut")

    overrides = ["stages.align.save_every=2", "stages.align.accumulate=1"]
    session = load_recipe(TINY, variants=["short"], overrides=overrides, plugins=plugins)
    with pytest.raises(RuntimeError, match="power cut"):
        session.run(tmp_path / "run", watcher=Dies())
    last = tmp_path / "run" / "checkpoints" / "align" / "last"

    position = json.loads((last / "state.json").read_text())["position"]
    assert position == {"epoch": 0, "batches": 4, "step": 4}
