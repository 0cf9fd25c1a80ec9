"""Every recipe and every variant checks; every recipe runs at its tiniest.

What a variant takes from the hub or from a data set is replaced by small things that the tests
make.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rrgcore import load_recipe
from rrgcore.plugins import Discovered
from rrgcore.recipe import list_recipes
from rrgcore.recipe import load_recipe as read_recipe

RECIPES = Path(__file__).parent.parent.parent / "recipes"
FILES = sorted(RECIPES.rglob("*.yaml"))
CASES = [
    (file.relative_to(RECIPES).with_suffix("").as_posix(), variant)
    for file in FILES
    for variant in ("", *read_recipe(file).available)
]


def test_all_recipes_are_found_and_installed() -> None:
    """A glob that finds nothing tests nothing."""
    assert len(FILES) == 2
    installed = {name: path.read_text(encoding="utf-8") for name, path in list_recipes().items()}
    assert installed == {
        file.relative_to(RECIPES).with_suffix("").as_posix(): file.read_text(encoding="utf-8")
        for file in FILES
    }
    assert len(CASES) > 50


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, r2gen_writer: Callable[[Path], Path]) -> Path:
    root = tmp_path_factory.mktemp("data")
    for folder in (root, root / "iu_xray", root / "mimic_cxr"):
        r2gen_writer(folder)
    return root


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT tokenizer of a few words, in a folder as the hub's."""
    from transformers import BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "no", "effusion", "present"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def at_hand(values: Mapping[str, Any], tokenizer: Path, above: str = "") -> Iterator[str]:
    """Return overrides that replace what a recipe takes from the hub, wherever it says so."""
    for key, value in values.items():
        address = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from at_hand(value, tokenizer, f"{address}.")
        elif (key == "weights" and isinstance(value, str)) or key == "vocabulary":
            yield f"{address}=off"
        elif key == "tokenizer" and value != "words":
            yield f"{address}={tokenizer}"
        elif address == "objectives.irc.queue":
            yield f"{address}=2"


@pytest.mark.parametrize(("recipe", "variant"), CASES)
def test_a_variant_checks(
    recipe: str,
    variant: str,
    data: Path,
    tokenizer: Path,
    plugins: Discovered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RRG_DATA", str(data))
    variants = [variant] if variant else []
    path = RECIPES / f"{recipe}.yaml"
    values = read_recipe(path, variants=variants).values
    overrides = list(at_hand(values, tokenizer))
    if values["data"]["name"] == "phantom":
        overrides.append("data={train: 12, val: 4, test: 4}")

    plan = load_recipe(path, variants=variants, overrides=overrides, plugins=plugins).check(
        images=False
    )
    assert plan.recipe.variants == tuple(variants)


@pytest.mark.parametrize("recipe", [file.stem for file in FILES])
def test_tiny_runs_and_writes_a_report(recipe: str, tmp_path: Path, plugins: Discovered) -> None:
    run = load_recipe(RECIPES / f"{recipe}.yaml", variants=["tiny"], plugins=plugins).run(
        tmp_path / "run"
    )

    steps = [line for line in run.folder.metrics() if "split" not in line]
    assert [line["step"] for line in steps] == [1, 2] * len(run.plan.stages)
    assert {"mim", "mlm", "irc", "irm", "report"} <= steps[0].keys()
    assert len(run.predictions) == 4
    assert any(pair.prediction for pair in run.predictions)


ROWS = (
    "report_only", "a_mim_general", "b_mim_anatomy", "c_mlm_general", "d_mlm_graph", "e_mlm_label",
    "f_mim_mlm", "g_irc_irm", "without_mim", "without_mlm", "one_trunk", "unshared", "mask_50_70",
)  # fmt: skip


@pytest.mark.parametrize("variant", ROWS)
def test_a_row_of_the_papers_tables_trains(
    variant: str, tmp_path: Path, plugins: Discovered
) -> None:
    overrides = [
        "evaluation={probes: false, baselines: false}",
        "evaluation.metrics={findings: off, coco: {meteor: false}}",
    ]
    if variant == "unshared":
        trunk = "{dim: 16, depth: 1, heads: 2}"
        names = ("image_cross_trunk", "text_cross_trunk", "decoder_trunk")
        overrides += [f"model.shared.{name}={trunk}" for name in names]
    run = load_recipe(
        RECIPES / "kia_graph.yaml",
        variants=["tiny", variant],
        overrides=overrides,
        plugins=plugins,
    ).run(tmp_path / "run")

    assert run.folder.state == "finished"


def test_variants_stack_left_to_right(plugins: Discovered) -> None:
    def masking(*variants: str) -> float:
        recipe = load_recipe(RECIPES / "kia_graph.yaml", variants=variants, plugins=plugins)
        return float(recipe.plan.objectives["mim"].options["masking"].options["p_total"])

    assert masking("tiny", "mask_50_70", "mask_70_80") == 0.7
    assert masking("tiny", "mask_70_80", "mask_50_70") == 0.5


# ---- the paper's scale --------------------------------------------------------------------------

LAYER = 12 * 7_087_872
"""Twelve layers of width 768: self-attention 2,362,368, its norm and the output's 3,072, FFN 4,722,432."""  # noqa: E501
CROSS = 12 * 2_363_904
"""Twelve of cross-attention with a norm of its own: 28.37M."""
PATCHES = 85_798_656 - LAYER
"""timm's ViT-B/16 without head, less its layers: patches, positions, [CLS], the last norm."""
WORDS = 768 * 30_524 + 396_288
"""BERT's word embeddings with [MATCH] and [START]; positions, types and their norm."""
NORM = 1_536
LM = 592_128 + 30_524
HEADS = LM + 590_592 + 393_728 + 1_538 + 1
"""The word head (tied), mim's, the projections, irm's, and irc's temperature."""
MASK = 768

LAYOUTS = {
    # I-Enc = I-CMEnc, T-Enc = T-CMEnc = T-Dec
    "within each modality": (["iu_xray"], 2 * (LAYER + CROSS) + WORDS + HEADS),
    "one stack for images and text": (["iu_xray_one_trunk"], LAYER + CROSS + WORDS + HEADS),
    # T-Enc and T-CMEnc share their embeddings; I-CMEnc's stack has a last norm of its own
    "five stacks": (["iu_xray_unshared"], 5 * LAYER + 3 * CROSS + 2 * WORDS + HEADS + LM + NORM),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameters_at_the_papers_scale(
    layout: str, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without data, weights or network, and without allocating them: docs/papers/kia.md counts."""
    monkeypatch.delenv("RRG_DATA", raising=False)
    monkeypatch.setattr("rrgcore.tokens.hub_reachable", lambda: False)
    variants, expected = LAYOUTS[layout]
    shown = load_recipe(RECIPES / "kia_graph.yaml", variants=variants, plugins=plugins).show()

    counted = [weight for weight in shown.weights if "twin" not in weight.part]
    assert sum(weight.trainable for weight in counted) == expected + PATCHES + MASK
    assert any("RRG_DATA" in line for line in shown.absent)
    assert any("bert-base-uncased" in line for line in shown.absent)
