"""From YAML text to one plain dict: extends, variants, overrides, and what is said of mistakes."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrgcore.errors import RecipeError, UserError
from rrgcore.grammar import FRAGMENT, Section
from rrgcore.recipe import (
    Origin,
    Recipe,
    dump_recipe,
    expand,
    find_recipe,
    list_recipes,
    load_recipe,
)
from rrgcore.types import Generation

KIA = """\
seed: 0
data: {name: phantom, image_size: 112}
model:
  encoder:
    name: vit
    patch_size: 8
    trunk: {name: transformer, dim: 128, norm: pre}
  adapter: identity
  decoder: {name: bert}
objectives:
  mim: {masking: {name: anatomy, p_key: 0.9, p_total: 0.6}}
  mlm: {masking: graph}
  irc: {space: {ref: joint}, queue: 256}
  report: {}
stages:
  align: {epochs: 8, optimizer: {name: RAdam, lr: 1e-3}}
  generate: {epochs: 2, only: [report]}
variants:
  large: {model: {encoder: {patch_size: 16, trunk: {dim: 768}}}}
  report_only: {objectives: {mim: off, mlm: off, irc: off}}
  without_mim: {objectives: {mim: off}}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a recipe into the folder that the test runs in."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "r.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def kia(write: Write) -> Callable[..., Recipe]:
    """Load the recipe above with overrides and variants."""
    path = write(KIA)

    def load(*overrides: str, variants: tuple[str, ...] = ()) -> Recipe:
        return load_recipe(path, overrides=overrides, variants=variants)

    return load


