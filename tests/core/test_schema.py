"""The JSON Schema of recipes: it takes every recipe that is shipped, and refuses broken ones."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from rrgcore.check.model import SLOTS
from rrgcore.grammar import FRAGMENT, RECIPE, Block, Open, Place, Section
from rrgcore.installed import list_recipes
from rrgcore.plugins import Discovered, discover
from rrgcore.recipe import load_recipe
from rrgcore.registry import KINDS
from rrgcore.schema import make_schema
from rrgcore.schema.values import value
from rrgcore.signatures import options_of
from rrgcore.yaml_loader import OFF, plain, read_yaml

jsonschema = pytest.importorskip("jsonschema")
TINY = Path(__file__).parent.parent / "tiny.yaml"


@pytest.fixture(scope="module")
def schema(plugins: Discovered) -> dict[str, Any]:
    return make_schema(plugins.registry)


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def as_yaml(node: Any) -> Any:
    """Values as a YAML language server reads them: `off` is a text."""
    if node is OFF:
        return "off"
    if isinstance(node, dict):
        return {key: as_yaml(child) for key, child in node.items()}
    return [as_yaml(child) for child in node] if isinstance(node, list) else node


def text_of(path: Path) -> Any:
    node, problems = read_yaml(path.read_text(encoding="utf-8"), file=str(path))
    assert node is not None
    assert not problems
    return as_yaml(plain(node))


# ---- what it takes --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*list_recipes(), str(TINY)])
def test_every_shipped_recipe_fits_as_it_is_written_and_as_it_is_merged(
    name: str, validator: Any
) -> None:
    validator.validate(text_of(list_recipes().get(name, TINY)))
    validator.validate(as_yaml(load_recipe(name).values))


@pytest.mark.slow  # as text, each variant is looked at above
@pytest.mark.parametrize("name", [*list_recipes(), str(TINY)])
def test_every_variant_of_a_shipped_recipe_fits_as_it_is_merged(name: str, validator: Any) -> None:
    for variant in load_recipe(name).available:
        validator.validate(as_yaml(load_recipe(name, variants=[variant]).values))


@pytest.mark.parametrize(
    "change",
    [
        {"objectives": {"mlm": {"masking": {"fallback": 0}}}},
        {"objectives": {"mlm": "off", "irc": {"queue": 8, "weight": 2}}},
        {"model": {"encoder": {"trunk": {"ref": "text_trunk"}, "weights": "off"}}},
        {"model": {"decoder": "bert", "shared": {"image_trunk": "off"}}},
        {"stages": {"align": {"optimizer": "RAdam", "schedule": "off"}}},
        {"stages": {"align": {"schedule": {"name": "MultiStepLR", "milestones": [3, 5]}}}},
        {"stages": {"align": {"optimizer": {"betas": [0.9, 0.98], "lr_of": {"encoder": 1e-5}}}}},
        {"data": {"annotations": {"labels": "rules"}, "cache": "off", "terms": "ours"}},
        {"evaluation": {"metrics": {"coco": {}, "mine": {"name": "coco", "meteor": False}}}},
        {"init": {"shared.image_trunk": "run:runs/other"}},
        {"variants": {"small": {"on": ["a", "b"], "seed": 1}, "gone": "off"}},
    ],
)
def test_what_a_fragment_may_say_fits(change: dict[str, Any], validator: Any) -> None:
    validator.validate({"extends": "kia_graph", **change})


# ---- what it refuses ------------------------------------------------------------------------

MISTAKES = [
    ("objectives.mim.maskin", "anatomy"),  # a misspelt option
    ("objectives.mlm.masking", "grpah"),  # a misspelt name
    ("objectives.irc.queue", "many"),  # a wrong type
    ("objectives.irc.queue", 4.5),
    ("objectives.irc.space", {"reff": "joint"}),
    ("objectives.mim.masking", "graph"),  # a masking of texts
    ("model.encoder.patch_sizes", 8),
    ("model.encodr", "vit"),
    ("model.views", "both"),
    ("model.freeze", ["encodr"]),
    ("data.batch_size", "big"),
    ("data.augment.rotat", 3),
    ("data.annotations.labels", "atlas"),  # an annotator of something else
    ("stages.align.epoch", 3),
    ("stages.align.precision", "fp8"),
    ("stages.align.optimizer.name", "Adamm"),
    ("stages.align.optimizer.learning_rate", 1e-4),
    ("generation.beam", 3),
    ("evaluation.probes", "yes"),
    ("evaluation.metrics.coco.meteo", True),
    ("init.encodr", "run:x"),
    ("seed", -1),
    ("variants.short.stagse", {}),
    ("objective", {}),
]


@pytest.mark.parametrize(("address", "value"), MISTAKES)
def test_a_mistake_is_refused(address: str, value: Any, validator: Any) -> None:
    good = text_of(TINY)
    validator.validate(good)
    bad = deepcopy(good)
    *above, last = address.split(".")
    place = bad
    for key in above:
        found = place.get(key, {})
        place[key] = {"name": found} if isinstance(found, str) else found
        place = place[key]
    place[last] = value
    assert not validator.is_valid(bad)


def test_a_recipe_that_extends_nothing_has_every_section(validator: Any) -> None:
    whole = text_of(TINY)
    del whole["stages"]
    assert not validator.is_valid(whole)
    assert validator.is_valid({"extends": "kia_graph", "seed": 4})


# ---- what it tells --------------------------------------------------------------------------


def _keys(place: Place, schema: Any, root: Any) -> Iterator[str]:
    """Find keys of the grammar that the schema does not have."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    shapes = schema.get("anyOf", [schema])
    if isinstance(place, Section | Block):
        for key, inner in place.keys.items():
            keys = [shape.get("properties", {}) for shape in shapes]
            found = [properties[key] for properties in keys if key in properties]
            if not found:
                deeper = [s for s in shapes if "$ref" in s]
                if not any(not list(_keys(Section("", {key: inner}), s, root)) for s in deeper):
                    yield key
            elif isinstance(inner, Section):
                yield from _keys(inner, found[0], root)
    elif isinstance(place, Open):
        yield from _keys(place.each, schema.get("additionalProperties", {}), root)


