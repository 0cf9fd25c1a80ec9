"""A command starts with what it needs: not with torch, and not with the other commands."""

import subprocess
import sys
from importlib import import_module

import pytest
import typer

from rrgcore.cli import COMMANDS, make_app


def names_of(app: typer.Typer) -> list[str]:
    commands = [str(command.name) for command in app.registered_commands]
    return commands + [str(group.name) for group in app.registered_groups]


@pytest.mark.parametrize("module", dict.fromkeys(COMMANDS.values()))
def test_a_module_has_the_commands_that_are_said_to_be_in_it(module: str) -> None:
    app = typer.Typer()
    import_module(f"rrgcore.cli.{module}").register(app)
    assert names_of(app) == [name for name, where in COMMANDS.items() if where == module]


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["lst"], ["--help", "list"]])
def test_where_no_command_comes_first_there_are_all(words: list[str]) -> None:
    assert set(names_of(make_app(words))) == set(COMMANDS)


def test_a_command_is_there_with_those_of_its_module_alone() -> None:
    assert names_of(make_app(["list", "--help"])) == ["list", "plugins"]


def test_to_list_imports_neither_torch_nor_recipes_nor_other_commands() -> None:
    code = (
        "import sys\nfrom rrgcore.cli import make_app\n"
        "make_app(['list'])(['list', 'encoders'], standalone_mode=False)\n"
        "wrong = {'torch', 'yaml', 'rrgcore.recipe', 'rrgcore.cli.running'} & {*sys.modules}\n"
        "assert not wrong, wrong"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
