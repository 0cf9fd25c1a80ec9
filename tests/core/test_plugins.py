"""Discovery: what is found, what is refused, and how to run without it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from rrgcore.errors import PluginError, RegistryError
from rrgcore.plugins import GROUP, Discovered, discover

OFFER = """
from rrgcore import Component, hookimpl

@hookimpl
def rrg_components():
    return [Component("adapter", "{name}", "{module}:Pool", "average")]
"""


class Installed(Distribution):
    """A distribution that is nothing but its name and version."""

    def __init__(self, name: str) -> None:
        self.text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n"

    def read_text(self, filename: str) -> str | None:
        return self.text if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        raise AssertionError("this distribution has no files")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Write a module that can be imported while the test runs."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(module: str, text: str | None = None) -> Path:
        path = tmp_path / f"{module}.py"
        path.write_text(OFFER.format(name=module, module=module) if text is None else text)
        return path

    yield write
    for module in set(sys.modules) - before:
        if (tmp_path / f"{module}.py").exists():
            del sys.modules[module]


def point(name: str, module: str, distribution: str | None = "rrg-hello") -> EntryPoint:
    found = EntryPoint(name, module, GROUP)
    if distribution is not None:
        vars(found).update(dist=Installed(distribution))
    return found


def refused(*points: EntryPoint, **options: list[str] | list[Path]) -> str:
    with pytest.raises(PluginError) as caught:
        discover(points=points, **options)  # type: ignore[arg-type]
    return str(caught.value)


def names(discovered: Discovered) -> list[str]:
    return [plugin.name for plugin in discovered.plugins]


def test_a_plugin_is_found_by_its_entry_point(write: Callable[..., Path]) -> None:
    write("hello_pool")
    found = discover(points=[point("hello", "hello_pool")])
    (plugin,) = found.plugins
    assert (plugin.name, plugin.origin, plugin.version) == ("hello", "rrg-hello", "1.2")
    assert [component.name for component in plugin.components] == ["hello_pool"]
    assert found.registry.entry("adapter", "hello_pool").plugin == "hello"


def test_each_plugin_is_asked_for_its_own_components(write: Callable[..., Path]) -> None:
    write("plugin_a")
    write("plugin_b")
    found = discover(points=[point("b", "plugin_b"), point("a", "plugin_a")])
    assert [(p.name, [c.name for c in p.components]) for p in found.plugins] == [
        ("a", ["plugin_a"]),
        ("b", ["plugin_b"]),
    ]


def test_after_discovery_nothing_more_can_be_registered(write: Callable[..., Path]) -> None:
    write("hello_pool")
    found = discover(points=[point("hello", "hello_pool")])
    with pytest.raises(AssertionError, match="frozen"):
        found.registry.add(found.plugins[0].components[0], plugin="late")


def test_two_plugins_of_one_name_are_refused_with_both_distributions(
    write: Callable[..., Path],
) -> None:
    assert refused(point("kia", "plugin_a", "rrg"), point("kia", "plugin_b", "rrg-other")) == (
        "two plugins are called 'kia': plugin_a from rrg and plugin_b from rrg-other. "
        "Uninstall one of the two"
    )


def test_an_entry_point_that_an_editable_install_lists_twice_counts_once(
    write: Callable[..., Path],
) -> None:
    write("hello_pool")
    found = discover(points=[point("hello", "hello_pool"), point("hello", "hello_pool")])
    assert names(found) == ["hello"]


def test_a_module_under_two_names_is_refused(write: Callable[..., Path]) -> None:
    write("hello_pool")
    message = refused(point("a", "hello_pool"), point("b", "hello_pool"))
    assert message.startswith("plugin 'b' (from rrg-hello 1.2) is not a plugin of this interface:")
    assert message.endswith("Run without it: --no-plugin b")


def test_a_broken_plugin_is_named_with_the_way_out(write: Callable[..., Path]) -> None:
    write("hello_broken", "import a_package_that_is_not_installed\n")
    with pytest.raises(PluginError) as caught:
        discover(points=[point("hello", "hello_broken")])
    assert str(caught.value) == (
        "plugin 'hello' (from rrg-hello 1.2) failed to import hello_broken: "
        "ModuleNotFoundError: No module named 'a_package_that_is_not_installed'\n"
        "Mend or uninstall it, or run without it: --no-plugin hello"
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_broken_plugin_that_is_left_out_does_no_harm(write: Callable[..., Path]) -> None:
    write("hello_broken", "1 / 0\n")
    write("hello_pool")
    points = [point("broken", "hello_broken"), point("hello", "hello_pool")]
    found = discover(points=points, blocked=["broken"])
    assert [(plugin.name, plugin.blocked) for plugin in found.plugins] == [
        ("broken", True),
        ("hello", False),
    ]


def test_leaving_out_what_is_not_there_suggests_the_nearest(write: Callable[..., Path]) -> None:
    assert refused(point("hello", "hello_pool"), blocked=["helo"]) == (
        "--no-plugin helo: no plugin is called 'helo'. Did you mean 'hello'? Plugins: hello"
    )


def test_an_entry_point_inside_a_module_is_refused(write: Callable[..., Path]) -> None:
    write("hello_pool")
    assert refused(point("hello", "hello_pool:rrg_components")) == (
        "plugin 'hello' (from rrg-hello 1.2) has the entry point hello_pool:rrg_components, "
        "which is a function; expected a module, without ':'\n"
        "Run without it: --no-plugin hello"
    )


def test_a_distribution_without_a_name_is_called_unknown(write: Callable[..., Path]) -> None:
    write("hello_pool")
    (plugin,) = discover(points=[point("hello", "hello_pool", None)]).plugins
    assert str(plugin) == "plugin 'hello' (from an unknown distribution ?)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "offers nothing: it has no function rrg_components marked with @hookimpl"),
        (
            "def rrg_components():\n    return []\n",
            "offers nothing: it has no function rrg_components marked with @hookimpl",
        ),
        (
            "from rrgcore import hookimpl\n@hookimpl\ndef rrg_component():\n    return []\n",
            "is not a plugin of this interface: unknown hook 'rrg_component'",
        ),
        (
            "from rrgcore import hookimpl\n@hookimpl\ndef rrg_components(config):\n    return []\n",
            "is not a plugin of this interface: Plugin 'hello' for hook 'rrg_components'",
        ),
        (
            "from rrgcore import hookimpl\n@hookimpl\ndef rrg_components():\n    [1]\n",
            "returned None; expected a list of rrgcore.Component",
        ),
        (
            "from rrgcore import hookimpl\n@hookimpl\ndef rrg_components():\n    return ['x']\n",
            "returned 'x'; expected a list of rrgcore.Component",
        ),
        (
            "from rrgcore import hookimpl\n@hookimpl\ndef rrg_components():\n    return 3\n",
            "failed: TypeError: 'int' object is not iterable",
        ),
        (
            "from rrgcore import hookimpl\n@hookimpl\ndef rrg_components():\n    yield 1 / 0\n",
            "failed: ZeroDivisionError: division by zero",
        ),
        ("RRG_API = 2\n", "was written for plugin interface 2; this rrg has 1"),
    ],
)
def test_a_plugin_that_is_none_is_told_what_is_wrong(
    write: Callable[..., Path], text: str, said: str
) -> None:
    write("hello_bad", text)
    message = refused(point("hello", "hello_bad"))
    assert f"plugin 'hello' (from rrg-hello 1.2) {said}" in message
    assert message.endswith("--no-plugin hello")


def test_a_plugin_may_offer_an_empty_list(write: Callable[..., Path]) -> None:
    write(
        "hello_none", "from rrgcore import hookimpl\n@hookimpl\ndef rrg_components(): return []\n"
    )
    assert names(discover(points=[point("hello", "hello_none")])) == ["hello"]


def test_two_plugins_that_offer_one_component_are_both_named(write: Callable[..., Path]) -> None:
    write("plugin_a", OFFER.format(name="pool", module="plugin_a"))
    write("plugin_b", OFFER.format(name="pool", module="plugin_b"))
    with pytest.raises(RegistryError) as caught:
        discover(points=[point("a", "plugin_a"), point("b", "plugin_b")])
    assert str(caught.value) == (
        "two components are called adapter 'pool': plugin_a:Pool (plugin 'a') and plugin_b:Pool "
        "(plugin 'b'). Rename one, or leave a plugin out with --no-plugin NAME"
    )


# ---- files ----------------------------------------------------------------------------------


def test_a_file_is_a_plugin_whose_targets_can_be_imported(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path = folder / "my_idea.py"
    path.write_text(
        OFFER.format(name="pool", module="my_idea")
        + "from rrgcore.interfaces import Adapter\nclass Pool(Adapter):\n    forward = None\n"
    )
    found = discover(points=[], files=[path])
    assert str(found.plugins[0]) == f"plugin 'my_idea' (from {path} file)"
    assert found.registry.get("adapter", "pool").__module__ == "my_idea"
    del sys.modules["my_idea"]


def test_a_file_can_be_discovered_twice(write: Callable[..., Path]) -> None:
    path = write("my_idea")
    discover(points=[], files=[path])
    assert names(discover(points=[], files=[path])) == ["my_idea"]


def test_a_file_that_does_not_exist_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.py"
    assert refused(files=[path]) == f"--plugin {path}: no such file"


@pytest.mark.parametrize("name", ["notes.txt", "my-idea.py", "my.idea.py", "1.py"])
def test_a_file_whose_name_cannot_be_imported_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    assert refused(files=[path]) == (
        f"--plugin {path}: expected a Python file whose name can be imported, like my_idea.py"
    )


@pytest.mark.parametrize("name", ["random", "torch", "sys", "rrg_kia"])
def test_a_file_must_not_take_a_modules_place(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.py"
    path.touch()
    before = sys.modules.get(name)
    assert f"a Python module is called '{name}' already" in refused(files=[path])
    assert sys.modules.get(name) is before


def test_a_broken_file_leaves_no_half_module_behind(write: Callable[..., Path]) -> None:
    path = write("my_idea", "x = 1\n1 / 0\n")
    assert refused(files=[path]) == (
        f"plugin file {path} failed to import: ZeroDivisionError: division by zero"
    )
    assert "my_idea" not in sys.modules


def test_two_files_of_one_name_are_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write("my_idea")
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "my_idea.py"
    other.write_text(path.read_text())
    assert refused(files=[path, other]) == (
        f"--plugin {other}: there is a plugin 'my_idea' (from {path} file) already. "
        f"Rename the file, or run without the other: leave out --plugin {path}"
    )


def test_a_file_may_stand_in_for_a_plugin_that_is_left_out(write: Callable[..., Path]) -> None:
    write("installed")
    path = write("hello")
    installed = point("hello", "installed")
    assert refused(installed, files=[path]) == (
        f"--plugin {path}: there is a plugin 'hello' (from rrg-hello 1.2) already. "
        "Rename the file, or run without the other: --no-plugin hello"
    )
    found = discover(points=[installed], files=[path], blocked=["hello"])
    assert [plugin.blocked for plugin in found.plugins] == [True, False]
    assert found.registry.names("adapter") == ["hello"]


# ---- what is installed ----------------------------------------------------------------------


def test_discovering_the_installed_plugins_imports_no_torch() -> None:
    code = "import sys, rrgcore; print(len(rrgcore.discover().plugins) > 0, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
