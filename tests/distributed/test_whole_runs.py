"""Whole runs by two processes, of copies, in shards and by DeepSpeed: the course of one, and exact
when they go on after a stop.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rrgcore import load_recipe
from rrgcore.checkpoint import MODEL
from rrgcore.files import read_json
from rrgcore.folder import METRICS, PREDICTIONS, SCORES
from rrgcore.optimizer_state import OPTIMIZER
from rrgcore.plugins import Discovered
from tests.conftest import TINY

from .launch import launch, launched

pytestmark = pytest.mark.slow
OVERRIDES = [
    # of dropout two processes have other random numbers than one
    *(f"model.{part}.dropout=0" for part in ("shared.image_trunk", "shared.text_trunk", "decoder")),
    "data.test=5",
    # what a stage does not use, DeepSpeed's optimizer decays, and torch's leaves alone
    "stages.generate.optimizer={name: SGD, lr: 1e-2}",
    "stages.generate.freeze=[encoder]",
    "stages.generate.clip=0.5",
]
WAYS = {
    "copies": ("no", {}),
    "shards": ("whole", {}),
    "DeepSpeed": (
        "no",
        {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"},
    ),
}
STOP = 3
POISON = Path(__file__).parent.parent / "faults" / "poison.py"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, plugins: Discovered) -> Path:
    """A run by one process, with the batches of two."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    load_recipe(TINY, overrides=[*OVERRIDES, "data.batch_size=2"], plugins=plugins).run(folder)
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_a_loss_that_is_no_number_stops_both_before_anything_is_updated(
    way: str, tmp_path: Path
) -> None:
    if way == "DeepSpeed" and find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    shards, said = WAYS[way]
    options = [*OVERRIDES, "data.batch_size=1", "stages.align.save_every=1"]
    poison = ["objectives.poison={name: poison, after: 2}", "stages.align.epochs=2"]
    done = launched(
        *("tests.distributed.whole", TINY, tmp_path / "run", shards, 0, *options, *poison),
        **{**said, "RRG_TEST_PLUGIN": str(POISON)},
    )
    assert done.returncode != 0
    assert "objective 'poison' is nan on" in done.stderr
    states = {line["step"] for line in lines(tmp_path / "run" / METRICS) if "split" not in line}
    last = tmp_path / "run" / "checkpoints/align/last"
    assert read_json(last / "state.json")["position"]["step"] == max(states)
    assert all(torch.isfinite(each).all() for each in load_file(last / MODEL).values())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_by_two_processes_is_that_of_one_and_goes_on_exactly(
    way: str, alone: Path, tmp_path: Path
) -> None:
    if way == "DeepSpeed" and find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    shards, said = WAYS[way]
    options = [*OVERRIDES, "data.batch_size=1"]
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    launch("tests.distributed.whole", TINY, straight, shards, 0, *options, **said)
    launch("tests.distributed.whole", TINY, stopped, shards, STOP, *options, **said)
    assert not (stopped / SCORES).exists()
    assert len(lines(stopped / METRICS)) == STOP
    launch("tests.distributed.whole", TINY, stopped, shards, 0, *options, **said)

    for name in (METRICS, PREDICTIONS, SCORES):
        assert (stopped / name).read_bytes() == (straight / name).read_bytes(), name
    for stage in ("align", "generate"):
        for name in (MODEL, OPTIMIZER):
            one, two, whole = (
                load_file(run / "checkpoints" / stage / "last" / name)
                for run in (straight, stopped, alone)
            )
            assert one.keys() == two.keys() >= whole.keys()
            assert all(torch.equal(one[key], two[key]) for key in one)
            for key, expected in whole.items():
                torch.testing.assert_close(one[key], expected, rtol=1e-4, atol=1e-5)

    for ours, theirs in zip(lines(straight / METRICS), lines(alone / METRICS), strict=True):
        assert ours.keys() == theirs.keys()
        for key, expected in theirs.items():
            close = pytest.approx(expected, 1e-4, 1e-4) if isinstance(expected, float) else expected
            assert ours[key] == close, key
    for ours, theirs in zip(lines(straight / PREDICTIONS), lines(alone / PREDICTIONS), strict=True):
        assert (ours["id"], ours["prediction"]) == (theirs["id"], theirs["prediction"])
    assert len(lines(straight / PREDICTIONS)) == 5
    assert read_json(straight / SCORES)["protocols"] == read_json(alone / SCORES)["protocols"]
