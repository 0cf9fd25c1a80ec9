"""A disk that is full, or a limit on files, stops a run with a sentence; with room it goes on."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrgcore import load_recipe
from rrgcore.engine import Step
from rrgcore.errors import WriteError
from rrgcore.plugins import Discovered
from rrgcore.run import load_run
from rrgcore.session import Session
from rrgcore.sources.building import build_dataset
from rrgcore.sources.record import Order
from rrgcore.sources.source import Ledger, Source
from rrgcore.study import ImageRef, Study
from rrgcore.watch import Watcher

from .comparing import differences

resource = pytest.importorskip("resource")  # not on Windows
TINY = Path(__file__).parent.parent / "tiny.yaml"
RECIPE = (TINY, "--variant", "short", "stages.align.epochs=2")
Rrg = Callable[..., Any]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: as a disk that is full, but for one
    process.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def session(plugins: Discovered) -> Session:
    """Two epochs of three optimizer steps, saved after each."""
    return load_recipe(TINY, variants=["short"], overrides=[RECIPE[-1]], plugins=plugins)


@pytest.fixture(scope="module")
def whole(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that found room for everything."""
    return session.run(tmp_path_factory.mktemp("whole") / "run").path


class Fills(Watcher):
    """Leaves no room from an optimizer step on."""

    def __init__(self, step: int, size: int) -> None:
        self.at = step
        self.size = size

    def step(self, step: Step) -> None:
        if step.position.step == self.at:
            limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, limit))


@pytest.mark.parametrize(
    ("size", "file", "needed"),
    [
        (100_000, "checkpoints/align/(best|last)/model.safetensors", "kB needed"),
        (500, "metrics.jsonl", "bytes needed"),
    ],
)
def test_a_full_disk_stops_a_run_which_goes_on_when_there_is_room(
    size: int, file: str, needed: str, session: Session, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    with pytest.raises(WriteError) as refused, files_up_to(unlimited):
        session.run(out, watcher=Fills(4, size))
    said = str(refused.value)

    assert re.match(f"{out}/{file} could not be written: it would be larger than a file may", said)
    assert needed in said
    last = out / "checkpoints/align/last"
    kept = f"The last checkpoint is that of stage align after step 3: {last}. Raise that limit"
    assert kept in said
    assert said.endswith(f"go on: rrg run {out / 'recipe.yaml'} --out {out}")
    assert not load_run(out, plugins=session.plugins).model("align/last").training
    session.run(out)
    assert differences(whole, out) == []


def test_a_full_disk_is_a_sentence_and_status_2(rrg: Rrg, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with files_up_to(100_000):
        answer = rrg("run", *RECIPE, "--out", out)

    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) == 1
    assert "There is no checkpoint yet. Raise that limit, and go on: rrg run" in answer.err


def test_a_run_that_cannot_even_be_begun_leaves_nothing(rrg: Rrg, tmp_path: Path) -> None:
    with files_up_to(100):
        answer = rrg("run", *RECIPE)

    assert answer.code == 2
    assert "recipe.yaml could not be written" in answer.err
    assert answer.err.endswith("Raise that limit, and give the same command again\n")
    assert list(Path.cwd().iterdir()) == []


def test_scores_that_cannot_be_written_leave_those_of_before(
    rrg: Rrg, whole: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(whole, tmp_path / "run")
    with files_up_to(100):
        answer = rrg("evaluate", out)

    assert answer.code == 2
    assert f"{out / 'predictions.jsonl'} could not be written" in answer.err
    assert differences(whole, out) == []


def test_annotations_that_found_the_disk_full_go_on(rrg: Rrg, r2gen: Path, tmp_path: Path) -> None:
    sidecar = r2gen / "annotations" / "labels.jsonl"
    sidecar.unlink()
    command = ["annotate", "rules", "r2gen", f"root={r2gen}"]
    with files_up_to(900):
        answer = rrg(*command)

    assert answer.code == 2
    assert "lines.jsonl could not be written" in answer.err
    assert (
        f"What was done is kept in {r2gen / 'annotations' / 'labels.jsonl.partial'}" in answer.err
    )
    assert not sidecar.exists()
    answer = rrg(*command)
    assert answer.code == 0, answer.err
    assert "of them before" in answer.out
    assert len(sidecar.read_text().splitlines()) == 20


class Noise(Source):
    """Three studies whose images do not shrink."""

    def read(self, ledger: Ledger) -> Iterator[Any]:
        for number in range(3):
            image = ImageRef(str(number))
            yield "train", Study(f"s{number}", (image,), ("frontal",), "no edema .")

    def open(self, image: ImageRef) -> np.ndarray:
        side = 16 if image.where == "0" else 64
        return np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)

    def fingerprint(self) -> dict[str, Any]:
        return {}


def test_a_build_that_found_the_disk_full_goes_on(tmp_path: Path) -> None:
    order = Order(source="noise", size=0)
    with (
        pytest.raises(WriteError, match=r"images/s1/0\.png could not be written: it would be"),
        files_up_to(2000),
    ):
        build_dataset(Noise(), tmp_path / "data", order, workers=1)

    assert not (tmp_path / "data").exists()
    resumed: list[int] = []
    built = build_dataset(
        Noise(), tmp_path / "data", order, resumed=lambda _, images: resumed.append(images)
    )
    assert (built.written.images, resumed) == (3, [1])


# ---- a file system that is really full ------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        found = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    if found.returncode:
        pytest.skip(f"nothing may be mounted here: {found.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # weights are mapped


def test_a_run_on_a_disk_that_fills_up_goes_on_when_there_is_room(
    small_disk: Path, session: Session, whole: Path
) -> None:
    out = small_disk / "run"
    with pytest.raises(WriteError) as refused:
        session.run(out)
    said = str(refused.value)

    assert "safetensors could not be written: no space is left on the device (" in said
    assert "kB needed, " in said
    assert "checkpoints/align/last. Make room there, and go on: rrg run" in said
    with pytest.raises(WriteError):  # there is no more room than before
        session.run(out)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    session.run(out)
    assert differences(whole, out) == []


def test_output_that_goes_to_a_full_disk_stops_with_a_sentence(
    small_disk: Path, tmp_path: Path
) -> None:
    with (small_disk / "filler").open("wb") as file:
        file.write(bytes((1 << 20) - 4096))
    with (small_disk / "log").open("wb") as log:
        log.write(bytes(4096))
        log.flush()
        said = subprocess.run(
            [sys.executable, "-m", "rrgcore", "list"],
            stdout=log, stderr=subprocess.PIPE, text=True, check=False, env={**os.environ},
        )  # fmt: skip

    assert said.returncode == 2
    assert "Traceback" not in said.stderr
    assert "no space is left on the device" in said.stderr
    assert json.dumps(said.stderr).count("\\n") == 1
