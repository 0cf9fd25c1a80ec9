"""Annotators of a run by two processes are asked once, and fail for both."""

from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.distributed.launch import launched

PLUGIN = """
import os
from pathlib import Path
from torch import Tensor, nn
from rrgcore import Component, hookimpl
from rrgcore.annotations import Labels
from rrgcore.errors import DataError
from rrgcore.interfaces import Adapter, Prepares
from rrgcore.supply import Annotator
from rrgcore.types import Visual

class Asked(Annotator):
    writes = Labels

    def __init__(self, *, log: str, fails_at: str = "") -> None:
        self.log, self.fails_at = log, fails_at

    def annotate(self, studies):
        for study in studies:
            with Path(self.log).open("a") as log:
                log.write(f"{os.environ['RANK']} {study.id}\\n")
            if study.id == self.fails_at:
                raise DataError(f"study '{study.id}' is beyond me")
            yield Labels({"Edema": 1})

class ReadsLabels(Adapter, Prepares[Tensor]):
    reads = (Labels,)

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)

    def prepare(self, studies, rngs):
        return Tensor([[float(study[Labels].values["Edema"])] for study in studies])

    def forward(self, image, prepared=None):
        return Visual(self.project(image.tokens) + prepared[..., None], image.mask)

@hookimpl
def rrg_components():
    return [
        Component("annotator", "asked", "asks_once:Asked", "Is asked."),
        Component("adapter", "reads", "asks_once:ReadsLabels", "Reads labels."),
    ]
"""
OPTIONS = ["model.adapter=reads", *(f"objectives.{n}=off" for n in ("mim", "mlm", "irm"))]


@pytest.mark.slow
@pytest.mark.parametrize("fails_at", ["", "phantom-val-00001"])
def test_the_main_process_asks_for_both(fails_at: str, tmp_path: Path) -> None:
    plugin, log = tmp_path / "asks_once.py", tmp_path / "log"
    plugin.write_text(PLUGIN)
    asked = f"data.annotations.labels={{name: asked, log: {log}, fails_at: '{fails_at}'}}"
    words = [TINY, "-v", "short", *OPTIONS, asked, "--plugin", plugin, "--out", tmp_path / "run"]
    done = launched("rrgcore", "run", *words)
    lines = log.read_text().splitlines()

    assert {line.partition(" ")[0] for line in lines} == {"0"}
    assert len(lines) == len(set(lines))
    if fails_at:
        assert done.returncode != 0
        assert done.stderr.count(f"study '{fails_at}' is beyond me") == 1
        assert "another process" not in done.stderr
    else:
        assert done.returncode == 0, done.stderr[-4000:]
        assert len(lines) == 10 + 3 + 4