def refused(load: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(*arguments, **options)
    return str(caught.value)


def at(recipe: Recipe, address: str) -> Any:
    value: Any = recipe.values
    for key in address.split("."):
        value = value[key]
    return value


# ---- a recipe by itself ---------------------------------------------------------------------


def test_a_recipe_is_its_values_without_its_variants(kia: Callable[..., Recipe]) -> None:
    recipe = kia()
    assert list(recipe.values) == ["seed", "data", "model", "objectives", "stages"]
    assert recipe.name == "r"
    assert recipe.source == "r.yaml"
    assert recipe.available == ("large", "report_only", "without_mim")
    assert (recipe.variants, recipe.overrides) == ((), ())
    assert at(recipe, "stages.align.optimizer.lr") == 1e-3


def test_every_value_knows_file_and_line(kia: Callable[..., Recipe]) -> None:
    recipe = kia()
    assert recipe.origins["model.encoder"] == Origin("r.yaml", 4)
    assert recipe.origins["model.encoder.trunk.dim"] == Origin("r.yaml", 7)


def test_an_address_that_nobody_said_has_the_origin_of_the_one_above(
    kia: Callable[..., Recipe],
) -> None:
    recipe = kia()
    assert recipe.origin("model.adapter.name") == Origin("r.yaml", 8)
    assert recipe.origin("stages.generate.only[0]") == Origin("r.yaml", 17)
    assert recipe.origin("evaluation.select") is None


def test_loading_needs_no_torch() -> None:
    code = "import sys, rrgcore.recipe; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_environment_variable_is_left_for_later(write: Write) -> None:
    path = write("data: {name: iu_xray, root: $RRG_NOWHERE/iu_xray}")
    assert at(load_recipe(path), "data.root") == "$RRG_NOWHERE/iu_xray"


def test_expand_fills_in_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRG_DATA", "/data")
    assert expand("$RRG_DATA/iu_xray") == "/data/iu_xray"
    assert expand("${RRG_DATA}2/$RRG_DATA") == "/data2//data"
    assert expand("costs 5$ or $5") == "costs 5$ or $5"


@pytest.mark.parametrize("value", [None, ""])
def test_expand_names_a_variable_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("RRG_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("RRG_DATA", value)
    with pytest.raises(ValueError) as caught:
        expand("$RRG_DATA/iu_xray")
    assert str(caught.value) == (
        "the environment variable RRG_DATA in '$RRG_DATA/iu_xray' is not set: export RRG_DATA=…"
    )


def test_all_problems_of_a_file_are_told_at_once(write: Write) -> None:
    path = write(
        """\
        modle: {}
        seed: 1
        model:
          encodr: vit
          encoder:
        objectives: [mim, mlm]
        stages: {align: {epoch: 3}}
        seed: 2
        init: {a=b: x}
        evaluation: CIDEr
        """
    )
    shortened = re.compile(r"Keys: (\w+), (\w+), .*, (\w+)")
    message = shortened.sub(r"Keys: \1, \2, …, \3", refused(load_recipe, path))
    assert message == dedent(
        """\
        r.yaml: 8 problems

          model.encoder (line 5)
            left empty: write {} for its defaults, off to take it away, or null for an option's None

          seed (line 8)
            said twice: first in line 2; keep one of the two

          modle (line 1)
            a recipe has no key 'modle'. Did you mean 'model'?
            Keys: extends, about, …, variants

          model.encodr (line 4)
            `model` has no key 'encodr'. Did you mean 'encoder'?
            Keys: shared, encoder, …, freeze

          objectives (line 6)
            expected a mapping of objectives by name, got ['mim', 'mlm']

          stages.align.epoch (line 7)
            a stage has no key 'epoch'. Did you mean 'epochs'?
            Keys: optimizer, schedule, …, freeze

          init.a=b (line 9)
            'a=b' cannot be a key: addresses are made of keys, '.' and '='

          evaluation (line 10)
            expected a mapping with keys such as select, batch_size, val_studies, got 'CIDEr'"""
    )


def test_a_syntax_error_is_told_with_its_line(write: Write) -> None:
    path = write("seed: 0\nabout: KIA: graph\n")
    assert refused(load_recipe, path) == (
        "r.yaml: 1 problem\n\n"
        "  line 2\n"
        "    found a ':' that does not fit in: about: KIA: graph\n"
        "    Put a value that holds ': ' in quotes, or mend the indentation"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is nothing here"),
        (
            "- a\n- b\n",
            "expected a mapping with keys such as model, objectives, stages; got a list",
        ),
        ("model\n", "expected a mapping with keys such as model, objectives, stages; got 'model'"),
        ("3\n", "expected a mapping with keys such as model, objectives, stages; got 3"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(write: Write, text: str, said: str) -> None:
    assert refused(load_recipe, write(text)) == f"r.yaml: 1 problem\n\n  line 1\n    {said}"


def test_a_file_that_is_not_text_is_refused(write: Write) -> None:
    path = write("")
    path.write_bytes(b"seed: \xff")
    assert refused(load_recipe, path).startswith(
        "r.yaml: 1 problem\n\n    cannot be read: 'utf-8' codec can't decode byte 0xff"
    )


def test_a_byte_order_mark_does_no_harm(write: Write) -> None:
    assert load_recipe(write("\ufeffseed: 3")).values == {"seed": 3}


def test_generation_lists_the_fields_of_its_settings() -> None:
    section = FRAGMENT.keys["generation"]
    assert isinstance(section, Section)
    assert list(section.keys) == [f.name for f in dataclasses.fields(Generation)]


# ---- merging --------------------------------------------------------------------------------


def merged(write: Write, base: str, fragment: str) -> Any:
    """Lay one encoder over another, as a variant does."""
    write(f"model: {{encoder: {base}}}\nvariants: {{v: {{model: {{encoder: {fragment}}}}}}}")
    return load_recipe("r.yaml", variants=["v"]).values["model"].get("encoder", "gone")


@pytest.mark.parametrize(
    ("base", "fragment", "result"),
    [
        # a fragment that repeats no name adjusts
        ("{name: vit, depth: 3}", "{depth: 12}", {"name": "vit", "depth": 12}),
        ("{name: vit, t: {a: 1, b: 2}}", "{t: {b: 3}}", {"name": "vit", "t": {"a": 1, "b": 3}}),
        ("{depth: 3}", "{heads: 4}", {"depth": 3, "heads": 4}),
        # the same name adjusts too
        ("{name: vit, depth: 3}", "{name: vit, dim: 8}", {"name": "vit", "depth": 3, "dim": 8}),
        # another name replaces the block whole
        ("{name: vit, depth: 3}", "{name: swin}", {"name": "swin"}),
        ("{depth: 3}", "{name: swin}", {"name": "swin"}),
        # a ref counts as a name
        ("{name: vit, depth: 3}", "{ref: joint}", {"ref": "joint"}),
        ("{ref: a}", "{ref: b}", {"ref": "b"}),
        ("{ref: a, x: 1}", "{ref: a}", {"ref": "a", "x": 1}),
        ("{ref: vit}", "{name: vit}", {"name": "vit"}),
        ("{ref: vit}", "vit", "vit"),
        # a bare name is short for a block
        ("identity", "{dim: 3}", {"name": "identity", "dim": 3}),
        ("identity", "{name: identity, dim: 3}", {"name": "identity", "dim": 3}),
        ("identity", "{name: linear}", {"name": "linear"}),
        ("identity", "{ref: joint}", {"ref": "joint"}),
        ("{name: vit, depth: 3}", "vit", {"name": "vit", "depth": 3}),
        ("{name: vit, depth: 3}", "swin", "swin"),
        ("vit", "swin", "swin"),
        # everything else is a value
        ("{name: vit, betas: [1, 2]}", "{betas: [3]}", {"name": "vit", "betas": [3]}),
        ("{name: vit, norm: pre}", "{norm: post}", {"name": "vit", "norm": "post"}),
        ("{name: vit, depth: 3}", "{depth: {a: 1}}", {"name": "vit", "depth": {"a": 1}}),
        ("{name: vit, depth: {a: 1}}", "{depth: 3}", {"name": "vit", "depth": 3}),
        ("{name: vit, depth: 3}", "null", None),
        ("null", "{name: vit}", {"name": "vit"}),
        ("{name: vit, flag: true}", "{flag: false}", {"name": "vit", "flag": False}),
        # off takes away, a quoted 'off' is a word
        ("{name: vit, trunk: {dim: 3}}", "{trunk: off}", {"name": "vit"}),
        ("{name: vit}", "off", "gone"),
        ("{name: vit, pool: max}", "{pool: 'off'}", {"name": "vit", "pool": "off"}),
        ("{name: vit, a: {b: 1}}", "{name: swin, a: off}", {"name": "swin"}),
        # a nested component follows the same rules
        ("{name: v, m: graph}", "{m: {p: 1}}", {"name": "v", "m": {"name": "graph", "p": 1}}),
        ("{name: v, m: {name: g, p: 1}}", "{m: label}", {"name": "v", "m": "label"}),
    ],
)
def test_a_fragment_is_laid_over_a_block(
    write: Write, base: str, fragment: str, result: Any
) -> None:
    assert merged(write, base, fragment) == result


def objective(write: Write, base: str, fragment: str) -> Any:
    write(f"objectives: {{mlm: {base}}}\nvariants: {{v: {{objectives: {{mlm: {fragment}}}}}}}")
    return load_recipe("r.yaml", variants=["v"]).values["objectives"]["mlm"]


@pytest.mark.parametrize(
    ("base", "fragment", "result"),
    [
        ("{weight: 2}", "{name: other}", {"name": "other"}),
        ("{weight: 2}", "{name: mlm, p: 1}", {"weight": 2, "name": "mlm", "p": 1}),
        ("{weight: 2}", "mlm", {"weight": 2}),
        ("{weight: 2}", "other", "other"),
        ("{name: mim, weight: 2}", "{p: 1}", {"name": "mim", "weight": 2, "p": 1}),
        ("{name: mim, weight: 2}", "{name: mlm}", {"name": "mlm"}),
        ("mim", "{p: 1}", {"name": "mim", "p": 1}),
        ("{}", "{p: 1}", {"p": 1}),
    ],
)
def test_an_objective_without_a_name_is_named_by_its_key(
    write: Write, base: str, fragment: str, result: Any
) -> None:
    assert objective(write, base, fragment) == result


def test_an_instance_called_name_names_nothing(write: Write) -> None:
    write("objectives: {name: mim, ref: mlm}\nvariants: {v: {objectives: {name: irc}}}")
    found = load_recipe("r.yaml", variants=["v"])
    assert found.values["objectives"] == {"name": "irc", "ref": "mlm"}


def test_an_optimizer_is_what_core_takes_when_none_is_named(write: Write) -> None:
    write(
        """\
        stages: {s: {optimizer: {lr: 1e-3}, schedule: {factor: 0.5}}}
        variants:
          same: {stages: {s: {optimizer: {name: AdamW}, schedule: ConstantLR}}}
          other: {stages: {s: {optimizer: {name: SGD}}}}
        """
    )
    stage = load_recipe("r.yaml", variants=["same"]).values["stages"]["s"]
    assert stage == {"optimizer": {"lr": 1e-3, "name": "AdamW"}, "schedule": {"factor": 0.5}}
    stage = load_recipe("r.yaml", variants=["other"]).values["stages"]["s"]
    assert stage["optimizer"] == {"name": "SGD"}


OF_PHANTOMS = "data: {name: phantom, train: 9, image_size: 8, splits: {val: dev}, annotations: {}}"


@pytest.mark.parametrize("said", ["{data: {name: r2gen}}", "{data: r2gen}"])
def test_another_data_set_takes_the_options_of_the_old_and_leaves_what_is_core_s(
    said: str, write: Write
) -> None:
    write(f"{OF_PHANTOMS}\nvariants: {{v: {said}}}")
    assert load_recipe("r.yaml", variants=["v"]).values["data"] == {
        "image_size": 8,
        "splits": {"val": "dev"},
        "annotations": {},
        "name": "r2gen",
    }


def test_an_override_names_another_data_set_and_keeps_the_pixels(write: Write) -> None:
    write(OF_PHANTOMS)
    overrides = ["data.name=r2gen", "data.image_size=off", "data.splits.test=dev"]
    data = load_recipe("r.yaml", overrides=overrides).values["data"]
    assert data == {
        "splits": {"val": "dev", "test": "dev"},
        "annotations": {},
        "name": "r2gen",
    }


def test_merging_keeps_the_order_of_stages(write: Write) -> None:
    write("stages: {a: {}, b: {}}\nvariants: {v: {stages: {c: {}, a: {epochs: 1}}}}")
    assert list(load_recipe("r.yaml", variants=["v"]).values["stages"]) == ["a", "b", "c"]


def test_an_adjusted_block_stays_where_it_was_said_and_its_new_options_are_where_they_are(
    kia: Callable[..., Recipe],
) -> None:
    recipe = kia(variants=("large",))
    assert recipe.origins["model.encoder"].line == 4
    assert recipe.origins["model.encoder.patch_size"].line == 19
    assert recipe.origins["model.encoder.trunk.norm"].line == 7


def test_a_replaced_block_is_where_the_new_one_was_said(write: Write) -> None:
    write("model:\n  encoder: {name: a, x: 1}\nvariants:\n  v: {model: {encoder: {name: b}}}\n")
    recipe = load_recipe("r.yaml", variants=["v"])
    assert recipe.origins["model.encoder"].line == 4
    assert "model.encoder.x" not in recipe.origins


# ---- variants -------------------------------------------------------------------------------


def test_variants_stack_from_left_to_right(write: Write) -> None:
    write("seed: 0\nvariants: {a: {seed: 1}, b: {seed: 2}}")
    assert load_recipe("r.yaml", variants=["a", "b"]).values == {"seed": 2}
    assert load_recipe("r.yaml", variants=["b", "a"]).values == {"seed": 1}


def test_two_variants_may_take_the_same_away(kia: Callable[..., Recipe]) -> None:
    recipe = kia(variants=("without_mim", "report_only", "without_mim"))
    assert list(recipe.values["objectives"]) == ["report"]


def test_an_unknown_variant_suggests_the_nearest(kia: Callable[..., Recipe]) -> None:
    assert refused(kia, variants=("larg", "report_only")) == (
        "r.yaml: 1 problem\n\n"
        "  --variant larg\n"
        "    no variant is called 'larg'. Did you mean 'large'?\n"
        "    Variants: large, report_only, without_mim"
    )


def test_off_for_what_never_was_is_a_misspelling(write: Write) -> None:
    write(KIA.replace("{mim: off}", "{mimm: off}"))
    assert refused(load_recipe, "r.yaml", variants=["without_mim"]) == (
        "r.yaml: 1 problem\n\n"
        "  objectives.mimm (line 21)\n"
        "    off takes an entry away, and there is no 'mimm' here. Did you mean 'mim'?\n"
        "    There: mim, mlm, irc, report"
    )


def test_off_is_no_false(write: Write) -> None:
    write("model: {encoder: {name: vit, causal: off}}")
    assert refused(load_recipe, "r.yaml") == (
        "r.yaml: 1 problem\n\n"
        "  model.encoder.causal (line 1)\n"
        "    off takes an entry away, and there is no 'causal' here.\n"
        "    There: name\n"
        "    To switch an option off, give it a value: false, or null"
    )


@pytest.mark.parametrize("key", ["extends: b.yaml", "variants: {w: {}}"])
def test_a_variant_has_no_parents_and_no_variants(write: Write, key: str) -> None:
    write(f"variants: {{v: {{{key}}}}}")
    name = key.partition(":")[0]
    assert f"  variants.v.{name} (line 1)\n    a variant has no key '{name}'." in refused(
        load_recipe, "r.yaml"
    )


def test_a_variant_must_be_a_fragment_even_when_it_is_not_asked_for(write: Write) -> None:
    write("variants: {v: tiny, w: {sed: 1}}")
    message = refused(load_recipe, "r.yaml")
    assert "variants.v (line 1)\n    expected a mapping with keys such as about, seed" in message
    assert (
        "variants.w.sed (line 1)\n    a variant has no key 'sed'. Did you mean 'seed'?" in message
    )


# ---- extends --------------------------------------------------------------------------------


def test_a_child_is_laid_over_its_parent(write: Write) -> None:
    write(KIA, "kia.yaml")
    child = write("extends: kia.yaml\nobjectives: {mlm: {masking: label}}\n", "label.yaml")
    recipe = load_recipe(child)
    assert recipe.name == "label"
    assert recipe.values["objectives"]["mlm"] == {"masking": "label"}
    assert "extends" not in recipe.values
    assert recipe.origins["objectives.mlm.masking"] == Origin("label.yaml", 2)
    assert recipe.origins["objectives.mim.masking"] == Origin("kia.yaml", 11)


def test_a_problem_in_the_parent_names_its_file(write: Write) -> None:
    write("sed: 1", "family/parent.yaml")
    child = write("extends: parent.yaml\nsede: 2", "family/child.yaml")
    lines = refused(load_recipe, child).splitlines()
    assert lines[0] == "family/child.yaml: 2 problems"
    assert "  sede (line 2)" in lines
    assert "  sed (family/parent.yaml, line 1)" in lines


def test_a_parent_is_looked_for_beside_its_child(write: Write) -> None:
    write("seed: 3", "a/parent.yaml")
    child = write("extends: ../a/parent.yaml", "b/child.yaml")
    recipe = load_recipe(child)
    assert recipe.values == {"seed": 3}
    assert recipe.origins["seed"] == Origin(str(Path("a/parent.yaml")), 1)


def test_variants_of_one_name_are_applied_one_after_the_other(write: Write) -> None:
    write(
        "model: {adapter: {name: cfe, a: 1}}\nvariants: {v: {model: {adapter: off}}, w: {seed: 1}}",
        "p.yaml",
    )
    write("extends: p.yaml\nvariants: {v: {model: {adapter: {b: 2}}}, x: {}}", "c.yaml")
    recipe = load_recipe("c.yaml", variants=["v"])
    assert recipe.values["model"]["adapter"] == {"b": 2}
    assert recipe.available == ("v", "w", "x")


def test_what_a_child_takes_away_stays_away_under_the_variants_it_inherits(write: Write) -> None:
    base = """
        objectives: {irm: {weight: 1}, mim: {}}
        variants:
          small: {objectives: {irm: {weight: 2}, mim: {weight: 3}}}
          heavy: {objectives: {irm: {weight: 9}}}
    """
    child = """
        extends: base.yaml
        objectives: {irm: off}
        variants:
          small: {seed: 4}
          again: {objectives: {irm: {weight: 5}}}
    """
    write(base, "base.yaml")
    path = write(child, "child.yaml")

    small = load_recipe(path, variants=["small"]).values
    assert small["objectives"] == {"mim": {"weight": 3}}
    assert small["seed"] == 4
    with pytest.raises(RecipeError, match=r"(?s)--variant heavy.*change nothing.* objectives.irm"):
        load_recipe(path, variants=["heavy"])
    again = load_recipe(path, variants=["again"]).values
    assert again["objectives"] == {"mim": {}, "irm": {"weight": 5}}


def test_a_child_can_take_a_variant_away(write: Write) -> None:
    write("variants: {v: {seed: 1}, w: {seed: 2}}", "p.yaml")
    write("extends: p.yaml\nvariants: {v: off}", "c.yaml")
    assert load_recipe("c.yaml").available == ("w",)


def test_a_recipe_cannot_extend_itself(write: Write) -> None:
    write("extends: b.yaml", "a.yaml")
    write("extends: c.yaml", "b.yaml")
    write("extends: a.yaml", "c.yaml")
    assert refused(load_recipe, "a.yaml") == (
        "a.yaml: 1 problem\n\n"
        "  extends (c.yaml, line 1)\n"
        "    a recipe cannot extend itself: a.yaml → b.yaml → c.yaml → a.yaml"
    )


def test_a_parent_that_does_not_exist_is_told_where_it_was_asked_for(write: Write) -> None:
    write("seed: 1\nextends: nowhere.yaml\nsed: 2")
    message = refused(load_recipe, "r.yaml", overrides=["objectives.mim=off"])
    assert message.startswith("r.yaml: 2 problems")
    assert (
        "  extends (line 2)\n    'nowhere.yaml' is no file, and no recipe of rrg's own." in message
    )


@pytest.mark.parametrize("parent", ["[a.yaml, b.yaml]", "off", "3"])
def test_a_recipe_has_one_parent(write: Write, parent: str) -> None:
    write(f"extends: {parent}")
    assert "expected the name of one recipe file" in refused(load_recipe, "r.yaml")


def test_a_parent_that_is_no_recipe_does_not_hide_the_problems_of_its_child(write: Write) -> None:
    write("- a", "p.yaml")
    write("extends: p.yaml\nsed: 1", "c.yaml")
    message = refused(load_recipe, "c.yaml")
    assert message.startswith("c.yaml: 2 problems")
    assert "  p.yaml, line 1\n    expected a mapping" in message


# ---- overrides ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "address", "value"),
    [
        ("seed=7", "seed", 7),
        ("stages.align.optimizer.lr=3e-5", "stages.align.optimizer.lr", 3e-5),
        ("objectives.mim.masking.p_key=0.8", "objectives.mim.masking.p_key", 0.8),
        ("objectives.mim.masking=random", "objectives.mim.masking", "random"),
        ("objectives.mlm.masking.p=0.1", "objectives.mlm.masking", {"name": "graph", "p": 0.1}),
        ("objectives.mlm={name: other}", "objectives.mlm", {"name": "other"}),
        ("objectives.irm={}", "objectives.irm", {}),
        ("objectives.irm={space: {ref: joint}}", "objectives.irm.space", {"ref": "joint"}),
        ("model.adapter.dim=3", "model.adapter", {"name": "identity", "dim": 3}),
        ("model.adapter=hello.pool", "model.adapter", "hello.pool"),
        ("model.encoder.trunk.cross_layers=[0, 1]", "model.encoder.trunk.cross_layers", [0, 1]),
        ("model.encoder.weights=null", "model.encoder.weights", None),
        ("model.encoder.weights='off'", "model.encoder.weights", "off"),
        ("model.encoder.name=swin", "model.encoder", {"name": "swin"}),
        ("model.shared.joint={name: space}", "model.shared.joint", {"name": "space"}),
        ("model.text_encoder=bert", "model.text_encoder", "bert"),
        ("stages.align.clip=1.0", "stages.align.clip", 1.0),
        ("stages.third={epochs: 1}", "stages.third", {"epochs": 1}),
        ("generation.beams=5", "generation.beams", 5),
        ("data.root=a=b", "data.root", "a=b"),
        ("data.annotations.labels={name: rules}", "data.annotations.labels", {"name": "rules"}),
        ("evaluation.metrics.bleu={}", "evaluation.metrics.bleu", {}),
        ("data.limit = 5", "data.limit", 5),
    ],
)
def test_an_override_sets_one_address(
    kia: Callable[..., Recipe], override: str, address: str, value: Any
) -> None:
    recipe = kia(override)
    assert at(recipe, address) == value
    assert recipe.overrides == (override,)


@pytest.mark.parametrize("prefix", ["init", "stages.align.optimizer.lr_of"])
def test_a_part_of_the_model_is_one_key(kia: Callable[..., Recipe], prefix: str) -> None:
    recipe = kia(f"{prefix}.shared.joint=1e-5", f"{prefix}.encoder=1e-6")
    assert at(recipe, prefix) == {"shared.joint": 1e-5, "encoder": 1e-6}
    assert recipe.origin(f"{prefix}.shared.joint") == Origin("command line", None)


def test_off_takes_an_objective_away(kia: Callable[..., Recipe]) -> None:
    assert list(kia("objectives.mim=off", "objectives.irc=off").values["objectives"]) == [
        "mlm",
        "report",
    ]


def test_overrides_are_applied_in_order_and_after_variants(kia: Callable[..., Recipe]) -> None:
    recipe = kia(
        "model.encoder.patch_size=1",
        "model.encoder.patch_size=32",
        "objectives.irm={space: a}",
        "objectives.irm.weight=2",
        variants=("large",),
    )
    assert at(recipe, "model.encoder.patch_size") == 32
    assert at(recipe, "objectives.irm") == {"space": "a", "weight": 2}


def test_an_override_comes_from_the_command_line_and_its_neighbours_stay(
    kia: Callable[..., Recipe],
) -> None:
    recipe = kia("model.encoder.patch_size=16")
    assert recipe.origins["model.encoder.patch_size"] == Origin("command line", None)
    assert recipe.origins["model.encoder.trunk"] == Origin("r.yaml", 7)
    assert recipe.origins["model.encoder"] == Origin("r.yaml", 4)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "modle.adapter=x",
            "  modle.adapter (command line)\n"
            "    a recipe has no key 'modle'. Did you mean 'model'?\n"
            "    Keys: about, seed, data, model, objectives, stages, generation, evaluation, init",
        ),
        (
            "model.encodr=vit",
            "  model.encodr (command line)\n"
            "    `model` has no key 'encodr'. Did you mean 'encoder'?\n"
            "    Keys: shared, encoder, views, adapter, decoder, text_encoder, freeze",
        ),
        (
            "objectives.mimm.weight=0.5",
            "  objectives.mimm.weight (command line)\n"
            "    there is no objective 'mimm' to adjust. Did you mean 'mim'?\n"
            "    There: mim, mlm, irc, report. To add one: objectives.mimm={…}",
        ),
        (
            "stages.algin.epochs=3",
            "  stages.algin.epochs (command line)\n"
            "    there is no stage 'algin' to adjust. Did you mean 'align'?\n"
            "    There: align, generate. To add one: stages.algin={…}",
        ),
        (
            "objectives.irm=off",
            "  objectives.irm (command line)\n"
            "    off takes an entry away, and there is no 'irm' here. Did you mean 'irc'?\n"
            "    There: mim, mlm, irc, report",
        ),
        (
            "model.adapter=[a]=b",
            "  model.adapter (command line)\n    there is more here than one value: [a]=b",
        ),
        (
            "objectives.irm=",
            "  objectives.irm (command line)\n"
            "    left empty: write {} for its defaults, off to take it away, "
            "or null for an option's None",
        ),
        (
            "objectives.irm={space:joint}",
            "  objectives.irm.space:joint (command line)\n"
            "    expected a space after ':' in 'space:joint'",
        ),
        (
            "model.encoder.patch_size.x=1",
            "  model.encoder.patch_size.x (command line)\n"
            "    model.encoder.patch_size is 8, a value: model.encoder.patch_size=…",
        ),
        (
            "stages.generate.only.0=mim",
            "  stages.generate.only.0 (command line)\n"
            "    stages.generate.only is one value, without parts: stages.generate.only=…",
        ),
        (
            "objectives=mim",
            "  objectives (command line)\n    expected a mapping of objectives by name, got 'mim'",
        ),
        (
            "stages.align=3",
            "  stages.align (command line)\n"
            "    expected a mapping with keys such as optimizer, schedule, epochs, got 3",
        ),
        (
            "extends=other.yaml",
            "  extends (command line)\n    'extends' is said in the file, not in an override",
        ),
        ("seed", "  seed (command line)\n    expected ADDRESS=VALUE, such as seed=…"),
        (
            "large",
            "  large (command line)\n"
            "    expected ADDRESS=VALUE; a variant is chosen with --variant large",
        ),
        (
            "model..x=1",
            "  model..x=1 (command line)\n"
            "    expected an address before '=', such as model.encoder",
        ),
    ],
)
def test_an_override_that_fits_nothing_is_refused(
    kia: Callable[..., Recipe], override: str, problem: str
) -> None:
    assert refused(kia, override) == f"r.yaml: 1 problem\n\n{problem}"


