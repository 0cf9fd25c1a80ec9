"""`rrg plugin new`: what it writes installs, passes its tests, and is as ruff would have it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest

from rrgcore import discover, load_recipe
from rrgcore.errors import UserError
from rrgcore.plugins import GROUP
from rrgcore.registry import KINDS
from rrgcore.scaffold.kinds import BEGINNINGS
from rrgcore.scaffold.names import LONGEST, Names, parse_name
from rrgcore.scaffold.write import write_plugin

from .environment import OFFLINE, Environment

# ---- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "thing"),
    [
        ("my-idea", "gate"),
        ("rrg-my-idea", "gate"),
        ("rrg_my_idea", "gate"),
        ("my_idea", "gate"),
        ("my_idea.pool", "pool"),
        ("rrg-my-idea.soft-pool", "soft_pool"),
    ],
)
def test_a_name_may_be_said_in_many_ways_and_names_everything(said: str, thing: str) -> None:
    found = parse_name(said, thing="gate")
    assert (found.distribution, found.package, found.plugin) == (
        "rrg-my-idea",
        "rrg_my_idea",
        "my_idea",
    )
    assert found.component == f"my_idea.{thing}"


def test_the_class_is_named_after_the_component() -> None:
    assert Names("my_idea", "soft_pool").class_name("Adapter") == "SoftPoolAdapter"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("My-Idea", "'My_Idea' cannot name a plugin; .*, such as my_idea"),
        ("2fast", "cannot name a plugin.*, such as fast"),
        ("my idea", "such as my_idea"),
        ("a.b.c", r"'b\.c' cannot name a component.*, such as b_c"),
        ("rrg-", "'' cannot name a plugin"),
        ("up/../idea", "such as up"),
        ("../up", "'' cannot name a plugin"),
        ("class", "'class' cannot name a plugin"),
        ("idea.lambda", "'lambda' cannot name a component"),
        ("a" * (LONGEST + 1), f"at most {LONGEST}"),
        ("kia", "a plugin is called 'kia' already"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_with_one_that_can(said: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        parse_name(said, thing="gate", taken=["kia"])


# ---- the command ----------------------------------------------------------------------------


def test_the_command_writes_a_folder_and_says_what_is_next(rrg: Callable[..., Any]) -> None:
    answer = rrg("plugin", "new", "my-idea.pool", "--kind", "adapters")
    assert answer.code == 0, answer.err
    folder = Path("rrg-my-idea")
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {
        ".gitignore",
        "README.md",
        "my_idea.yaml",
        "pyproject.toml",
        "rrg_my_idea/__init__.py",
        "rrg_my_idea/pool.py",
        "tests/test_pool.py",
        "tests/test_recipe.py",
    }
    assert all(f"  {folder / name}\n" in answer.out for name in files)
    assert "rrg run my_idea.yaml --variant tiny" in answer.out
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()]
    assert not any(word in text for text in texts for word in ("a_thing", "A_KIND", "A_CLASS"))

    again = rrg("plugin", "new", "my-idea", "--dir", "..", "--kind", "metric")
    assert again.code == 0
    assert Path("../rrg-my-idea/rrg_my_idea/overlap.py").is_file()


def test_nothing_is_written_over(rrg: Callable[..., Any]) -> None:
    Path("rrg-my-idea").mkdir()
    answer = rrg("plugin", "new", "my-idea")
    assert answer.code == 2
    assert answer.err.strip() == (
        "rrg-my-idea is there already; choose another name, or another --dir"
    )
    assert list(Path("rrg-my-idea").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["my-idea", "--kind", "adaptor"], "Did you mean 'adapter'?"),
        (["my-idea", "--kind", "decoder"], "--kind decoder: expected one of adapter, objective"),
        (["kia"], "a plugin is called 'kia' already"),
        (["recipes"], "a package is called rrg_recipes already"),
        (["my-idea", "--dir", "nowhere"], "--dir nowhere is no folder"),
    ],
)
def test_a_mistake_is_refused(arguments: list[str], said: str, rrg: Callable[..., Any]) -> None:
    answer = rrg("plugin", "new", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert list(Path.cwd().iterdir()) == []


# ---- what is written ------------------------------------------------------------------------


def write(folder: Path, name: str, kind: str) -> Path:
    return write_plugin(parse_name(name, thing=BEGINNINGS[kind].thing), kind, folder)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A plugin of each kind, on the path as an installer would leave it."""
    folder = tmp_path_factory.mktemp("plugins")
    found = {}
    for kind in BEGINNINGS:
        path = found[kind] = write(folder, f"new-{kind}", kind)
        info = path / f"rrg_new_{kind}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {path.name}\nVersion: 0.1.0")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\nnew_{kind} = rrg_new_{kind}\n")
    return found