def test_every_key_of_the_grammar_is_in_it(schema: dict[str, Any]) -> None:
    assert set(schema["properties"]) == set(RECIPE.keys)
    assert list(_keys(FRAGMENT, {"properties": schema["properties"]}, schema)) == []


def test_every_component_has_its_summary_its_options_and_their_defaults(
    schema: dict[str, Any], plugins: Discovered
) -> None:
    for kind in ("encoder", "adapter", "decoder", "objective", "masking", "part", "dataset"):
        assert kind in KINDS
        for name in plugins.registry.names(kind):
            block = schema["$defs"][f"{kind} {name}"]
            component = plugins.registry.entry(kind, name).component
            assert component.summary in block["description"]
            for option in options_of(plugins.registry.get(kind, name)).values():
                told = block["properties"][option.name]
                assert told["description"]
                if isinstance(option.default, int | float | str):
                    assert told["default"] == option.default
    assert set(SLOTS) <= set(schema["properties"]["model"]["properties"])


def test_options_are_told_in_the_words_of_their_class(schema: dict[str, Any]) -> None:
    vit = schema["$defs"]["encoder vit"]["properties"]
    assert "two strided steps" in vit["stem"]["description"]
    assert vit["stem"]["default"] == "linear"
    assert "Filled in from data.image_size" in vit["image_size"]["description"]
    settings = schema["properties"]["evaluation"]["properties"]
    assert "chosen" in settings["select"]["description"]


def test_a_plugin_of_one_s_own_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "schema_idea.py").write_text(
        "from rrgcore import Component, hookimpl\n"
        "@hookimpl\ndef rrg_components():\n"
        '    target = "rrg_basics.adapters:IdentityAdapter"\n'
        '    return [Component("adapter", "idea.mine", target, "mine")]\n'
    )
    made = make_schema(discover(files=[tmp_path / "schema_idea.py"]).registry)
    validator = jsonschema.Draft202012Validator(made)
    assert validator.is_valid({"extends": "kia_graph", "model": {"adapter": "idea.mine"}})


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, 3, "3"),
        (float, 1, "1"),
        (bool, True, 1),
        (str | None, None, 3),
        (tuple[int, ...], [1, 2], [1, "2"]),
        (tuple[int, int], [1, 2], [1, 2, 3]),
        (dict[str, float], {"a": 1}, {"a": "b"}),
    ],
)
def test_annotations_are_read_as_check_reads_them(annotation: Any, good: Any, bad: Any) -> None:
    validator = jsonschema.Draft202012Validator(value(annotation))
    assert validator.is_valid(good)
    assert not validator.is_valid(bad)


def test_the_command_prints_it_or_writes_it(rrg: Callable[..., Any]) -> None:
    answer = rrg("schema", "--out", "rrg.schema.json")
    assert answer.code == 0
    assert "# yaml-language-server: $schema=rrg.schema.json" in answer.out
    assert json.loads(Path("rrg.schema.json").read_text())["title"] == "a recipe of rrg"
    assert rrg("schema", "--out", "nowhere/rrg.schema.json").code == 2
