"""The pages for authors of plugins: the example's own files, the one hook, what is checked."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import rrgcore
from rrgcore import api, discover, testing
from rrgcore.plugins import GROUP, Hooks
from rrgcore.registry import KINDS, Component, base_of
from rrgcore.testing import check_component

from .pages import code, read, rows

DOCS = Path(__file__).resolve().parents[2] / "docs"
HELLO = DOCS / "examples" / "rrg-hello"
WRITING, TESTING, HOOKS = (
    (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for name in ("writing_a_plugin", "testing_a_plugin", "hooks")
)
FILES = [
    path.relative_to(HELLO).as_posix()
    for path in sorted(HELLO.rglob("*"))
    if path.suffix in (".py", ".toml") and not {"build", ".venv"} & set(path.parts)
]


def cells(page: str, header: str) -> list[list[str]]:
    """The rows of the table with a header."""
    (body,) = re.findall(rf"^{re.escape(header)}\n\|[-| ]+\|\n((?:\|.*\|\n)+)", page, re.M)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in body.splitlines()]


# ---- the example ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_the_tutorial_has_the_example_s_file_word_for_word(name: str) -> None:
    marked = rf"<!-- not run: rrg-hello/{re.escape(name)},[^\n]*-->\n"
    found = re.findall(rf"{marked}```\w+\n(.*?)```\n", WRITING, re.S)
    assert found == [(HELLO / name).read_text(encoding="utf-8")], (
        f"docs/writing_a_plugin.md has another {name} than docs/examples/rrg-hello"
    )


@pytest.fixture
def my_idea(tmp_path: Path) -> Iterator[Path]:
    """The plugin in one file, as the tutorial has it."""
    (source,) = re.findall(r"```python\n(.*?class GatedAdapter.*?)```", WRITING, re.S)
    path = tmp_path / "my_idea.py"
    path.write_text(source, encoding="utf-8")
    yield path
    sys.modules.pop("my_idea", None)


def test_the_plugin_in_one_file_keeps_its_contract(my_idea: Path) -> None:
    check_component("adapter", "my_idea.adapter", plugins=discover(files=[my_idea]))


def test_without_the_mask_it_is_told_what_the_page_says(my_idea: Path) -> None:
    source = my_idea.read_text(encoding="utf-8")
    my_idea.write_text(source.replace(", image.mask)", ")"), encoding="utf-8")
    with pytest.raises(AssertionError) as caught:
        check_component("adapter", "my_idea.adapter", plugins=discover(files=[my_idea]))
    assert f"```\n{caught.value}\n```" in TESTING


# ---- hooks ----------------------------------------------------------------------------------


def test_each_hook_has_its_signature_for_a_heading_and_its_docstring_below() -> None:
    hooks = {name: hook for name, hook in vars(Hooks).items() if not name.startswith("_")}
    headings = [
        f"## {name}({', '.join(list(inspect.signature(hook).parameters)[1:])})\n\n{hook.__doc__}"
        for name, hook in hooks.items()
    ]
    assert len(headings) == 1
    assert all(heading in HOOKS for heading in headings)


def test_the_fields_of_a_component_are_the_table() -> None:
    table = cells(HOOKS, "| field | what it is |")
    assert [row[0].strip("`") for row in table] == [field.name for field in fields(Component)]
    assert all(kind in table[0][1] for kind in KINDS)


def test_the_interface_s_version_and_the_group_are_the_code() -> None:
    assert f"`RRG_API = {api.VERSION}`" in HOOKS
    assert f"`{GROUP}`" in HOOKS
    assert f'[project.entry-points."{GROUP}"]' in WRITING


def test_names_of_before_are_those_that_the_page_says() -> None:
    page = DOCS / "plugin_versions.md"
    table = rows(read(page), "in", "was", "is", "gone in")
    assert {code(was)[0]: code(now)[0] for _, was, now, _ in table} == {
        name: renamed.now for name, renamed in api.RENAMED.items()
    }
    said = "No name is deprecated today." in read(page)
    assert said is (not api.RENAMED)


def test_every_version_of_the_interface_is_listed() -> None:
    table = rows(read(DOCS / "plugin_versions.md"), "`VERSION`", "rrg")
    assert [int(version) for version, _ in table] == list(range(1, api.VERSION + 1))


def test_what_is_public_is_there() -> None:
    table = rows(read(DOCS / "plugin_versions.md"), "", "where", "changes")
    named = [name for _, where, _ in table for name in code(where)]
    assert {name for name in named if name in rrgcore.__all__} == {
        name for name in rrgcore.__all__ if not name.startswith("_")
    }
    for name in named:
        if name.startswith("rrgcore."):
            module, _, last = name.rpartition(".")
            assert (
                importlib.util.find_spec(name)
                if last.islower()
                else hasattr(importlib.import_module(module), last)
            )


@pytest.mark.parametrize("word", ["--plugin", "--no-plugin", "RRG_TRACE_PLUGINS=1"])
def test_the_ways_to_choose_plugins_are_documented(word: str) -> None:
    assert f"`{word}" in HOOKS


# ---- what to write and what is checked ------------------------------------------------------


def test_each_class_is_listed_with_what_it_must_define() -> None:
    table = cells(WRITING, "| kind | class to inherit | what it must define |")
    assert list(dict.fromkeys(row[0] for row in table)) == list(KINDS)
    for kind, name, wanted in table:
        cls = getattr(api, name.strip("`"))
        assert issubclass(cls, base_of(kind))
        written = dict(re.findall(r"`(\w+)\((.*?)\)`", wanted))
        assert set(written) == set(cls.__abstractmethods__), name
        for method, arguments in written.items():
            parameters = list(inspect.signature(getattr(cls, method)).parameters.values())[1:]
            named = [p.name for p in parameters]
            keyword = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
            if keyword:
                named.insert(named.index(keyword[0]), "*")
            assert arguments == ", ".join(named), f"{name}.{method}"
        attributes = set(re.findall(r"`(\w+)`", wanted))
        assert attributes <= set(inspect.get_annotations(cls)), name


def test_each_kind_s_checks_are_described() -> None:
    assert [row[0] for row in cells(TESTING, "| kind | and |")] == list(KINDS)


def test_each_helper_is_described() -> None:
    assert {name for name in testing.__all__ if f"`{name}" not in TESTING} == set()


def test_each_argument_of_check_component_is_described() -> None:
    table = {row[0].strip("`") for row in cells(TESTING, "| argument | what it does |")}
    parameters = inspect.signature(check_component).parameters.values()
    assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} <= table
