"""Trackers: what metrics.jsonl says becomes curves, each point once, also of a run that goes on."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator

from rrgcore import load_recipe
from rrgcore.errors import UserError
from rrgcore.extras import how_to_install
from rrgcore.folder import METRICS, SCORES, RunFolder
from rrgcore.plugins import Discovered
from rrgcore.running import Runner
from rrgcore.tracker_names import check_trackers
from rrgcore.trackers import Tracked
from rrgcore.trackers.curves import Curves, flat
from rrgcore.trackers.sent import Sent
from rrgcore.watch import Watcher

from .wandb_file import read_offline

TINY = Path(__file__).parent.parent / "tiny.yaml"
ALIGN = [
    {"stage": "align", "epoch": 0, "step": 1, "loss": 3.0, "lr": 0.1, "gradient_norm": None},
    {"stage": "align", "epoch": 0, "step": 2, "loss": 2.0, "lr": 0.1, "gradient_norm": 1.0},
    {"stage": "align", "epoch": 0, "step": 2, "split": "val", "best": True, "coco.CIDEr": 0.5},
]
GENERATE = [{"stage": "generate", "epoch": 0, "step": 1, "loss": 1.0, "lr": 0.2}]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run folder with metrics, and nothing else."""
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def log(folder: RunFolder, *entries: Mapping[str, Any]) -> None:
    for entry in entries:
        folder.log(entry)


def follow(folder: RunFolder, *names: str, then: Callable[[Tracked], None] | None = None) -> None:
    """Track a folder as a run that goes on does: from the beginning of a stage to the end."""
    tracked = Tracked(Watcher(), folder, Accelerator(cpu=True), names)
    tracked.begin("tiny/run", {"seed": 3, "model": {"depths": [1, 2]}})
    tracked.stage("align", 1, 2, 2, 0, 1)
    if then is not None:
        then(tracked)
    tracked.end()


# ---- what is asked for ----------------------------------------------------------------------


def test_trackers_are_taken_apart_at_commas_and_each_is_there_once() -> None:
    pytest.importorskip("tensorboard")
    assert check_trackers(["tensorboard,tensorboard", " tensorboard "]) == ("tensorboard",)
    assert check_trackers([]) == check_trackers([""]) == ()


def test_an_unknown_tracker_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no such tracker\. Did you mean 'tensorboard'"):
        check_trackers(["tensorbord"])


