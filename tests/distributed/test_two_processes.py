"""Two processes, whole models or shards of them, and batches accumulated, take the steps of one
process with the whole batch, and have its scores.

Masks are drawn by study, negatives and MINE's marginal from the batch of all processes, and means
are weighed by what they count, so that nothing depends on how a batch is divided.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from rrgcore.checkpoint import MODEL, STATE
from rrgcore.files import read_json
from rrgcore.folder import RunFolder
from rrgcore.job import make_accelerator, write_assessment
from rrgcore.optimizer_state import OPTIMIZER
from rrgcore.run import Run

from .course import STEPS, follow, plan_of
from .launch import launch

KIA = {
    "recipe": "kia_graph",
    "variants": ["tiny"],
    "overrides": ["data.train=16", "objectives.irc.queue=6", "stages.generate=off"],
}
CMEAA = {
    "recipe": "cmeaa",
    "variants": ["tiny", "oracle"],
    "overrides": [
        "data.train=16",
        "model.adapter={dropout: 0, enhance: {dropout: 0}}",
        "objectives.mine={weight: 0.5, ema_rate: 0.1, past: 3}",
        # Adam divides a gradient of 1e-9 by its own size, and rounding decides what is left
        "stages.train.optimizer={name: SGD, lr: 0.5}",
    ],
}
WHOLE = ["data.batch_size=4"]
BY_TWO = ["data.batch_size=2"]
CASES: Mapping[str, dict[str, Any]] = {
    "kia": {**KIA, "whole": WHOLE, "split": BY_TWO},
    "cmeaa": {**CMEAA, "whole": WHOLE, "split": BY_TWO},
    # two batches a step, of four studies in all: the whole has the same two batches
    "kia, accumulated": {
        **KIA,
        "whole": ["data.batch_size=2", "stages.align.accumulate=2"],
        "split": ["data.batch_size=1", "stages.align.accumulate=2"],
    },
    "cmeaa, accumulated": {
        **CMEAA,
        "whole": ["data.batch_size=2", "stages.train.accumulate=2"],
        "split": ["data.batch_size=1", "stages.train.accumulate=2"],
    },
    "kia, in shards": {**KIA, "whole": WHOLE, "split": BY_TWO, "shards": None},
    "cmeaa, accumulated, in shards": {
        **CMEAA,
        "whole": ["data.batch_size=2", "stages.train.accumulate=2"],
        "split": ["data.batch_size=1", "stages.train.accumulate=2"],
        "shards": "LlamaDecoderLayer",
    },
}
SPLIT = "val"
"""Of three studies: two processes have unequal shares."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, finished: Run) -> Path:
    """Every case by two processes that talk through gloo, and what they made of a finished run."""
    folder = tmp_path_factory.mktemp("ranks")
    order = folder / "order.json"
    shutil.copytree(finished.path, folder / "run")
    told = {
        "cases": list(CASES.values()),
        **{"run": str(folder / "run"), "split": SPLIT, "stage": "generate", "shards": None},
    }
    order.write_text(json.dumps(told))
    launch("tests.distributed.course", order)
    return folder


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[list[dict[str, float]], dict[str, torch.Tensor]]]:
    """Every case by one process."""
    found: dict[str, Any] = {}
    for case in CASES.values():
        if (key := _alone(case)) not in found:
            AcceleratorState._reset_state()
            plan = plan_of(case, case["whole"])
            found[key] = follow(plan, make_accelerator(plan))
    return {name: found[_alone(case)] for name, case in CASES.items()}


def _alone(case: Mapping[str, Any]) -> str:
    """Tell apart what one process does; of shards it has none."""
    return json.dumps([case["recipe"], case["overrides"], case["whole"]])


@pytest.mark.parametrize("name", CASES)
def test_two_processes_have_the_losses_of_one(name: str, folder: Path, alone: Any) -> None:
    number = list(CASES).index(name)
    losses, _ = alone[name]
    for rank in range(2):
        shared = json.loads((folder / f"{number}-{rank}.json").read_text())
        assert len(shared) == len(losses) == STEPS
        for ours, theirs in zip(losses, shared, strict=True):
            assert theirs == pytest.approx(ours, rel=1e-5, abs=1e-5)
    # the comparison would hold for losses that never move
    assert len({round(step["total"], 4) for step in losses}) == STEPS


@pytest.mark.parametrize("name", CASES)
def test_two_processes_end_with_the_weights_queues_and_twins_of_one(
    name: str, folder: Path, alone: Any
) -> None:
    number = list(CASES).index(name)
    _, expected = alone[name]
    first, second = (load_file(folder / f"{number}-{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys() == expected.keys()
    for tensor in expected:
        assert torch.equal(first[tensor], second[tensor]), f"{tensor} differs between processes"
        torch.testing.assert_close(first[tensor], expected[tensor], rtol=1e-4, atol=1e-5)
    if name.startswith("kia"):
        assert int(expected["objectives.irc.pointer"]) == 4 * STEPS % 6


def test_two_processes_score_each_study_once_and_as_one_process_does(
    folder: Path, finished: Run, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    alone = Run(RunFolder(tmp_path / "run"), finished.plugins)
    write_assessment(alone.folder, alone.evaluate(SPLIT))
    for name in (f"predictions-{SPLIT}.jsonl", f"scores-{SPLIT}.json"):
        assert (folder / "run" / name).read_bytes() == (alone.path / name).read_bytes()
    lines = (folder / "run" / f"predictions-{SPLIT}.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [
        f"phantom-{SPLIT}-{n:05}" for n in range(3)
    ]


def test_a_checkpoint_is_the_same_file_from_shards_as_from_one_process(
    folder: Path, finished: Run
) -> None:
    """Read by processes that each keep a part, and written from the parts."""
    last = finished.folder.checkpoint("generate", "last")
    for name in (MODEL, OPTIMIZER):
        assert (folder / "again" / name).read_bytes() == (last / name).read_bytes()
    assert read_json(folder / "again" / STATE) == read_json(last / STATE)["optimizer"]
    assert load_file(last / MODEL)["objectives.irc.log_tau"].shape == ()


def test_what_is_asked_for_is_weighed_by_its_number(alone: Any) -> None:
    """Batches accumulated equal one batch of all, where no objective compares studies."""
    without = {**KIA, "overrides": [*KIA["overrides"], "objectives.irc=off", "objectives.irm=off"]}
    without["overrides"].remove("objectives.irc.queue=6")
    found = []
    for options in (
        ["data.batch_size=4"],
        ["data.batch_size=2", "stages.align.accumulate=2"],
        ["data.batch_size=1", "stages.align.accumulate=4"],
    ):
        plan = plan_of(without, [*options, "model.shared.joint=off"])
        found.append(follow(plan, make_accelerator(plan))[0])
    assert set(found[0][0]) == {"total", "report", "mim", "mlm"}
    for accumulated in found[1:]:
        for ours, theirs in zip(found[0], accumulated, strict=True):
            assert theirs == pytest.approx(ours, rel=1e-5, abs=1e-5)
