"""The tables of ablations on the papers' pages are those that were measured."""

import json
from typing import Any

import pytest

from rrgcore.ablation.average import NLG, average_change

from .pages import DOCS

TABLES = {"cmeaa": "cmeaa_table2", "kia": "kia_table3"}
AVERAGED = {
    "cmeaa": ("coco.BLEU-1", "coco.BLEU-4", "coco.ROUGE-L"),
    "kia": tuple(f"coco.{name}" for name in NLG),
}


@pytest.fixture(params=TABLES)
def paper(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def measured(paper: str) -> Any:
    return json.loads((DOCS / "papers" / "measured" / f"{TABLES[paper]}.json").read_text())


@pytest.fixture
def rows(paper: str) -> list[list[str]]:
    lines = (DOCS / "papers" / f"{paper}.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]


def shown(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")


def test_every_figure_is_as_it_came_out(measured: Any, rows: list[list[str]]) -> None:
    for line in measured["lines"]:
        found = [row for row in rows if row[0].endswith(f"`{line['label']}`") and "±" in row[1]]
        figures = [line["figures"][name] for name in measured["metrics"]]
        [cells] = [row[1 : 1 + len(figures)] for row in found]
        assert cells == [f"{each['value']:.3f} ± {each['deviation']:.3f}" for each in figures]
        assert line["seeds"] == [0, 1, 2]


def test_every_difference_is_as_it_came_out(measured: Any, rows: list[list[str]]) -> None:
    for line in measured["lines"]:
        if not line["changes"]:
            continue
        [cells] = [row[1:] for row in rows if row[0].startswith(f"`{line['label']}` −")]
        changes = [line["changes"][name] for name in measured["metrics"]]
        assert cells == [
            f"{shown(each['value'])} [{shown(each['low'])}, {shown(each['high'])}]"
            for each in changes
        ]


def test_the_average_is_the_paper_s(paper: str, measured: Any, rows: list[list[str]]) -> None:
    lines = {line["label"]: line["figures"] for line in measured["lines"]}
    values = {
        label: {name: figures[name]["value"] for name in AVERAGED[paper]}
        for label, figures in lines.items()
    }
    reference = values.pop(measured["reference"])
    for label, own in values.items():
        [row] = [row for row in rows if row[0].endswith(f"`{label}`") and "±" in row[1]]
        average = average_change(own, reference, AVERAGED[paper])
        assert average is not None
        assert f"{average:+.1%}".replace("-", "−").replace("%", " %") in " ".join(row)


ONE_SEED = {"kia_table2": "kia", "kia_table4": "kia", "kia_table5": "kia", "cmeaa_table3": "cmeaa"}


@pytest.mark.parametrize("table", ONE_SEED)
def test_every_figure_of_one_seed_is_as_it_came_out(table: str) -> None:
    measured = json.loads((DOCS / "papers" / "measured" / f"{table}.json").read_text())
    page = (DOCS / "papers" / f"{ONE_SEED[table]}.md").read_text(encoding="utf-8")
    section = page.partition(f"rrg ablate {table} --seeds 1")[2].partition("\n#")[0]
    found = [line for line in section.splitlines() if line.startswith("|") and "[" in line]
    finished = [line for line in measured["lines"] if line["seeds"]]
    assert len(found) == len(finished) > 0
    for text, line in zip(found, finished, strict=True):
        label, *cells, _ = [cell.strip() for cell in text.split("|")[1:-1]]
        assert label == f"{line['label']} `{'+'.join(line['variants']) or 'full'}`"
        figures = {
            f"{each['value']:.3f} [{each['interval']['low']:.3f}, {each['interval']['high']:.3f}]"
            for each in line["figures"].values()
        }
        assert {*cells} <= figures
