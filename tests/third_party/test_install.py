"""What a stranger does: install rrg and a plugin of another distribution, and run it.

Both are built and installed for real, into an environment of their own that sees the running one's
packages; nothing is fetched.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from .environment import Environment

OFFER = """
from rrgcore import Component, hookimpl

@hookimpl
def rrg_components():
    return [Component("adapter", "{adapter}", "rrg_basics.adapters:IdentityAdapter", "ours")]
"""


@pytest.fixture
def stranger(environment: Environment, tmp_path: Path) -> Environment:
    """The environment, and a folder for distributions that are written by hand."""
    return Environment(environment.folder, [tmp_path])


def plant(
    environment: Environment,
    distribution: str,
    *,
    plugin: str = "mine",
    text: str = OFFER.format(adapter="mine.adapter"),
) -> None:
    """Write a distribution as an installer leaves it: one module and its entry point."""
    (folder,) = environment.more
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(text, encoding="utf-8")
    info = folder / f"{module}-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text(f"[rrg.plugins]\n{plugin} = {module}\n")


# ---- the example ----------------------------------------------------------------------------


def test_rrg_itself_comes_from_its_wheel(environment: Environment) -> None:
    script = "import rrgcore, rrg_kia, rrg_recipes as r; print(rrgcore.__file__, r.__file__)"
    for path in environment.output("python", "-c", script).split():
        assert Path(path).is_relative_to(environment.folder / "env")


def test_the_example_is_listed_with_its_plugin(environment: Environment) -> None:
    lines = environment.output("rrg", "list", "adapters").splitlines()
    (line,) = [line for line in lines if "hello.pool" in line]
    assert line.split()[-1] == "hello"
    assert environment.adapters() == {
        "cmeaa": "cmeaa",
        "hello.pool": "hello",
        "identity": "basics",
        "linear": "basics",
    }


def test_plugins_tells_distribution_and_version(environment: Environment) -> None:
    rows = json.loads(environment.output("rrg", "plugins", "--json"))
    (row,) = [row for row in rows if row["name"] == "hello"]
    assert (row["from"], row["version"], row["components"]) == ("rrg-hello", "0.1", 1)


def test_listing_imports_no_torch(environment: Environment) -> None:
    script = "import sys, rrgcore; rrgcore.discover(); print('torch' in sys.modules)"
    assert environment.output("python", "-c", script).strip() == "False"


def test_a_recipe_runs_with_the_example_in_it(environment: Environment) -> None:
    # Java, which METEOR starts, is not what is tested here
    options = ("model.adapter=hello.pool", "evaluation.metrics.coco.meteor=false")
    environment.output("rrg", "run", "kia_graph", "--variant", "tiny", *options, "--out", "run")
    run = environment.folder / "run"
    record: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["state"] == "finished"
    assert "model.adapter=hello.pool" in record["overrides"]
    assert "adapter: {name: hello.pool, stride: 7}" in (run / "recipe.yaml").read_text()
    assert len((run / "predictions.jsonl").read_text().splitlines()) == 4

    assert "no adapter called 'hello.pool'" in environment.refusal(
        "rrg", "check", "run/recipe.yaml", "--no-plugin", "hello"
    )


def test_the_example_s_own_tests_pass(environment: Environment) -> None:
    command = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "rrg-hello")
    assert "2 passed" in environment.output(*command)


def test_a_misspelt_name_gets_the_stranger_s(environment: Environment) -> None:
    message = environment.refusal("rrg", "check", "kia_graph", "model.adapter=hello.pol")
    assert "no adapter called 'hello.pol'. Did you mean 'hello.pool'?" in message


# ---- plugins that are not well --------------------------------------------------------------


def test_a_second_plugin_is_found_beside_the_first(stranger: Environment) -> None:
    plant(stranger, "rrg-mine")
    assert {"mine.adapter": "mine", "hello.pool": "hello"}.items() <= stranger.adapters().items()


def test_two_plugins_of_one_name_are_refused_by_both_distributions(stranger: Environment) -> None:
    plant(stranger, "rrg-rival", plugin="hello")
    assert stranger.refusal("rrg", "list").strip() == (
        "two plugins are called 'hello': rrg_rival from rrg-rival and rrg_hello from rrg-hello. "
        "Uninstall one of the two"
    )


def test_a_name_of_ours_cannot_be_taken(stranger: Environment) -> None:
    plant(stranger, "rrg-impostor", plugin="kia")
    assert "two plugins are called 'kia'" in stranger.refusal("rrg", "list")


def test_a_plugin_that_fails_to_import_is_named_and_can_be_left_out(stranger: Environment) -> None:
    plant(stranger, "rrg-broken", plugin="broken", text="import a_library_that_nobody_installed\n")
    for command in (["list"], ["plugins"], ["check", "kia_graph"]):
        assert stranger.refusal("rrg", *command).strip() == (
            "plugin 'broken' (from rrg-broken 2.1) failed to import rrg_broken: "
            "ModuleNotFoundError: No module named 'a_library_that_nobody_installed'\n"
            "Mend or uninstall it, or run without it: --no-plugin broken"
        )
    assert "hello.pool" in stranger.adapters("--no-plugin", "broken")
    assert "good" in stranger.output(
        "rrg", "check", "kia_graph", "--variant", "tiny", "--no-plugin", "broken"
    )


def test_a_component_s_name_that_is_taken_is_refused_by_both_targets(stranger: Environment) -> None:
    plant(stranger, "rrg-mine", text=OFFER.format(adapter="hello.pool"))
    message = stranger.refusal("rrg", "list")
    assert "two components are called adapter 'hello.pool'" in message
    assert "rrg_hello.pool:PoolAdapter (plugin 'hello')" in message
    assert "rrg_basics.adapters:IdentityAdapter (plugin 'mine')" in message
    assert stranger.adapters("--no-plugin", "mine")["hello.pool"] == "hello"


def test_a_plugin_for_another_interface_is_refused(stranger: Environment) -> None:
    plant(stranger, "rrg-mine", text="RRG_API = 99\n" + OFFER.format(adapter="mine.adapter"))
    message = stranger.refusal("rrg", "list")
    assert "plugin 'mine' (from rrg-mine 2.1) was written for plugin interface 99" in message
    assert "--no-plugin mine" in message


def test_a_misspelt_hook_is_refused(stranger: Environment) -> None:
    text = OFFER.format(adapter="mine.adapter").replace("rrg_components", "rrg_component")
    plant(stranger, "rrg-mine", text=text)
    assert "plugin 'mine' (from rrg-mine 2.1) is not a plugin" in stranger.refusal("rrg", "list")


def test_tracing_says_what_was_found_and_where(stranger: Environment) -> None:
    plant(stranger, "rrg-mine")
    done = stranger.run("rrg", "list", "--no-plugin", "mine", RRG_TRACE_PLUGINS="1")
    assert "rrg: plugin hello from rrg-hello 0.1: 1 components" in done.stderr
    assert "rrg: plugin mine from rrg-mine 2.1: left out" in done.stderr


def test_one_file_is_a_plugin(stranger: Environment, tmp_path: Path) -> None:
    file = tmp_path / "tonight.py"
    file.write_text(OFFER.format(adapter="tonight.adapter"), encoding="utf-8")
    assert stranger.adapters("--plugin", str(file))["tonight.adapter"] == "tonight"
