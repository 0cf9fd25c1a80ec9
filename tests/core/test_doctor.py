"""The doctor: a line for each thing, never a traceback, never a wait without end."""

import json
import time
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from rrgcore.doctor import examine, examine_recipe, machine, software
from rrgcore.doctor.finding import Finding
from rrgcore.doctor.timed import looked_at

TINY = Path(__file__).parent.parent / "tiny.yaml"
Rrg = Callable[..., Any]


def states(findings: Any) -> dict[str, str]:
    return {each.part: each.state for each in findings}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch is asked in a process of its own, which takes seconds: here it has answered."""
    answer = {"version": "2", "threads": 1, "devices": []}
    monkeypatch.setattr(software, "_TORCH", f"print({json.dumps(answer)!r})")


# ---- a look that hangs or fails -------------------------------------------------------------


def test_a_part_that_hangs_is_left_and_said_to() -> None:
    def hangs() -> Iterator[Finding]:
        time.sleep(60)
        yield Finding("never", "ok", "")

    began = time.monotonic()
    (found,) = looked_at("a disk", hangs, 0.1)
    assert time.monotonic() - began < 5
    assert (found.part, found.state) == ("a disk", "broken")
    assert "within 0.1 seconds" in found.text


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt()])
def test_a_part_that_fails_is_a_finding(error: BaseException) -> None:
    def fails() -> Iterator[Finding]:
        yield Finding("before", "ok", "")
        raise error

    found = looked_at("a part", fails, 5.0)
    assert states(found) == {"before": "ok", "a part": "broken"}
    assert type(error).__name__ in found[1].text


# ---- the machine ----------------------------------------------------------------------------


def test_this_machine_is_looked_at(quick: None) -> None:
    found = list(examine())
    parts = states(found)
    for part in ("Python", "packages", "torch", "memory", "processors", "clock", "plugins"):
        assert parts[part] == "ok" or part == "memory", [f for f in found if f.part == part]
    assert {"Java", "locale", "disk for runs", "plugin phantom"} <= parts.keys()
    assert parts["weights bert-base-uncased"] in ("ok", "missing")
    assert all(each.remedy for each in found if each.state == "missing")


def test_a_folder_that_may_not_be_written_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRG_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").touch()
    parts = states(machine.disks())
    assert parts["disk for decoded images"] == "broken"
    assert parts["disk for runs"] in ("ok", "missing")
    monkeypatch.setenv("RRG_CACHE", "off")
    assert states(machine.disks())["disk for decoded images"] == "missing"


def test_a_clock_before_rrg_was_installed_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    assert states(machine.clock()) == {"clock": "broken"}


def test_more_threads_than_cores_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    (found,) = machine.processors()
    assert found.state == "missing"
    assert "export OMP_NUM_THREADS=" in found.remedy


# ---- the software ---------------------------------------------------------------------------


def test_a_torch_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "_TORCH", "raise ImportError('libcuda is not there')")
    (found,) = software.torch(20.0)
    assert (found.state, found.text) == ("broken", "ImportError: libcuda is not there")


def test_a_torch_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "_TORCH", "import time; time.sleep(60)")
    (found,) = software.torch(1.0)
    assert found.state == "broken"
    assert "within 1 seconds" in found.text


@pytest.mark.parametrize(
    ("script", "said"), [("exit 1", "fails"), ("echo openjdk version 17", "openjdk version 17")]
)
def test_java_is_asked(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "java").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = software.java(20.0)
    assert said in found.text
    monkeypatch.setenv("PATH", "")
    (found,) = software.java(20.0)
    assert (found.state, found.text) == ("missing", "not on the PATH")


def test_a_package_that_is_missing_or_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["nonesuch-of-rrg>=1", "numpy>=999", 'numpy>=1; extra == "llm"']
    monkeypatch.setattr(software, "requires", lambda name: wanted)
    (found,) = software.packages()
    assert found.state == "broken"
    assert "nonesuch-of-rrg is not installed" in found.text
    assert "numpy is" in found.text


def test_each_plugin_is_loaded_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    good = EntryPoint("phantom", "rrg_phantom.plugin", "rrg.plugins")
    bad = EntryPoint("broken", "nonesuch_of_rrg", "rrg.plugins")
    hangs = EntryPoint("hangs", "hangs_of_rrg", "rrg.plugins")
    (tmp_path / "hangs_of_rrg.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(software, "entry_points", lambda group: [good, bad, hangs])
    found = [f for name, look in software.plugins([], []) for f in looked_at(name, look, 1.0)]
    found = [each for each in found if each.part != "checkout"]
    assert states(found) == {
        "plugin phantom": "ok",
        "plugin broken": "broken",
        "plugin hangs": "broken",
        "plugins": "ok",
    }
    assert "--no-plugin broken" in next(f.remedy for f in found if f.part == "plugin broken")


def test_a_checkout_that_has_a_plugin_of_a_later_commit_is_to_be_installed_again(
    tmp_path: Path,
) -> None:
    assert list(software.stale(tmp_path)) == list(software.stale()) == []
    entries = '[project.entry-points."rrg.plugins"]\nkia = "rrg_kia"\nlater = "rrg_later"\n'
    (tmp_path / "pyproject.toml").write_text(entries)
    (found,) = software.stale(tmp_path)
    assert (found.state, found.remedy) == ("broken", f"pip install -e {tmp_path}")
    assert "not installed: later" in found.text


# ---- a recipe -------------------------------------------------------------------------------


def test_a_recipe_that_needs_nothing_is_well() -> None:
    found = list(examine_recipe(str(TINY)))
    assert {each.state for each in found} == {"ok"}, found
    assert "10 train, 3 val, 4 test" in next(f.text for f in found if f.part == "data")


@pytest.mark.slow  # the paper's model is assembled, without values
def test_a_recipe_s_needs_are_listed_though_its_variable_is_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RRG_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    found = list(examine_recipe("kia_graph", variants=["iu_xray"]))
    assert any("RRG_DATA" in each.text for each in found if each.state == "broken")
    weights = next(f for f in found if f.part == "weights bert-base-uncased")
    assert weights.state == "broken"
    assert "hf download bert-base-uncased" in weights.remedy
    assert "Apache-2.0" in weights.remedy


def test_a_recipe_that_is_none_is_a_finding() -> None:
    (found,) = examine_recipe("kia_grap")
    assert found.state == "broken"
    assert "Did you mean 'kia_graph'?" in found.text


# ---- the command ----------------------------------------------------------------------------


def test_the_command_prints_lines_or_json(rrg: Rrg, quick: None) -> None:
    answer = rrg("doctor")
    assert answer.code == 0, answer.out
    assert "ok      Python: " in answer.out
    assert "missing device: no accelerator" in answer.out
    found = json.loads(rrg("doctor", "--json").out)
    assert found["broken"] == 0
    assert {"part", "state", "text", "remedy"} == found["findings"][0].keys()


def test_what_is_needed_and_broken_ends_with_status_one(
    rrg: Rrg, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = EntryPoint("broken", "nonesuch_of_rrg", "rrg.plugins")
    monkeypatch.setattr(software, "entry_points", lambda group: [bad])
    answer = rrg("doctor")
    assert answer.code == 1
    assert "broken  plugin broken:" in answer.out
    assert "Traceback" not in answer.out + answer.err


def test_a_plugin_file_that_fails_is_named_beside_those_that_do_not(
    rrg: Rrg, quick: None, tmp_path: Path
) -> None:
    (tmp_path / "bad_idea.py").write_text("raise RuntimeError('half an idea')\n")
    answer = rrg("doctor", "--plugin", tmp_path / "bad_idea.py")
    assert answer.code == 1
    assert "half an idea" in answer.out
    assert "go without it: leave out --plugin" in answer.out
    assert "ok      plugin phantom" in answer.out