def test_an_override_of_unknown_address_suggests_the_nearest(kia: Callable[..., Recipe]) -> None:
    assert "Did you mean 'epochs'?" in refused(kia, "stages.align.epoch=3")


def test_problems_of_file_variants_and_overrides_come_together(write: Write) -> None:
    write("sed: 0")
    message = refused(load_recipe, "r.yaml", overrides=["modle=1", "see=2"], variants=["v"])
    assert message.startswith("r.yaml: 4 problems")


def test_options_that_a_component_may_have_are_left_to_the_check(
    kia: Callable[..., Recipe],
) -> None:
    recipe = kia("objectives.mlm.p_keys=0.8", "data.bacth_size=3")
    assert at(recipe, "objectives.mlm.p_keys") == 0.8
    assert at(recipe, "data.bacth_size") == 3


def test_a_second_load_starts_from_the_file_again(kia: Callable[..., Recipe]) -> None:
    before = kia().values
    kia("objectives.mim=off", "stages.generate.only=[mim]").values["model"].clear()
    assert kia().values == before


# ---- finding --------------------------------------------------------------------------------


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the recipes that are installed with rrg."""
    folder = tmp_path / "site" / "rrg_recipes"
    (folder / "mixed").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "kia_graph.yaml").write_text("seed: 1")
    (folder / "mixed" / "vit_llama.yaml").write_text("extends: ../kia_graph.yaml")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.chdir(tmp_path)
    return folder


def test_installed_recipes_are_listed_with_their_folders(packaged: Path) -> None:
    assert list_recipes() == {
        "kia_graph": packaged / "kia_graph.yaml",
        "mixed/vit_llama": packaged / "mixed" / "vit_llama.yaml",
    }


@pytest.mark.parametrize("name", ["kia_graph", "kia_graph.yaml"])
def test_an_installed_recipe_is_found_by_name(packaged: Path, name: str) -> None:
    assert find_recipe(name) == packaged / "kia_graph.yaml"


def test_a_file_goes_before_an_installed_recipe(packaged: Path) -> None:
    Path("kia_graph.yaml").write_text("seed: 2")
    assert load_recipe("kia_graph.yaml").values == {"seed": 2}
    assert load_recipe("kia_graph").values == {"seed": 1}


def test_an_installed_recipe_may_extend_its_sibling(packaged: Path) -> None:
    recipe = load_recipe("mixed/vit_llama")
    assert recipe.origins["seed"] == Origin("kia_graph.yaml", 1)


def test_a_file_may_extend_an_installed_recipe(packaged: Path) -> None:
    Path("mine.yaml").write_text("extends: kia_graph\nabout: mine")
    assert load_recipe("mine.yaml").values == {"seed": 1, "about": "mine"}


@pytest.mark.parametrize("name", ["kia_grph", "recipes/kia_graph.yaml", "./kia_graph.yml"])
def test_a_recipe_that_does_not_exist_suggests_the_nearest(packaged: Path, name: str) -> None:
    assert refused(find_recipe, name) == (
        f"'{name}' is no file, and no recipe of rrg's own. Did you mean 'kia_graph'?\n"
        "Recipes: kia_graph, mixed/vit_llama"
    )


def test_a_folder_is_no_recipe(packaged: Path) -> None:
    assert refused(find_recipe, "site").startswith("'site' is a folder, not a recipe.")


# ---- writing --------------------------------------------------------------------------------

options = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["off", "1e-4", "graph", "$X/y", "two\nlines", "", "12:30"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "ref", "off", "p"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["mim", "mlm", "name"]), options, max_size=3))
def test_a_written_recipe_is_loaded_to_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, objectives: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("written") / "recipe.yaml"
    values = {"objectives": objectives, "init": {"shared.joint": "run:a"}}
    path.write_text(dump_recipe(values), encoding="utf-8")
    assert repr(load_recipe(path).values) == repr(values)


def test_a_resolved_recipe_can_be_written_and_loaded_again(kia: Callable[..., Recipe]) -> None:
    recipe = kia("objectives.irm={}", "model.encoder.weights=null", variants=("large",))
    Path("resolved.yaml").write_text(dump_recipe(recipe.values), encoding="utf-8")
    assert load_recipe("resolved.yaml").values == recipe.values


def test_errors_are_recipe_errors_that_carry_their_problems(kia: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError) as caught:
        kia("sed=1", "model.encodr=2")
    assert [problem.address for problem in caught.value.problems] == ["sed", "model.encodr"]
    assert {problem.file for problem in caught.value.problems} == {"command line"}


# ---- variants on top of others --------------------------------------------------------------


def test_a_variant_brings_those_it_is_on_top_of_and_each_only_once(write: Write) -> None:
    write(
        "seed: 0\nvariants:\n  a: {seed: 1, about: a}\n  b: {on: a, seed: 2}\n"
        "  c: {on: [a, b], init: {encoder: run:x}}"
    )
    recipe = load_recipe("r.yaml", variants=["c"])
    assert recipe.values == {"seed": 2, "about": "a", "init": {"encoder": "run:x"}}
    assert recipe.variants == ("c",)
    assert load_recipe("r.yaml", variants=["b", "a"]).values["seed"] == 2


def test_a_variant_on_top_of_nothing_known_suggests_the_nearest(write: Write) -> None:
    write("variants:\n  alpha: {seed: 1}\n  b: {on: alhpa}")
    message = refused(load_recipe, "r.yaml", variants=["b"])
    assert (
        "variants.b.on (line 3)\n    no variant is called 'alhpa'. Did you mean 'alpha'?" in message
    )


def test_variants_on_top_of_each_other_are_refused(write: Write) -> None:
    write("variants: {a: {on: b}, b: {on: a}}")
    message = refused(load_recipe, "r.yaml", variants=["a"])
    assert "variants wait for each other: a → b → a" in message
