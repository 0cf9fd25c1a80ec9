"""What the documents say is what the code does."""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import typer
import yaml

import rrgcore
from rrgcore import api
from rrgcore.cli import make_app
from rrgcore.plugins import GROUP, Discovered
from rrgcore.registry import KINDS, base_of
from rrgcore.signatures import WIRING

from .pages import (
    DOCS,
    PAGES,
    README,
    REPOSITORY,
    anchors,
    code,
    commands_of,
    name_of,
    prose,
    read,
    rows,
    section,
)

VENV = "python3 -m venv .venv && . .venv/bin/activate && "
SETUP = (
    f"{VENV}pip install . && rrg run recipes/kia_graph.yaml",
    f"{VENV}pip install '.[test]' && pytest",
)
COMMANDS = dict(commands_of(typer.main.get_command(make_app())))


# ---- pages as such --------------------------------------------------------------------------


def test_the_readme_has_exactly_two_set_up_commands():
    lines = read(README).splitlines()
    assert tuple(line for line in lines if "pip install ." in line or "venv" in line) == SETUP


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target}: there is no {found}"
        if anchor and found.suffix == ".py":
            assert int(anchor.removeprefix("L")) <= len(read(found).splitlines()), target
        elif anchor:
            assert anchor in anchors(found), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_knows_a_machine(page: Path):
    assert not re.findall(r"(?<![\w.])/(?:home|root|tmp|Users|work|mnt|opt|var)/\S*", read(page))


