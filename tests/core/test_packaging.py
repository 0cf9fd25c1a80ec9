"""What is installed: every package, every plugin, and the files that are no code."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import rrgcore
from rrgcore.plugins import GROUP

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "rrgcore", "plugins", "recipes")
PLUGINS = sorted(path.parent.name for path in REPOSITORY.glob("plugins/*/plugin.py"))


def tracked(folder: Path) -> set[str]:
    """The files below a folder that are no by-product."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built from a copy, so that no build leaves a trace in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        path = REPOSITORY / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy2(path, source / name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    with ZipFile(built) as archive:
        return set(archive.namelist())


def test_the_list_of_packages_is_the_folders() -> None:
    roots = {"rrgcore": "rrgcore", "recipes": "rrg_recipes"}
    roots |= {f"plugins/{path.name}": path.name for path in REPOSITORY.glob("plugins/*/")}
    found = {
        ".".join([package, *path.parent.relative_to(REPOSITORY / folder).parts])
        for folder, package in roots.items()
        for path in (REPOSITORY / folder).rglob("__init__.py")
    }
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(found)


def test_every_plugin_folder_has_its_entry_point() -> None:
    points = PROJECT["project"]["entry-points"][GROUP]
    assert points == {name.removeprefix("rrg_"): f"{name}.plugin" for name in PLUGINS}


def test_what_is_installed_is_what_is_declared() -> None:
    installed = {
        p.name: p.value for p in entry_points(group=GROUP) if p.dist and p.dist.name == "rrg"
    }
    assert installed == PROJECT["project"]["entry-points"][GROUP], (
        "a plugin folder was added or removed since: run `pip install -e .` again"
    )


def test_every_tool_knows_every_plugin() -> None:
    """Shape checks and import contracts name the packages one by one."""
    tool = PROJECT["tool"]
    (shapes,) = [o for o in tool["pytest"]["ini_options"]["addopts"] if "jaxtyping" in o]
    assert set(PLUGINS) <= set(re.split(r"[=,]", shapes))
    assert set(PLUGINS) <= set(tool["importlinter"]["root_packages"])
    for contract in tool["importlinter"]["contracts"]:
        listed = contract.get("forbidden_modules") or contract.get("modules")
        if contract["type"] in ("forbidden", "independence"):
            assert set(PLUGINS) <= set(listed), contract["name"]


def test_the_version_is_said_once_and_once_more() -> None:
    assert PROJECT["project"]["version"] == rrgcore.__version__


def test_a_wheel_has_recipes_atlas_and_the_mark_of_types(wheel: set[str]) -> None:
    recipes = {n for n in tracked(REPOSITORY / "recipes") if n.endswith(".yaml")}
    assert {"kia_graph.yaml", "kia_label.yaml"} <= recipes
    assert {f"rrg_recipes/{name}" for name in recipes} <= wheel
    assert {"rrg_kia/atlas.json", "rrgcore/py.typed"} <= wheel


def test_a_wheel_has_every_file_of_every_package(wheel: set[str]) -> None:
    for folder, package in (("rrgcore", "rrgcore"), ("plugins", ""), ("recipes", "rrg_recipes")):
        for name in tracked(REPOSITORY / folder):
            assert f"{package}/{name}".lstrip("/") in wheel


def test_a_wheel_has_no_tests_and_no_documents(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert tops == {"rrgcore", "rrg_recipes", *PLUGINS, f"rrg-{rrgcore.__version__}.dist-info"}
