"""Determinism, interruption, resumption: a run is what its recipe says, however it came about."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from rrgcore import load_recipe
from rrgcore.engine import Step
from rrgcore.errors import DataError, RecipeError
from rrgcore.faults.nonfinite import NonFiniteLoss
from rrgcore.folder import RunFolder
from rrgcore.job import make_accelerator
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.run import Run
from rrgcore.watch import Watcher

TINY = Path(__file__).parent.parent / "tiny.yaml"
CHECKPOINTS = ("align/best", "align/last", "generate/best", "generate/last", "best")


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("metrics.jsonl", "predictions.jsonl", "scores.json", "recipe.yaml"):
        assert (one / name).read_text() == (other / name).read_text(), name
    for checkpoint in CHECKPOINTS:
        first, second = (
            load_file(run / "checkpoints" / checkpoint / "model.safetensors")
            for run in (one, other)
        )
        assert first.keys() == second.keys()
        for key, tensor in first.items():
            assert torch.equal(tensor, second[key]), f"{checkpoint}: {key}"


class StopsAt(Watcher):
    """Interrupts a run at a moment that `when` recognises."""

    def __init__(self, when: Callable[[str, Any], bool]) -> None:
        self.when = when

    def step(self, step: Step) -> None:
        self._hear("step", step)

    def scored(self, title: str, scores: Mapping[str, float], *, best: bool) -> None:
        self._hear("scored", title)

    def stage(self, name: str, number: int, count: int, steps: int, done: int, epochs: int) -> None:
        self._hear("stage", name)

    def track(self, items: Iterable[Any], title: str, total: int) -> Iterator[Any]:
        for item in items:
            self._hear("track", title)
            yield item

    def _hear(self, what: str, told: Any) -> None:
        if self.when(what, told):
            raise KeyboardInterrupt


def step_is(number: int) -> Callable[[str, Any], bool]:
    return lambda what, step: what == "step" and step.position.step == number


MOMENTS = {
    "in the middle of an epoch": step_is(2),
    "after the last step of an epoch": step_is(3),
    "while validating": lambda what, told: (what, told) == ("track", "align, epoch 1: validating"),
    "after a validation": lambda what, told: (what, told) == ("scored", "align, epoch 1"),
    "after a stage's last step": step_is(6),
    "when the second stage begins": lambda what, told: (what, told) == ("stage", "generate"),
    "while testing": lambda what, told: what == "track" and "test" in told,
}


def test_two_runs_with_one_seed_are_the_same(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    load_recipe(TINY, plugins=plugins).run(tmp_path / "again")

    assert_same_run(finished.path, tmp_path / "again")


def test_another_seed_is_another_run(finished: Run, tmp_path: Path, plugins: Discovered) -> None:
    run = load_recipe(TINY, overrides=["seed=4"], variants=["short"], plugins=plugins).run(
        tmp_path / "other"
    )

    assert run.folder.metrics()[0]["loss"] != finished.folder.metrics()[0]["loss"]


USUAL = ("in the middle of an epoch", "while validating", "when the second stage begins")
"""The others take as long, and tests/faults/test_killed.py kills at more of them than these."""


@pytest.mark.parametrize(
    "moment", [m if m in USUAL else pytest.param(m, marks=pytest.mark.slow) for m in MOMENTS]
)
def test_a_run_that_was_stopped_and_resumed_is_the_same(
    moment: str, finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    session = load_recipe(TINY, plugins=plugins)
    with pytest.raises(KeyboardInterrupt):
        session.run(tmp_path / "run", watcher=StopsAt(MOMENTS[moment]))
    stopped = json.loads((tmp_path / "run" / "run.json").read_text())["state"]

    session.run(tmp_path / "run")

    assert stopped == "stopped"
    assert_same_run(finished.path, tmp_path / "run")


@pytest.mark.slow
def test_a_run_stopped_at_every_step_is_the_same(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    session = load_recipe(TINY, plugins=plugins)
    stops = 0
    while True:
        try:
            session.run(tmp_path / "run", watcher=StopsAt(lambda what, told: what == "step"))
            break
        except KeyboardInterrupt:
            stops += 1

    assert stops == 6 + 6  # every optimizer step of both stages
    assert_same_run(finished.path, tmp_path / "run")


def test_a_run_that_died_goes_on_from_its_last_checkpoint(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    """A step after the checkpoint is logged, and then the power fails."""

    class Dies(Watcher):
        def step(self, step: Step) -> None:
            if step.position.step == 5:
                raise RuntimeError("power cut")

    session = load_recipe(TINY, plugins=plugins)
    with pytest.raises(RuntimeError, match="power cut"):
        session.run(tmp_path / "run", watcher=Dies())
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "align", "epo')

    session.run(tmp_path / "run")

    assert_same_run(finished.path, tmp_path / "run")


def test_what_goes_wrong_in_a_validation_costs_no_epoch(
    finished: Run, tmp_path: Path, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DataError("a broken image")

    session = load_recipe(TINY, plugins=plugins)
    with monkeypatch.context() as patch:
        patch.setattr("rrgcore.validation.Validation._score", fail)
        with pytest.raises(DataError, match="a broken image"):
            session.run(tmp_path / "run")
    state = json.loads((tmp_path / "run/checkpoints/align/last/state.json").read_text())
    assert state["unvalidated"]
    assert state["position"]["epoch"] == 1
    session.run(tmp_path / "run")

    assert_same_run(finished.path, tmp_path / "run")


@pytest.mark.slow
def test_a_run_with_a_gradient_scaler_that_was_stopped_and_resumed_is_the_same(
    tmp_path: Path, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scaler stands in for float16's: its scale grows each second step, and shows in the norm
    of the gradient, which stays scaled here.
    """

    def with_scaler(plan: Plan) -> Accelerator:
        accelerator = make_accelerator(plan)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
        return accelerator

    monkeypatch.setattr("rrgcore.running.make_accelerator", with_scaler)
    off = ["evaluation.probes=false", "evaluation.baselines=false"]
    session = load_recipe(TINY, overrides=off, plugins=plugins)
    whole = session.run(tmp_path / "whole")
    for moment in (step_is(2), MOMENTS["when the second stage begins"]):
        with pytest.raises(KeyboardInterrupt):
            session.run(tmp_path / "run", watcher=StopsAt(moment))
    session.run(tmp_path / "run")

    assert_same_run(whole.path, tmp_path / "run")
    for path in (whole.path, tmp_path / "run"):
        state = json.loads((path / "checkpoints/generate/last/state.json").read_text())
        assert state["scaler"]["scale"] == 2.0 ** (10 + 12 // 2)


def test_what_is_no_number_is_null_in_the_metrics(tmp_path: Path) -> None:
    """Infinity is no JSON: the norm of a gradient that overflowed."""
    folder = RunFolder(tmp_path)
    folder.log({"stage": "align", "loss": 1.5, "gradient_norm": float("inf"), "lr": float("nan")})

    text = (tmp_path / "metrics.jsonl").read_text()
    assert text == '{"stage": "align", "loss": 1.5, "gradient_norm": null, "lr": null}\n'


def test_a_finished_run_is_left_alone(finished: Run, plugins: Discovered) -> None:
    notes: list[str] = []

    class Listens(Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    load_recipe(TINY, plugins=plugins).run(finished.path, watcher=Listens())

    assert before == {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    assert "is finished already" in notes[0]


def test_the_saved_recipe_repeats_the_run(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    load_recipe(finished.path / "recipe.yaml", plugins=plugins).run(tmp_path / "again")

    assert_same_run(finished.path, tmp_path / "again")


def test_the_schedule_goes_on_into_the_next_stage(finished: Run) -> None:
    steps = [entry for entry in finished.folder.metrics() if "split" not in entry]
    rates = {(e["stage"], e["epoch"]): e["lr"] for e in steps}

    assert [e["lr"] for e in steps[:2]] == pytest.approx([0.5e-2, 1e-2])  # warmed up in two steps
    assert rates["align", 1] == pytest.approx(1e-2 * 0.9)
    assert rates["generate", 0] == pytest.approx(1e-2 * 0.9**2)
    assert rates["generate", 1] == pytest.approx(1e-2 * 0.9**3)


def test_the_second_stage_starts_from_the_best_of_the_first(
    tmp_path: Path, plugins: Discovered
) -> None:
    """With nothing to learn, what stage two saves is what it started from."""
    overrides = ["stages.generate.optimizer={lr: 1e-30, weight_decay: 0}"]
    run = load_recipe(TINY, overrides=overrides, plugins=plugins).run(tmp_path / "run")

    best = load_file(run.folder.checkpoint("align", "best") / "model.safetensors")
    last = load_file(run.folder.checkpoint("generate", "last") / "model.safetensors")
    assert all(torch.equal(best[key], last[key]) for key in best)


def test_a_stage_moves_only_what_it_does_not_freeze(tmp_path: Path, plugins: Discovered) -> None:
    overrides = ["stages.generate.freeze=[shared.text_trunk]"]
    run = load_recipe(TINY, overrides=overrides, plugins=plugins).run(tmp_path / "run")

    before = load_file(run.folder.checkpoint("align", "best") / "model.safetensors")
    after = load_file(run.folder.checkpoint("generate", "last") / "model.safetensors")
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert not any(key.startswith("parts.shared.text_trunk") for key in moved)
    assert any(key.startswith("parts.encoder") for key in moved)


def test_patience_ends_a_stage(tmp_path: Path, plugins: Discovered) -> None:
    overrides = ["stages.align={epochs: 30, patience: 2}"]
    run = load_recipe(TINY, variants=["short"], overrides=overrides, plugins=plugins).run(
        tmp_path / "run"
    )

    validations = [e["best"] for e in run.folder.metrics() if e.get("split") == "val"]
    assert len(validations) < 30
    assert validations[-2:] == [False, False]
    assert validations[-3]


def test_a_validation_without_a_score_is_never_the_best_one(
    tmp_path: Path, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the first, so that there is something to test."""
    scores = iter([float("nan"), 0.9, None])
    monkeypatch.setattr("rrgcore.validation.selected", lambda *_: next(scores))
    notes: list[str] = []

    class Listens(Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    overrides = ["stages.align={epochs: 3}", "data.train=5", "data.val=2", "data.test=2"]
    run = load_recipe(TINY, variants=["short"], overrides=overrides, plugins=plugins).run(
        tmp_path / "run", watcher=Listens()
    )

    state = json.loads((run.folder.best / "state.json").read_text())
    assert (state["epoch"], state["score"], run.folder.record["best"]["score"]) == (2, 0.9, 0.9)
    validations = [e["best"] for e in run.folder.metrics() if e.get("split") == "val"]
    assert validations == [False, True, False]
    assert [note for note in notes if "BLEU-1" in note] == [
        "align, epoch 1: no BLEU-1 came of the validation, and none before",
        "align, epoch 3: no BLEU-1 came of the validation, so the best checkpoint stays what it "
        "was",
    ]


def test_validations_come_as_often_as_the_stage_says(tmp_path: Path, plugins: Discovered) -> None:
    overrides = ["stages.align={epochs: 5, evaluate_every: 2}"]
    run = load_recipe(TINY, variants=["short"], overrides=overrides, plugins=plugins).run(
        tmp_path / "run"
    )

    assert [e["epoch"] for e in run.folder.metrics() if e.get("split")] == [1, 3, 4]


def test_a_loss_that_is_no_number_stops_the_run_before_anything_is_spoilt(
    tmp_path: Path, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rrg_kia.mim import MaskedImageModeling

    forward = MaskedImageModeling.forward
    calls = iter(range(100))

    def poisoned(self: Any, *arguments: Any) -> Any:
        output = forward(self, *arguments)
        return output if next(calls) < 7 else type(output)(output.loss * torch.nan, output.count)

    monkeypatch.setattr(MaskedImageModeling, "forward", poisoned)
    session = load_recipe(TINY, plugins=plugins)
    with pytest.raises(NonFiniteLoss, match=r"objective 'mim' is nan on these studies: phantom-"):
        session.run(tmp_path / "run")
    monkeypatch.undo()

    last = load_file(tmp_path / "run/checkpoints/align/last/model.safetensors")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in last.values())
    assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "stopped"


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_stops_a_process_where_it_can_go_on(
    number: signal.Signals, finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    command = [sys.executable, "-m", "rrgcore", "run", str(TINY), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    while process.poll() is None and not (metrics.is_file() and metrics.read_text()):
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 128 + number, err
    assert err == ""
    assert "to go on: rrg run" in out
    load_recipe(TINY, plugins=plugins).run(tmp_path / "run")
    assert_same_run(finished.path, tmp_path / "run")


@pytest.mark.parametrize(
    ("untested", "expected"),
    [("align", "generate"), pytest.param("generate", "align", marks=pytest.mark.slow)],
)
def test_a_stage_that_trains_for_others_is_never_what_is_tested(
    untested: str, expected: str, tmp_path: Path, plugins: Discovered
) -> None:
    overrides = [f"stages.{untested}.tested=false", "evaluation={probes: false, baselines: false}"]
    run = load_recipe(TINY, overrides=overrides, plugins=plugins).run(tmp_path / "run")

    assert run.folder.record["best"]["stage"] == expected
    tested, own = (
        (run.path / "checkpoints" / name / "model.safetensors").read_bytes()
        for name in ("best", f"{expected}/best")
    )
    assert tested == own


def test_a_run_that_could_be_tested_with_no_checkpoint_is_refused(plugins: Discovered) -> None:
    overrides = ["stages.align.tested=false", "stages.generate.tested=false"]
    with pytest.raises(RecipeError, match="no stage is `tested`"):
        load_recipe(TINY, overrides=overrides, plugins=plugins).plan  # noqa: B018
