"""`--json` wherever a table or a summary is printed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from rrgcore.cli import make_app
from rrgcore.installed import list_recipes
from rrgcore.run import Run

TINY = Path(__file__).parent.parent / "tiny.yaml"
Rrg = Callable[..., Any]
NO_TABLE = {"predict", "ask", "schema", "plugin new", "page", "demo", "explain"}
"""They write files, or print JSON in any case."""


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_every_command_that_prints_a_table_prints_json_too() -> None:
    without = {
        name
        for name, command in commands(typer.main.get_command(make_app()))
        if not any("--json" in param.opts for param in command.params)
    }
    assert without <= NO_TABLE


def test_check_lists_what_is_wrong_with_each_recipe(rrg: Rrg) -> None:
    answer = rrg("check", TINY, "--no-images", "--json")
    assert answer.code == 0
    assert json.loads(answer.out) == [{"recipe": str(TINY), "variants": [], "problems": []}]
    answer = rrg("check", TINY, "--variant", "short", "data.batch_size=big", "--json")
    assert answer.code == 2
    (found,) = json.loads(answer.out)
    assert found["variants"] == ["short"]
    (problem,) = found["problems"]
    assert problem["address"] == "data.batch_size"
    assert "expected int, got 'big'" in problem["text"]


def test_recipes_are_listed(rrg: Rrg) -> None:
    assert json.loads(rrg("list", "recipes", "--json").out) == list(list_recipes())


def test_a_finished_run_prints_its_scores(finished: Run, rrg: Rrg) -> None:
    answer = rrg("run", finished.path / "recipe.yaml", "--out", finished.path, "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["scores"] == finished.scores
    assert found["run"] == str(finished.path)
    assert found["best"]["stage"] in finished.plan.stages


def test_an_export_of_data_says_how_it_is_read(rrg: Rrg) -> None:
    sizes = ("train=2", "val=1", "test=1", "image_size=32")
    found = json.loads(rrg("data", "export", "phantom", "few", *sizes, "--json").out)
    assert found["studies"] == {"train": 2, "val": 1, "test": 1}
    assert found["overrides"].startswith("data.name=r2gen data.root=few")
    assert "phantoms" in found["caution"]


def test_a_build_of_data_counts_what_was_left_out(rrg: Rrg, tmp_path: Path) -> None:
    from ..data.openi import write_openi

    write_openi(tmp_path / "openi")
    answer = rrg("data", "build", "iu_xray", tmp_path / "openi", "iu", "select=all", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["source"] == "iu_xray"
    assert sum(found["studies"].values()) > 0
    assert found["overrides"].startswith("data.name=r2gen")


def test_the_runs_of_an_ablation_are_listed(rrg: Rrg) -> None:
    rows = ("--variants", "full,short", "--seeds", "2", "--dry-run", "--json")
    found = json.loads(rrg("ablate", TINY, *rows).out)
    assert [Path(each["path"]).parts[-2:] for each in found] == [
        (row, seed) for row in ("full", "short") for seed in ("seed-0", "seed-1")
    ]
    assert {each["state"] for each in found} == {"new"}


@pytest.mark.parametrize("arguments", [["plugins"], ["list"], ["data", "cache"]])
def test_lists_are_objects(arguments: list[str], rrg: Rrg) -> None:
    assert json.loads(rrg(*arguments, "--json").out)
