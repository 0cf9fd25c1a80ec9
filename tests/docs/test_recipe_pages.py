"""The grammar of recipes, and the options of data, as documented."""

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import pytest

from rrgcore import settings
from rrgcore.cleaning import CLEANERS
from rrgcore.grammar import RECIPE, Block, Open, Place, Section
from rrgcore.merge import Merger
from rrgcore.plugins import Discovered
from rrgcore.signatures import options_of
from rrgcore.types import Generation
from rrgcore.yaml_loader import OFF, plain, read_yaml

from .pages import DOCS, code, prose, read, rows, section, tables, value


def _keys(place: Place) -> Iterator[str]:
    match place:
        case Section() | Block():
            for key, inner in place.keys.items():
                yield key
                yield from _keys(inner)
        case Open():
            yield from _keys(place.each)


def test_every_key_of_the_grammar_is_documented():
    documented = set(code(prose(DOCS / "recipes.md")))
    assert set(_keys(RECIPE)) - documented == set()


def test_the_first_table_has_the_keys_of_a_recipe():
    table = rows(section(DOCS / "recipes.md", "## The keys"), "key", "meaning")
    assert {code(key)[0] for key, _ in table} == set(RECIPE.keys)


SECTIONS = {
    "## `data`": (settings.DataSettings, {"annotations"}),
    "## `generation`": (Generation, set()),
    "## `evaluation`": (settings.EvaluationSettings, {"metrics"}),
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_defaults_of_a_section_are_the_code(heading: str):
    cls, more = SECTIONS[heading]
    table = rows(section(DOCS / "recipes.md", heading), "key", "default", "meaning")
    _check_defaults(table, cls, more=more)


def test_the_settings_of_augmentation_are_the_code():
    table = rows(
        section(DOCS / "recipes.md", "### `data.augment`"),
        *("setting", "default", "most", "unit and meaning"),
    )
    documented = {
        code(name)[0]: (value(code(default)[0]), value(code(most)[0]))
        for name, default, most, _ in table
    }
    assert documented == {
        field.name: (field.default, settings.AUGMENT_LIMITS[field.name])
        for field in fields(settings.AugmentSettings)
    }


@pytest.mark.parametrize(
    ("number", "cls", "leave_out"),
    [
        (0, settings.StageSettings, {"continues"}),
        (1, settings.OptimizerSettings, {"name", "options"}),
        (2, settings.ScheduleSettings, {"name", "options"}),
    ],
)
def test_the_defaults_of_a_stage_are_the_code(number: int, cls: type, leave_out: set[str]):
    header = ["key", "default", "meaning"]
    found = [t for head, t in tables(section(DOCS / "recipes.md", "## `stages`")) if head == header]
    assert len(found) == 3
    _check_defaults(found[number], cls, leave_out=leave_out)


def _check_defaults(
    table: list[list[str]],
    cls: Any,
    more: set[str] = frozenset(),
    leave_out: set[str] = frozenset(),
) -> None:
    documented = {code(key)[0]: default for key, default, _ in table}
    defaults: dict[str, Any] = {}
    for field in fields(cls):
        if field.default is not MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not MISSING:
            made = field.default_factory()
            defaults[field.name] = {} if is_dataclass(made) else made
        else:  # an optimizer, a schedule: by name
            defaults[field.name] = getattr(settings, f"{field.name.title()}Settings")().name
    assert set(documented) - more == set(defaults) - leave_out
    for key, default in documented.items():
        if key in defaults:
            expected = defaults[key]
            assert value(code(default)[0]) == (list(expected) if expected == () else expected), key


@pytest.mark.parametrize(("page", "dataset"), [("data.md", "r2gen"), ("phantoms.md", "phantom")])
def test_the_options_of_a_dataset_are_the_code(page: str, dataset: str, plugins: Discovered):
    table = rows(section(DOCS / page, "## Options"), "option", "default", "meaning")
    options = options_of(plugins.registry.get("dataset", dataset))
    assert {code(key)[0] for key, _, _ in table} == {k for k, o in options.items() if not o.wired}
    for key, default, _ in table:
        option = options[code(key)[0]]
        assert option.required if not default else value(code(default)[0]) == option.default, key


@pytest.mark.parametrize(("heading", "source"), [("### IU X-Ray", "iu_xray")])
def test_the_options_of_a_source_are_the_code(heading: str, source: str, plugins: Discovered):
    table = rows(section(DOCS / "data.md", heading), "option", "default", "meaning")
    options = options_of(plugins.registry.get("source", source))
    assert ["root", *(code(key)[0] for key, _, _ in table)] == list(options)
    for key, default, _ in table:
        assert value(code(default)[0]) == options[code(key)[0]].default, key


def test_words_are_read_as_the_table_says():
    table = rows(section(DOCS / "recipes.md", "## YAML, repaired"), "written", "read as")
    assert len(table) > 12
    for written, meant in table:
        found = value(code(written)[0])
        if found is OFF:
            assert meant == "takes the entry away"
        elif found == float("inf"):
            assert meant == "infinity"
        else:
            assert found == value(meant), written


def test_fragments_merge_as_the_table_says():
    text = section(DOCS / "recipes.md", "## How fragments are merged")
    base = re.search(r"Laid over `(.*)`,", text)
    assert base, "the table says what the fragments are laid over"
    merger = Merger()
    for fragment, result in rows(text, "this", "gives"):
        over, under = (_objectives(line) for line in (code(fragment)[0], base[1]))
        merged = plain(merger.merge(under, over))["objectives"]
        assert merged == (value(code(result)[0]) if result else {}), fragment
    assert not merger.problems


def _objectives(text: str) -> Any:
    node, problems = read_yaml(f"objectives: {{{text}}}", file="a table")
    assert not problems
    assert node is not None
    return node


def test_cleaning_rules_are_all_there():
    assert {code(rule)[0] for rule, _ in rows(read(DOCS / "data.md"), "rule", "what it is")} == set(
        CLEANERS
    )
