"""Completion as a shell asks for it: by the protocol of typer's scripts, in its own process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from rrgcore.cli import make_app
from rrgcore.cli.completing import ARGUMENTS, OPTIONS

ROOT = Path(__file__).parent.parent.parent
ASK = (
    "import sys; sys.argv[0] = 'rrg'; import rrgcore.cli as c\n"
    "try:\n    c.main()\n"
    "finally:\n    assert 'torch' not in sys.modules, 'completion imported torch'"
)


def environment(shell: str, line: str) -> dict[str, str]:
    """What the scripts of `rrg --show-completion` set."""
    words = line.split(" ")
    said = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    return {**os.environ, "PYTHONPATH": path, "_RRG_COMPLETE": f"complete_{shell}", **said}


@pytest.fixture
def complete(tmp_path: Path) -> Callable[..., str]:
    """Ask what completes a line, in an empty folder."""

    def ask(line: str, shell: str = "bash") -> str:
        answer = subprocess.run(
            [sys.executable, "-c", ASK],
            cwd=tmp_path,
            env=environment(shell, line),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.stderr == ""
        return answer.stdout

    return ask


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_recipes_are_completed_in_every_shell(shell: str, complete: Callable[..., str]) -> None:
    said = complete("rrg run kia_", shell)
    assert "kia_graph" in said
    assert "kia_label" in said
    assert "cmeaa" not in said


def test_a_mistake_on_the_line_completes_nothing_and_says_nothing(
    complete: Callable[..., str],
) -> None:
    assert complete("rrg run kia_grap --variant ").strip() == ""


def test_completion_costs_less_than_four_tenths_of_a_second(tmp_path: Path) -> None:
    """Of a processor's time: others may keep it busy here."""

    def seconds() -> float:
        before = os.times()
        subprocess.run(
            [sys.executable, "-c", ASK],
            cwd=tmp_path,
            env=environment("bash", "rrg run kia_graph --variant i"),
            capture_output=True,
            timeout=60,
            check=False,
        )
        after = os.times()
        return after.children_user - before.children_user

    assert min(seconds() for _ in range(2)) < 0.4


# ---- the rest, in this process ---------------------------------------------------------------


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> Callable[..., list[str]]:
    """The same without a process each: what bash is given."""
    monkeypatch.chdir(tmp_path)

    def ask(line: str) -> list[str]:
        for name, value in environment("bash", line).items():
            if name.startswith(("COMP_", "_RRG")):
                monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit):
            make_app()([], prog_name="rrg", standalone_mode=False)
        monkeypatch.delenv("_RRG_COMPLETE")
        return capsys.readouterr().out.split()

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rrg run kia_graph --variant iu_xray_", ["iu_xray_one_trunk", "iu_xray_unshared"]),
        ("rrg show kia_graph -v til", []),
        ("rrg ablate kia_graph --variants without_", ["without_mim", "without_mlm"]),
        ("rrg ablate kia_graph --variants full,without_mi", ["full,without_mim"]),
        ("rrg ablate kia_table3", ["kia_table3"]),
        ("rrg explain run --figure retr", ["retrieval"]),
        ("rrg run kia_graph objectives.ml", ["objectives.mlm."]),
        ("rrg run kia_graph objectives.mlm.masking=gr", ["objectives.mlm.masking=graph"]),
        ("rrg check kia_gr", ["kia_graph"]),
        ("rrg list mas", ["masking"]),
        ("rrg score mine.jsonl --protocol r2gen-", ["r2gen-full"]),
        ("rrg compare a.jsonl -p cxr", ["cxrmate"]),
        ("rrg score mine.jsonl --labeler ru", ["rules"]),
        ("rrg score mine.jsonl --set coc", ["coco."]),
        ("rrg annotate atlas phantom --set atl", ["atlas."]),
        ("rrg plugins --no-plugin pha", ["phantom"]),
        ("rrg data build iu", ["iu_xray"]),
        ("rrg data check r2", ["r2gen"]),
        ("rrg data export pha", ["phantom"]),
        ("rrg annotate atl", ["atlas"]),
        ("rrg evaluate run --split te", ["test"]),
        ("rrg run kia_graph --track tens", ["tensorboard"]),
        ("rrg doctor cme", ["cmeaa"]),
    ],
)
def test_each_thing_is_completed_where_it_is_named(
    line: str, expected: list[str], words: Callable[..., list[str]]
) -> None:
    assert words(line) == expected


def test_run_folders_are_found_wherever_they_are(
    words: Callable[..., list[str]], tmp_path: Path
) -> None:
    for name in ("runs/kia_graph/2026-01-01_00-00-00", "runs/ablations/kia/full/seed-0", "mine"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "mine" / "artefacts" / "given").mkdir(parents=True)
    assert sorted(words("rrg predict ")) == [
        "mine",
        "runs/ablations/kia/full/seed-0",
        "runs/kia_graph/2026-01-01_00-00-00",
    ]
    assert words("rrg export runs/k") == ["runs/kia_graph/2026-01-01_00-00-00"]


def test_recipe_files_are_completed_beside_recipes(
    words: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("extends: kia_graph\nvariants: {own: {seed: 1}}\n")
    (tmp_path / "notes.txt").touch()
    assert words("rrg run min") == ["mine.yaml"]
    assert "own" in words("rrg run mine.yaml --variant ow")


def test_every_argument_of_a_known_name_is_completed() -> None:
    """Also those of commands that were added later: by what they call their arguments."""

    def params(command: Any) -> Any:
        yield from command.params
        for sub in getattr(command, "commands", {}).values():
            yield from params(sub)

    for param in params(typer.main.get_command(make_app())):
        option = param.param_type_name == "option"
        names = [param.metavar, *param.opts] if option else [param.metavar or param.name]
        if any(name in (OPTIONS if option else ARGUMENTS) for name in names):
            assert param._custom_shell_complete is not None, param.opts