def test_a_tracker_that_is_not_installed_is_refused_before_anything_starts(
    rrg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rrgcore.tracker_names.find_spec", lambda name: None)
    monkeypatch.setenv("RRG_TRACK", "mlflow")
    answer = rrg("run", TINY, "--out", "run")
    assert answer.code == 2
    assert f"mlflow is not installed. Type: {how_to_install('track')}" in answer.err
    assert not Path("run").exists()


# ---- curves ---------------------------------------------------------------------------------


def test_steps_are_counted_on_over_stages(folder: RunFolder) -> None:
    log(folder, *ALIGN, *GENERATE)
    points = [(split, step) for split, step, _ in Curves(folder.path / METRICS).new()]
    assert points == [("train", 1), ("train", 2), ("val", 2), ("train", 3)]


def test_a_curve_has_finite_numbers_alone(folder: RunFolder) -> None:
    log(folder, ALIGN[0], ALIGN[2])
    first, validated = (values for _, _, values in Curves(folder.path / METRICS).new())
    assert first == {"train/epoch": 0, "train/loss": 3.0, "train/lr": 0.1}
    assert validated == {"val/epoch": 0, "val/coco.CIDEr": 0.5}


def test_a_line_that_is_not_whole_waits(folder: RunFolder) -> None:
    log(folder, ALIGN[0])
    curves = Curves(folder.path / METRICS)
    with (folder.path / METRICS).open("a") as file:
        file.write('{"stage": "al')
        file.flush()
        assert len(list(curves.new())) == 1
        file.write('ign", "epoch": 0, "step": 2}\n')
        file.flush()
        assert [step for _, step, _ in curves.new()] == [2]


def test_a_recipe_becomes_plain_values_by_address() -> None:
    recipe = {"data": {"splits": {}, "size": 8}, "model": {"depths": [1, 2], "free": None}}
    assert dict(flat(recipe)) == {
        "data.splits": "{}",
        "data.size": 8,
        "model.depths": "[1, 2]",
        "model.free": "null",
    }


def test_what_was_sent_is_read_back_and_damage_is_named(tmp_path: Path) -> None:
    sent = Sent(tmp_path / "wandb.jsonl")
    sent.begin("abc")
    sent.add("train", 4)
    sent.add("train", 5)
    again = Sent(tmp_path / "wandb.jsonl")
    assert (again.id, again.is_new("train", 5), again.is_new("train", 6)) == ("abc", False, True)
    (tmp_path / "wandb.jsonl").write_text("[]\n")
    with pytest.raises(UserError, match="damaged"):
        Sent(tmp_path / "wandb.jsonl")


def test_everything_that_a_watcher_hears_is_passed_on() -> None:
    told = {name for name in vars(Watcher) if not name.startswith("_")}
    assert told <= set(vars(Tracked))


# ---- TensorBoard ----------------------------------------------------------------------------


def events(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Every scalar in every event file, as it stands there: nothing is purged."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for path in sorted(folder.glob("events.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                yield value.tag, event.step, value.tensor.float_val[0]


def test_a_run_that_goes_on_continues_the_same_curves(folder: RunFolder) -> None:
    pytest.importorskip("tensorboard")
    log(folder, *ALIGN[:2])
    follow(folder, "tensorboard")
    folder.cut_metrics(1)  # it was killed, and goes on from a checkpoint after the first step
    log(folder, *ALIGN[1:])

    def finish(tracked: Tracked) -> None:
        log(folder, *GENERATE)
        scores = {"protocols": {"coco": {"CIDEr": 0.7}}, "shuffled images": {}}
        folder.write_json(SCORES, scores)

    follow(folder, "tensorboard", then=finish)
    found = list(events(folder.path / "trackers" / "tensorboard"))
    assert max(Counter((tag, step) for tag, step, _ in found).values()) == 1
    losses = {step: value for tag, step, value in found if tag == "train/loss"}
    assert losses == {1: 3.0, 2: 2.0, 3: 1.0}
    assert ("val/coco.CIDEr", 2, 0.5) in found
    assert [(tag, step) for tag, step, _ in found if tag.startswith("test")] == [
        ("test/coco.CIDEr", 3)
    ]


def test_a_run_may_be_tracked_from_its_middle(folder: RunFolder) -> None:
    pytest.importorskip("tensorboard")
    log(folder, *ALIGN)
    follow(folder, "tensorboard", then=lambda tracked: log(folder, *GENERATE))
    found = events(folder.path / "trackers" / "tensorboard")
    assert [step for tag, step, _ in found if tag == "train/loss"] == [1, 2, 3]


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    notes: list[str] = []

    class Hearing(Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    def refuse(*args: object, **more: object) -> None:
        raise OSError("the server is gone")

    log(folder, *ALIGN)
    tracked = Tracked(Hearing(), folder, Accelerator(cpu=True), ["tensorboard"])
    tracked.begin("tiny/run", {})
    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.log", refuse)
    tracked.stage("align", 1, 1, 2, 0, 1)
    tracked.end()
    assert len(notes) == 1
    assert "the server is gone" in notes[0]


def test_a_process_that_writes_nothing_tracks_nothing(folder: RunFolder) -> None:
    other = RunFolder(folder.path, writes=False)
    log(folder, *ALIGN)
    follow(other, "tensorboard")
    assert not (folder.path / "trackers").exists()


# ---- the others, and whole runs -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # MLflow's own, of what it is built on
def test_mlflow_has_each_point_once_and_the_recipe(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    log(folder, *ALIGN)
    follow(folder, "mlflow")
    follow(folder, "mlflow", then=lambda tracked: log(folder, *GENERATE))
    client = mlflow.MlflowClient(store)
    (experiment,) = client.search_experiments(filter_string="name = 'rrg'")
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert run.data.params["seed"] == "3"
    assert (run.info.run_name, run.info.status) == ("tiny/run", "FINISHED")


@pytest.mark.slow
def test_wandb_offline_has_each_point_once_and_the_recipe(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    log(folder, *ALIGN)
    follow(folder, "wandb")
    follow(folder, "wandb", then=lambda tracked: log(folder, *GENERATE))
    found = [read_offline(path) for path in sorted((tmp_path / "wandb").glob("offline-run-*"))]
    assert len({each["id"] for each in found}) == 1
    assert found[0]["config"]["seed"] == 3
    losses = [
        (step, values["train/loss"])
        for each in found
        for step, values in each["history"].items()
        if "train/loss" in values
    ]
    assert losses == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert found[0]["history"][2]["val/coco.CIDEr"] == 0.5


@pytest.mark.slow
def test_a_run_that_is_stopped_and_goes_on_has_the_curves_of_one_that_was_not(
    tmp_path: Path, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")

    class Stops(Watcher):
        def step(self, step: Any) -> None:
            if step.position.step == 3:
                signal.raise_signal(signal.SIGTERM)

    session = load_recipe(TINY, variants=["short"], plugins=plugins)
    session.run(tmp_path / "whole", track=["tensorboard"])
    with pytest.raises(KeyboardInterrupt):
        session.run(tmp_path / "stopped", track=["tensorboard"], watcher=Stops())
    session.run(tmp_path / "stopped", track=["tensorboard"])
    curves = [sorted(events(tmp_path / n / "trackers/tensorboard")) for n in ("whole", "stopped")]
    assert curves[0] == curves[1]
    assert {tag.partition("/")[0] for tag, _, _ in curves[0]} == {"train", "val", "test"}
    records = [json.loads((tmp_path / n / "run.json").read_text()) for n in ("whole", "stopped")]
    assert records[0]["parameters"] == records[1]["parameters"]
    assert "trackers" not in (tmp_path / "whole" / "recipe.yaml").read_text()


def test_the_command_that_goes_on_names_the_trackers(plugins: Discovered) -> None:
    runner = Runner(load_recipe(TINY, plugins=plugins).plan, plugins, Watcher())
    runner.track = ("wandb",)
    assert runner._to_go_on(Path("run")).endswith("--out run --track wandb")
