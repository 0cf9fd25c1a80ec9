"""What a command says where one of several processes fails, or all of them do."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist

from rrgcore.cli import failing
from rrgcore.cli.failing import LEFT, is_of_another, tell_failure
from rrgcore.data import study_rng
from rrgcore.errors import UserError
from rrgcore.faults.nonfinite import NonFiniteLoss
from tests.conftest import Answer
from tests.distributed.launch import launched

CLOSED = RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:3")
RECIPE = """
seed: 3
data: {name: r2gen, root: ROOT, image_size: 32, batch_size: 2, cache: off}
model:
  encoder: {name: vit, patch_size: 8, trunk: TRUNK}
  decoder: {name: bert, tokenizer: words, trunk: TEXT_TRUNK}
objectives: {report: {}}
stages: {train: {steps: 1, optimizer: {name: AdamW, lr: 1e-2}}}
generation: {beams: 1, max_new_tokens: 3}
evaluation: {select: last, metrics: {coco: {meteor: false}}, probes: false, baselines: false}
"""
TRUNK = "{name: transformer, dim: 16, depth: 1, heads: 2, norm: pre}"
TEXT_TRUNK = "{name: transformer, dim: 16, depth: 1, heads: 2, norm: post, cross_layers: all}"


def process(patch: pytest.MonkeyPatch, rank: int, local: int) -> None:
    patch.setenv("RANK", str(rank))
    patch.setenv("LOCAL_RANK", str(local))


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have met others, who say nothing."""
    monkeypatch.setattr(failing, "MOMENT", timedelta(milliseconds=20))
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def said(capsys: pytest.CaptureFixture[str], text: str, error: Exception) -> str:
    tell_failure(text, error)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("rank", "local", "told"),
    [(0, 0, "no such recipe\n"), (1, 1, ""), (8, 0, "process 8: no such recipe\n")],
)
def test_before_processes_meet_the_first_of_each_machine_tells(
    rank: int,
    local: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process(monkeypatch, rank, local)
    assert said(capsys, "no such recipe", UserError("no such recipe")) == told


@pytest.mark.usefixtures("connected")
def test_what_goes_wrong_on_one_process_alone_is_told_by_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process(monkeypatch, 1, 1)
    assert said(capsys, "a broken image", UserError("a broken image")) == (
        "process 1: a broken image\n"
    )
    assert said(capsys, "KeyError: 'x'", KeyError("x")) == "process 1: KeyError: 'x'\n"


@pytest.mark.usefixtures("connected")
def test_what_all_processes_run_into_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process(monkeypatch, 0, 0)
    assert said(capsys, "no weights", UserError("no weights")) == "no weights\n"
    process(monkeypatch, 1, 1)
    assert said(capsys, "no weights", UserError("no weights")) == ""
    assert said(capsys, "no image", UserError("no image")) == "process 1: no image\n"


@pytest.mark.usefixtures("connected")
def test_what_was_raised_on_all_processes_is_told_by_the_main_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process(monkeypatch, 1, 1)
    shared = KeyError("x")
    shared.of_all_processes = True  # type: ignore[attr-defined]
    wrapped = UserError("it failed")
    wrapped.__cause__ = shared
    for error in (shared, wrapped, NonFiniteLoss.__new__(NonFiniteLoss, "nan")):
        assert said(capsys, "it failed", error) == ""


@pytest.mark.usefixtures("connected")
def test_who_only_lost_another_leaves_the_telling_to_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process(monkeypatch, 1, 1)
    assert said(capsys, LEFT, CLOSED) == ""
    assert not is_of_another(RuntimeError("shapes do not match"))


@pytest.mark.usefixtures("connected")
def test_the_main_process_says_that_another_one_failed(
    rrg: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CLOSED

    process(monkeypatch, 0, 0)
    monkeypatch.setattr("rrgcore.session.Session.show", fail)
    answer = rrg("show", "kia_graph")
    assert answer.code == 1
    assert answer.err.startswith("another process failed; its message is above")
    assert "gloo" not in answer.err


def write_recipe(folder: Path, root: Path) -> Path:
    text = RECIPE.replace("TEXT_TRUNK", TEXT_TRUNK).replace("TRUNK", TRUNK)
    path = folder / "alone.yaml"
    path.write_text(text.replace("ROOT", str(root)))
    return path


@pytest.mark.slow
def test_a_broken_image_of_one_process_is_told_by_that_process(r2gen: Path, tmp_path: Path) -> None:
    # of the first four studies, the first two are the main process's batch
    number = study_rng(3, 0, "", "order").permutation(12)[2]
    broken = r2gen / "images" / f"train_{number}.png"
    broken.write_bytes(broken.read_bytes()[:60])
    recipe = write_recipe(tmp_path, r2gen)
    done = launched("rrgcore", "run", recipe, "--out", tmp_path / "run")

    assert done.returncode != 0
    assert done.stderr.count(f"process 1: study 'train{number}': ") == 1
    assert done.stderr.count("another process failed; its message is above") == 1
    assert "gloo" not in done.stderr


@pytest.mark.slow
def test_a_broken_image_of_all_processes_is_told_once(r2gen: Path, tmp_path: Path) -> None:
    """Each of them asks validation studies whether the image is used."""
    broken = r2gen / "images" / "val_1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    done = launched("rrgcore", "run", write_recipe(tmp_path, r2gen), "--out", tmp_path / "run")

    assert done.returncode != 0
    assert done.stderr.count("study 'val1': ") == 1
    assert "process 1: " not in done.stderr


@pytest.mark.slow
def test_a_run_by_two_processes_does_not_go_on_with_one(
    r2gen: Path, tmp_path: Path, rrg: Callable[..., Answer]
) -> None:
    recipe, run = write_recipe(tmp_path, r2gen), tmp_path / "run"
    assert launched("rrgcore", "run", recipe, "--out", run).returncode == 0
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "state": "stopped"}))
    answer = rrg("run", recipe, "--out", run)

    assert record["processes"] == 2
    assert answer.code == 2
    assert "was begun with 2 processes and cannot go on with 1 process" in answer.err
    assert rrg("evaluate", run).code == 0
