"""Real radiographs and reports: the data beside the checkout, in R2Gen's layout."""

import json
from pathlib import Path

import pytest

from rrgcore import load_recipe
from rrgcore.cleaning import cleaner
from rrgcore.plugins import Discovered
from rrgcore.run import Run

SMALL = [
    "stages.warm_up=off",
    "stages.align={epochs: off, steps: 2}",
    "stages.generate={epochs: off, steps: 2}",
    "generation={beams: 2, max_new_tokens: 8}",
]


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR has tests of its own, and its start takes seconds."""
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def covid(shared: Path) -> str:
    root = shared / "data" / "covid_cxr"
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    return f"data.root={root}"


def predictions(run: Run) -> list[dict[str, str]]:
    lines = (run.path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_kia_trains_evaluates_and_generates_on_real_radiographs(
    covid: str, tmp_path: Path, plugins: Discovered
) -> None:
    session = load_recipe(
        "kia_graph", variants=["r2gen"], overrides=[covid, *SMALL], plugins=plugins
    )
    run = session.run(tmp_path / "run")

    objectives = {"mim", "mlm", "irc", "irm", "report"}
    first = run.folder.metrics()[0]
    assert objectives <= first.keys()
    assert run.scores["protocols"]["coco"]["CIDEr"] >= 0
    assert run.scores["probes"].keys() == {"mim", "mlm", "irc"}
    assert len(predictions(run)) == run.scores["studies"] > 0


@pytest.mark.slow
def test_kia_learns_eight_real_studies_word_for_word(
    covid: str, tmp_path: Path, plugins: Discovered
) -> None:
    """A quarter of the variant's steps, which is enough, and no score but the words themselves."""
    steps = ["stages.align.steps=20", "stages.generate={steps: 80, evaluate_every: 80}"]
    unscored = ["evaluation={probes: false, baselines: false}"]
    session = load_recipe(
        "kia_graph", variants=["overfit"], overrides=[covid, *steps, *unscored], plugins=plugins
    )
    run = session.run(tmp_path / "run")

    written = {entry["id"]: entry["prediction"] for entry in predictions(run)}
    # a model learns cleaned reports; references are as they stand in the data
    cleaned = cleaner(run.folder.record["data"]["cleaning"])
    wanted = {entry["id"]: cleaned(entry["reference"]) for entry in predictions(run)}
    assert len(wanted) == 8
    assert written == wanted
