"""No block of the documents slips through: each is run, parsed, or says why it is not run."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from rrgcore.cli import make_app

from .pages import PAGES, REPOSITORY, Block, commands_of, fences, name_of, prose, read

BLOCKS = [block for page in PAGES for block in fences(page)]
PYTHON, BASH, TOML = (
    [block for block in BLOCKS if block.language == name] for name in ("python", "bash", "toml")
)
COMMANDS = dict(commands_of(typer.main.get_command(make_app())))
OF_RRG = {"--help", "-h", "--version", "--install-completion", "--show-completion"}
PROJECT = tomllib.loads(read(REPOSITORY / "pyproject.toml"))
TESTED = {"bash", "python", "yaml", "json", "toml"}
"""Languages whose blocks are run or parsed, here or in test_examples.py."""
SHOWN = {"", "text"}
"""Blocks that show what a command says, or what a folder holds: nothing to run."""


def place(block: Block) -> str:
    return block.place


# ---- every block -----------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS, ids=place)
def test_a_block_is_of_a_language_that_is_tested(block: Block) -> None:
    assert block.language in TESTED | SHOWN
    if block.language in SHOWN and block.not_run is None:
        code = re.findall(
            r"^(?:\$ |rrg |pip |python3? |import |from \w+ import ).*", block.text, re.M
        )
        assert not code, "code that no test looks at: name the language, or why it is not run"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.not_run is not None], ids=place)
def test_a_block_that_is_not_run_says_why(block: Block) -> None:
    assert re.fullmatch(r": \S.{10,} -->", block.not_run or ""), block.not_run


@pytest.mark.parametrize("block", PYTHON, ids=place)
def test_python_is_python_run_or_not(block: Block) -> None:
    compile(block.text, block.place, "exec")


@pytest.mark.parametrize("block", TOML, ids=place)
def test_toml_is_toml(block: Block) -> None:
    tomllib.loads(block.text)


def test_bash_is_bash() -> None:
    script = "\n".join(f": {shlex.quote(b.place)}\n{b.text}" for b in BASH)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


# ---- every line of a command -----------------------------------------------------------------


def lines(block: Block) -> Iterator[list[str]]:
    """Iterate over the words of each command of a block; `a && b` and `a | b` are two."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            del words[0]
        command: list[str] = []
        for word in words:
            if word in ("&&", "|"):
                yield command
                command = []
            else:
                command.append(word)
        if command:
            yield command


@pytest.mark.parametrize("block", BASH, ids=place)
def test_a_line_is_a_command_that_is_known(block: Block) -> None:
    for words in lines(block):
        match words:
            case ["rrg", *rest]:
                check_command(rest)
            case ["python3", "-m", "venv", ".venv"] | [".", ".venv/bin/activate"]:
                pass
            case ["pip", "install", *what]:
                check_installed(what)
            case ["pytest", *rest]:
                check_pytest(rest)
            case ["python", script, *_] if (REPOSITORY / script).is_file():
                compile(read(REPOSITORY / script), script, "exec")
            case ["export", setting]:
                assert re.fullmatch(r"\w+=\S+", setting)
            case [script] if (REPOSITORY / script).is_file():
                pass
            case _:
                assert block.not_run is not None, f"no test knows what this is: {words}"


def check_command(words: list[str]) -> None:
    """Let the command's own parser read the words."""
    if words[0] in OF_RRG:
        return
    length = next(n for n in (2, 1) if " ".join(words[:n]) in COMMANDS)
    name = " ".join(words[:length])
    COMMANDS[name].make_context(name, words[length:])


def check_installed(what: list[str]) -> None:
    """A folder has a project; an extra is one of ours."""
    for word in what:
        path, _, extras = word.removesuffix("]").partition("[")
        ours = PROJECT["project"]["optional-dependencies"]
        if path in (".", "rrg"):
            assert set(filter(None, extras.split(","))) <= set(ours), word
        elif not word.startswith("-"):
            assert (REPOSITORY / path / "pyproject.toml").is_file(), word


def check_pytest(words: list[str]) -> None:
    """Files are there, and markers are ours."""
    ours = {
        marker.partition(":")[0] for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]
    }
    for word in words:
        if word.startswith("tests"):
            assert (REPOSITORY / word).exists(), word
        elif not word.startswith("-") and not word.isdigit():
            assert set(re.findall(r"\w+", word)) - {"not", "or", "and"} <= ours, word


# ---- commands in the middle of a sentence ----------------------------------------------------


def said(page: Path) -> list[str]:
    """Commands that a page names in backticks, with their options."""
    return [found for found in re.findall(r"`(rrg [^`]+)`", prose(page)) if "…" not in found]


@pytest.mark.parametrize("page", [page for page in PAGES if said(page)], ids=name_of)
def test_a_command_in_a_sentence_has_the_options_that_it_is_said_to_have(page: Path) -> None:
    for found in said(page):
        words = shlex.split(found.replace("[", "").replace("]", ""))[1:]
        flags = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        if words[0].isupper() or words[0].startswith("-"):
            assert set(flags) <= OF_RRG
            continue
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), None)
        assert name, f"`{found}`: there is no such command"
        assert set(flags) - options_of(COMMANDS[name]) - {"--debug", "--help"} == set(), found


def options_of(command: Any) -> set[str]:
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