def test_the_navigation_has_every_page_once():
    def leaves(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for item in entry.values() if isinstance(entry, Mapping) else entry:
                yield from leaves(item)

    nav = sorted(leaves(yaml.safe_load(read(REPOSITORY / "mkdocs.yml"))["nav"]))
    assert nav == sorted(p.relative_to(DOCS).as_posix() for p in PAGES if DOCS in p.parents)


def test_decisions_are_listed_and_say_what_they_must():
    pages = sorted(page for page in DOCS.glob("decisions/*.md") if page.stem != "index")
    assert [page.stem[:4] for page in pages] == [f"{n:04d}" for n in range(1, len(pages) + 1)]
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", read(DOCS / "decisions" / "index.md"))
    assert listed == [page.name for page in pages]
    for page in pages:
        assert re.findall(r"^\*\*(\w+)\.\*\*", read(page), re.M) == [
            "Context",
            "Decision",
            "Consequence",
        ], page.name


def test_decisions_that_code_names_exist():
    folders = [REPOSITORY / name for name in ("rrgcore", "plugins", "recipes")]
    files = [f for folder in folders for f in folder.rglob("*") if f.suffix in (".py", ".yaml")]
    named = {m for file in files for m in re.findall(r"docs/decisions/([\w-]+)", read(file))}
    assert named, "the recipe names the decision on its scale"
    for name in named:
        assert list(DOCS.glob(f"decisions/{name}*.md")), f"there is no docs/decisions/{name}"


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load(read(REPOSITORY / "CITATION.cff"))["version"] == rrgcore.__version__
    assert f"## {rrgcore.__version__}" in read(REPOSITORY / "CHANGELOG.md")


def test_the_readme_names_every_folder():
    tree = section(README, "## The folders")
    for parent in (REPOSITORY, REPOSITORY / "plugins"):
        for folder in parent.iterdir():
            if folder.is_dir() and any(folder.glob("*.py")):
                assert f"{folder.name}/" in tree, f"{folder.name} is not in the tree"


# ---- components -----------------------------------------------------------------------------


def test_components_are_those_that_are_listed(rrg: Callable[..., Any]):
    others = [p.name for p in entry_points(group=GROUP) if p.dist and p.dist.name != "rrg"]
    answer = rrg("list", "--markdown", *(f"--no-plugin={name}" for name in others))
    _, _, listed = read(DOCS / "components.md").partition("do not edit.\n")
    assert listed.strip() == answer.out.strip(), "run `rrg list --markdown` into docs/components.md"


def test_the_wiring_table_is_the_code():
    table = rows(read(DOCS / "concepts.md"), "argument", "comes from")
    assert {code(argument)[0]: source for argument, source in table} == dict(WIRING)


def test_the_kinds_are_the_code_s_and_their_classes_are_there():
    page = read(DOCS / "concepts.md")
    nouns = rows(page, "noun", "class", "what it does")
    assert [cell.strip("*") for cell, _, _ in nouns] == list(KINDS)[:5]
    others = rows(page, "kind", "class", "what it does")
    assert {kind for kind, _, _ in others} == set(KINDS) - set(list(KINDS)[:5])
    for kind, classes, _ in (*nouns, *others):
        found = [getattr(api, name) for name in code(classes)]
        assert found[0] is base_of(kind.strip("*"))
        assert all(issubclass(cls, found[0]) for cls in found)


def test_the_picture_is_what_its_script_draws_and_has_every_kind():
    drawn = run_path(str(DOCS / "images" / "make_concepts.py"))["make_picture"]()
    assert read(DOCS / "images" / "concepts.svg") == drawn, "run docs/images/make_concepts.py"
    bold = re.findall(r'font-weight="700">([^<]*)<', drawn)
    assert set(KINDS) <= set(bold)
    assert all(base_of(kind).__name__ in drawn for kind in KINDS)


def test_capabilities_are_offered_by_those_that_are_said_to(plugins: Discovered):
    header = ("capability", "meaning", "offered by", "asked for by")
    parts = [entry.component for entry in plugins.registry.entries()]
    # a stranger's, installed by chance, has a dot in its name
    found = {
        part: plugins.registry.get(part.kind, part.name) for part in parts if "." not in part.name
    }
    for capability, _, offered, asked in rows(read(DOCS / "concepts.md"), *header):
        wanted = getattr(api, code(capability)[0])
        assert {c.name for c, cls in found.items() if issubclass(cls, wanted)} == set(code(offered))
        asking = {
            c.name for c, cls in found.items() if wanted in getattr(cls, "requires", {}).values()
        }
        assert asking <= set(code(asked)) | {"check", "run"}, capability


# ---- commands -------------------------------------------------------------------------------


def test_every_command_has_a_section_and_no_other():
    headings = re.findall(r"^## (.*)$", prose(DOCS / "commands.md"), re.M)
    assert headings == [*COMMANDS, "The run folder", "Exit status"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented(name: str):
    page = DOCS / "commands.md"
    common = read(page).partition("\n## ")[0]
    own = section(page, f"## {name}")
    options = {
        o for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts) if "-" in o[:1]
    }
    assert options - set(code(own)) - set(code(common)) == set()
    documented = {o for row in rows_of_options(own) for o in code(row[0])}
    assert documented - options == set(), "options that the command does not have"


def rows_of_options(text: str) -> list[list[str]]:
    return rows(text, "option", "meaning") if "| option |" in text else []


def test_the_common_options_are_options_of_some_command():
    common = read(DOCS / "commands.md").partition("\n## ")[0]
    everything = {o for c in COMMANDS.values() for p in c.params for o in p.opts} | {"--help", "-h"}
    assert {o for row in rows_of_options(common) for o in code(row[0])} - everything == {"--debug"}


def test_every_file_of_a_run_is_told_of_where_patients_data_is():
    folder = rows(section(DOCS / "commands.md", "## The run folder"), "file", "what it is")
    table = rows(read(DOCS / "security.md"), "file", "what it holds", "to do without")
    told = [name for cell, _, _ in table for name in code(cell)]
    for cell, _ in folder:
        name = code(cell)[0]
        assert any(name.startswith(each) for each in told), f"docs/security.md passes over {name}"


# ---- phantoms -------------------------------------------------------------------------------


def test_the_contact_sheet_is_small_and_can_be_made_again(plugins: Discovered):
    import numpy as np
    from PIL import Image

    kept = DOCS / "images" / "phantoms.png"
    assert kept.stat().st_size < 300_000
    made = run_path(str(DOCS / "images" / "make_phantoms.py"))["make_sheet"]()
    with Image.open(kept) as image:
        assert image.size == made.size
        # captions may be set a little differently by another Pillow
        difference = np.abs(np.asarray(image, dtype=int) - np.asarray(made, dtype=int))
    assert difference.mean() < 3
