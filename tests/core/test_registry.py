"""The registry by itself: declarations in, classes out, everything refused that does not fit."""

import subprocess
import sys
from abc import ABC
from pathlib import Path

import pytest

from rrgcore.errors import PluginError, RegistryError
from rrgcore.registry import KINDS, Component, Registry, base_of

GRAPH = Component("masking", "graph", "my_masks:GraphMasking", "hide relations")
LABEL = Component("masking", "label", "my_masks:LabelMasking", "hide labels")

MY_MASKS = """
from rrgcore.interfaces import TextMasking

class GraphMasking(TextMasking):
    def mask_text(self, study, tokenizer, rng, *, max_tokens):
        return None

class NotAMasking:
    pass

a_function = len
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path; what is imported from it is forgotten again."""
    (tmp_path / "my_masks.py").write_text(MY_MASKS)
    (tmp_path / "my_broken.py").write_text("import a_package_that_is_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_masks", "my_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def registry_of(*components: Component, plugin: str = "kia") -> Registry:
    registry = Registry()
    for component in components:
        registry.add(component, plugin=plugin)
    return registry


def refused(component: Component, *others: Component) -> str:
    registry = registry_of(*others)
    with pytest.raises(RegistryError) as caught:
        registry.add(component, plugin="mine")
    return str(caught.value)


def test_every_kind_is_an_abstract_class_of_the_interfaces() -> None:
    for kind in KINDS:
        assert issubclass(base_of(kind), ABC)


def test_a_component_is_imported_at_first_use_and_not_before(modules: Path) -> None:
    registry = registry_of(GRAPH)
    assert registry.names("masking") == ["graph"]
    assert "my_masks" not in sys.modules
    assert registry.get("masking", "graph").__name__ == "GraphMasking"
    assert "my_masks" in sys.modules


def test_declaring_and_listing_import_no_torch() -> None:
    code = (
        "import sys; from rrgcore.registry import *; r = Registry();"
        "r.add(Component('part', 'p', 'torch.nn:Linear', ''), plugin='x');"
        "print(r.names('part'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['p'] False\n"


def test_an_unknown_kind_suggests_the_nearest() -> None:
    assert refused(Component("maskings", "graph", "a:B", "")) == (
        "plugin 'mine' offers 'graph' as a 'maskings', which is not a kind. "
        "Did you mean 'masking'? Kinds: " + ", ".join(KINDS)
    )


@pytest.mark.parametrize("target", ["my_masks.GraphMasking", ":GraphMasking", "my_masks:", ""])
def test_a_target_names_a_module_and_a_class(target: str) -> None:
    assert refused(Component("masking", "graph", target, "")) == (
        f"plugin 'mine' offers masking 'graph' with the target '{target}'; "
        "expected 'package.module:Class'"
    )


def test_a_taken_name_is_refused_with_both_targets() -> None:
    assert refused(Component("masking", "graph", "other:Graph", ""), GRAPH) == (
        "two components are called masking 'graph': my_masks:GraphMasking (plugin 'kia') and "
        "other:Graph (plugin 'mine'). Rename one, or leave a plugin out with --no-plugin NAME"
    )


def test_one_name_may_serve_two_kinds() -> None:
    part = Component("part", "graph", "a:B", "")
    registry = registry_of(GRAPH, part)
    assert registry.entry("part", "graph").component is part


def test_an_unknown_name_suggests_the_nearest_and_lists_who_offers_what() -> None:
    registry = registry_of(GRAPH, LABEL)
    registry.add(Component("masking", "random_words", "a:B", ""), plugin="basics")
    with pytest.raises(RegistryError) as caught:
        registry.get("masking", "grpah")
    assert str(caught.value) == (
        "no masking called 'grpah'. Did you mean 'graph'?\n"
        "Known: graph (kia), label (kia), random_words (basics)"
    )


def test_a_kind_without_components_says_so() -> None:
    with pytest.raises(RegistryError, match=r"no adapter called 'x'.\nKnown: none"):
        Registry().get("adapter", "x")


def test_a_class_that_does_not_exist_is_told_from_a_name_that_does_not(modules: Path) -> None:
    with pytest.raises(RegistryError) as caught:
        registry_of(LABEL).get("masking", "label")
    assert str(caught.value) == (
        "masking 'label' is declared as my_masks:LabelMasking, but 'my_masks' has no 'LabelMasking'"
    )


@pytest.mark.parametrize("attribute", ["NotAMasking", "a_function"])
def test_a_class_of_another_base_is_refused(modules: Path, attribute: str) -> None:
    registry = registry_of(Component("masking", "x", f"my_masks:{attribute}", ""))
    with pytest.raises(RegistryError) as caught:
        registry.get("masking", "x")
    assert str(caught.value) == (
        f"masking 'x' is declared as my_masks:{attribute}, which is not a MaskingStrategy"
    )


def test_a_module_that_cannot_be_imported_names_the_plugin_and_how_to_do_without(
    modules: Path,
) -> None:
    registry = registry_of(Component("masking", "x", "my_broken:X", ""))
    with pytest.raises(PluginError) as caught:
        registry.get("masking", "x")
    assert str(caught.value) == (
        "masking 'x' of plugin 'kia' cannot be imported from my_broken:X: "
        "ModuleNotFoundError: No module named 'a_package_that_is_not_installed'\n"
        "Mend or install what is missing, or run without it: --no-plugin kia"
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_frozen_registry_takes_nothing_more() -> None:
    registry = registry_of(GRAPH)
    registry.freeze()
    with pytest.raises(AssertionError, match="frozen"):
        registry.add(LABEL, plugin="kia")


def test_entries_come_by_kind_and_then_by_name_whatever_the_order_of_plugins() -> None:
    part, adapter = Component("part", "p", "a:B", ""), Component("adapter", "z", "a:B", "")
    registry = registry_of(LABEL, part, GRAPH, adapter)
    assert [entry.component for entry in registry.entries()] == [adapter, GRAPH, LABEL, part]
    assert [entry.component for entry in registry.entries("masking")] == [GRAPH, LABEL]
    assert {entry.plugin for entry in registry.entries()} == {"kia"}