@pytest.fixture
def on_path(written: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for path in written.values():
        monkeypatch.syspath_prepend(path)
    yield
    for name in [name for name in sys.modules if name.startswith("rrg_new_")]:
        del sys.modules[name]


def test_every_kind_is_a_kind() -> None:
    assert set(BEGINNINGS) <= set(KINDS)
    assert next(iter(BEGINNINGS)) == "adapter"


def test_what_is_written_is_as_ruff_would_have_it(
    written: Mapping[str, Path], tmp_path: Path
) -> None:
    """Whatever the names: lines that hold them grow and shrink."""
    for kind in BEGINNINGS:
        write(tmp_path, f"{kind[0]}{len(kind)}.x", kind)
        long = f"{kind[:2]}{'_a1b2c3' * 9}"[:LONGEST].rstrip("_")
        write(tmp_path, f"{long}.{long}", kind)
    folders = [*written.values(), *tmp_path.iterdir()]
    for command in (["check"], ["format", "--check", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *folders],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize("variants", [[], ["tiny"], ["without"]])
@pytest.mark.parametrize("kind", BEGINNINGS)
def test_the_recipe_of_every_kind_is_good(
    kind: str, variants: list[str], written: Mapping[str, Path]
) -> None:
    points = [p for p in entry_points(group=GROUP) if not p.name.startswith("new_")]
    points.append(EntryPoint(f"new_{kind}", f"rrg_new_{kind}", GROUP))
    recipe = written[kind] / f"new_{kind}.yaml"
    plan = load_recipe(recipe, variants=variants, plugins=discover(points=points)).plan
    uses = json.dumps(plan.recipe.values).count(f"new_{kind}.{BEGINNINGS[kind].thing}")
    assert uses == ("without" not in variants)


# ---- installed ------------------------------------------------------------------------------

PYTEST = ("python", "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider")


def install(environment: Environment, kind: str, folder: Path) -> Environment:
    """As a newcomer does it: written by the command, installed, listed."""
    environment.output("rrg", "plugin", "new", "my-idea", "--kind", kind, cwd=folder)
    pip = ("python", "-m", "pip", "install", "-q", *OFFLINE, "--target", "site")
    environment.output(*pip, "./rrg-my-idea", cwd=folder)
    stranger = Environment(environment.folder, [folder / "site"])
    rows = json.loads(stranger.output("rrg", "plugins", "--json"))
    (row,) = [row for row in rows if row["name"] == "my_idea"]
    assert (row["from"], row["version"], row["components"]) == ("rrg-my-idea", "0.1.0", 1)
    return stranger


def test_one_installs_and_the_tests_of_every_kind_pass_as_they_are_written(
    environment: Environment, written: Mapping[str, Path], tmp_path: Path
) -> None:
    """Of those that are not installed, all but those that run the recipes, seconds each."""
    stranger = install(environment, "adapter", tmp_path)
    everybody = Environment(environment.folder, [*stranger.more, *written.values()])
    left_out = [f"--ignore={path / 'tests' / 'test_recipe.py'}" for path in written.values()]
    folders = ["rrg-my-idea", *map(str, written.values())]
    command = (*PYTEST, "--import-mode=importlib", *left_out, *folders)
    out = everybody.output(*command, cwd=tmp_path, OMP_NUM_THREADS="1")
    assert " passed" in out
    assert "skipped" not in out


@pytest.mark.slow
@pytest.mark.parametrize("kind", BEGINNINGS)
def test_every_kind_installs_and_its_own_tests_pass(
    kind: str, environment: Environment, tmp_path: Path
) -> None:
    stranger = install(environment, kind, tmp_path)
    out = stranger.output(*PYTEST, "rrg-my-idea", cwd=tmp_path, OMP_NUM_THREADS="1")
    assert " passed" in out
    assert "skipped" not in out
