"""The file of predictions: it grows, and goes on where it was stopped."""

import csv
import json
from pathlib import Path

import pytest

from rrgcore.errors import RunError, UserError
from rrgcore.prediction.notices import Notice
from rrgcore.prediction.output import COLUMNS, opened
from rrgcore.prediction.written import Origin, Written

ORIGIN = Origin("runs/a", "r" * 64, "c" * 64, "0.1.0", "2.6", {"kia": "rrg 0.1.0"})


def written(id: str, report: str = "the lungs are clear .") -> Written:
    words = tuple((word, 0.5) for word in report.split())
    warnings = (Notice("prior", "says “stable”"),)
    return Written(id, report, -0.25, words, 0.75, warnings, (f"{id}.png",), ("0" * 64,))


def write(path: Path, *rows: Written, origin: Origin = ORIGIN) -> frozenset[str]:
    with opened(path, origin) as output:
        output.append(rows)
        return frozenset(output.rows)


@pytest.fixture(params=["out.jsonl", "out.csv"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_what_was_written_is_known_the_next_time(path: Path) -> None:
    assert write(path, written("a"), Written.failed("b", "image b: is damaged")) == frozenset()
    assert write(path, written("c")) == {"a", "b"}
    assert write(path) == {"a", "b", "c"}


def test_a_torn_last_line_is_cut_off_and_written_again(path: Path) -> None:
    write(path, written("a"), written("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])

    assert write(path, written("b")) == {"a"}
    assert path.read_bytes() == whole


def test_a_file_that_was_stopped_before_its_first_row_is_begun_anew(path: Path) -> None:
    write(path, written("a"))
    whole = path.read_bytes()
    path.write_bytes(whole[:5])

    write(path, written("a"))
    assert path.read_bytes() == whole


@pytest.mark.parametrize(("recipe", "checkpoint"), [("x", "c"), ("r", "x")])
def test_another_run_s_file_is_refused(path: Path, recipe: str, checkpoint: str) -> None:
    write(path, written("a"))
    other = Origin("runs/b", recipe * 64, checkpoint * 64, "0.1.0", "2.6", {})
    before = path.read_bytes()

    with pytest.raises(RunError, match="was begun with another run"):
        write(path, written("b"), origin=other)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["hello\n", '{"id": "a", "report": "x"}\n', "id,report\na,x\n"])
def test_a_file_of_something_else_is_refused_and_left_alone(path: Path, text: str) -> None:
    path.write_text(text)

    with pytest.raises(RunError, match=path.name):
        write(path, written("a"))
    assert path.read_text() == text


def test_a_name_that_says_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.jsonl, \.ndjson, \.csv"):
        write(tmp_path / "out.txt", written("a"))


def test_two_do_not_write_to_one_file(path: Path) -> None:
    with opened(path, ORIGIN), pytest.raises(RunError, match="is in use"), opened(path, ORIGIN):
        pass
    assert [each.name for each in path.parent.iterdir()] == []


def test_a_json_row_has_everything(tmp_path: Path) -> None:
    write(tmp_path / "o.jsonl", written("a"), Written.failed("b", "is damaged"))
    first, second = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())

    assert first == {
        "id": "a",
        "report": "the lungs are clear .",
        "confidence": 0.75,
        "logprob": -0.25,
        "warnings": [{"kind": "prior", "text": "says “stable”"}],
        "words": [["the", 0.5], ["lungs", 0.5], ["are", 0.5], ["clear", 0.5], [".", 0.5]],
        "images": ["a.png"],
        "sha256": ["0" * 64],
        "provenance": {
            "run": "runs/a",
            "recipe": "r" * 64,
            "checkpoint": "c" * 64,
            "rrg": "0.1.0",
            "torch": "2.6",
            "plugins": {"kia": "rrg 0.1.0"},
        },
    }
    assert second == {"id": "b", "error": "is damaged", "provenance": first["provenance"]}


def test_a_csv_row_is_a_line_whatever_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    write(path, written("a", 'the "left",\nlung'), written("b"))
    lines = path.read_text().splitlines()
    rows = list(csv.DictReader(lines))

    assert len(lines) == 3
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["report"] == 'the "left", lung'
    assert rows[0]["warnings"] == "prior: says “stable”"
    assert rows[0]["versions"] == "rrg 0.1.0, torch 2.6, plugins of rrg 0.1.0: kia"
    assert write(path) == {"a", "b"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a place where no file can be made")
def test_where_nothing_can_be_written_that_is_said() -> None:
    with pytest.raises(UserError, match=r"/proc/o\.jsonl cannot be written .*--out"):
        write(Path("/proc/o.jsonl"), written("a"))
