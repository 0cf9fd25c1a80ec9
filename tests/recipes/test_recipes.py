"""Every recipe and every variant checks; every recipe runs at its tiniest.

What a variant takes from the hub or from a data set is replaced by small things that the tests
make.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rrg_phantom.dataset import PhantomDataset
from rrgcore import load_recipe
from rrgcore.errors import RecipeError
from rrgcore.installed import list_recipes
from rrgcore.plugins import Discovered
from rrgcore.recipe import load_recipe as read_recipe
from rrgcore.run import Run
from rrgcore.study import ImageRef
from rrgcore.yaml_loader import read_yaml

from ..backbones.tiny_llama import write_llama

RECIPES = Path(__file__).parent.parent.parent / "recipes"
FILES = sorted(p for p in RECIPES.rglob("*.yaml") if p.parent.name != "ablations")
NAMES = [file.relative_to(RECIPES).with_suffix("").as_posix() for file in FILES]
CASES = [
    (name, variant)
    for name, file in zip(NAMES, FILES, strict=True)
    for variant in ("", *read_recipe(file).available)
]
MIXED = ("cmeaa_label_mlm", "kia_encoder_llama", "kia_nmia", "swin_cmeaa_irc_bert", "vit_irc_llama")


def test_all_recipes_are_found_and_installed() -> None:
    """A glob that finds nothing tests nothing."""
    assert {"cmeaa", "kia_graph", "kia_label", *(f"mixed/{name}" for name in MIXED)} == set(NAMES)
    installed = {name: path.read_text(encoding="utf-8") for name, path in list_recipes().items()}
    assert installed == {
        name: file.read_text(encoding="utf-8") for name, file in zip(NAMES, FILES, strict=True)
    }
    assert len(CASES) > 80


@pytest.fixture(scope="module", autouse=True)
def _once() -> Iterator[None]:
    """Read each file once and draw each phantom once: to do so again takes longer than the rest."""
    drawn: dict[tuple[str, int, ImageRef], Any] = {}
    draw = PhantomDataset.open

    def open(dataset: PhantomDataset, image: ImageRef) -> Any:
        key = (str(dataset.fingerprint()), dataset.image_size, image)
        if key not in drawn:
            drawn[key] = draw(dataset, image)
        return drawn[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PhantomDataset, "open", open)
        patch.setattr("rrgcore.recipe.read_yaml", cache(read_yaml))
        yield


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


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights with a tokenizer of its own, in a folder as the hub's."""
    return write_llama(tmp_path_factory.mktemp("llama"), max_position_embeddings=1024)


def at_hand(
    values: Mapping[str, Any], tokenizer: Path, llama: Path, above: str = ""
) -> Iterator[str]:
    """Return overrides that replace what a recipe takes from the hub, wherever it says so."""
    published = values.get("name") == "llama2" and isinstance(values.get("weights"), str)
    for key, value in values.items():
        address = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from at_hand(value, tokenizer, llama, f"{address}.")
        elif published and key in ("weights", "tokenizer"):
            yield f"{address}={llama}"
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
    llama: Path,
    plugins: Discovered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RRG_DATA", str(data))
    variants = [variant] if variant else []
    path = RECIPES / f"{recipe}.yaml"
    values = read_recipe(path, variants=variants).values
    overrides = list(at_hand(values, tokenizer, llama))
    if values["data"]["name"] == "phantom":
        overrides.append("data={train: 12, val: 4, test: 4}")
    if "init" in values:  # a run of that very size; below there is one for the tiny variant
        overrides.append("init=off")

    plan = load_recipe(path, variants=variants, overrides=overrides, plugins=plugins).check(
        images=False
    )
    assert plan.recipe.variants == tuple(variants)


# ---- tiny runs ------------------------------------------------------------------------------

QUICK = (
    "evaluation={baselines: false}",
    "evaluation.metrics={clinical: off, findings: off, r2gen: off, coco: {meteor: false}}",
)
"""Less to measure; what a recipe says it measures is run once, with kia_graph."""


def run_tiny(
    recipe: str, out: Path, plugins: Discovered, *more: str, variants: Sequence[str] = ()
) -> Run:
    path = RECIPES / f"{recipe}.yaml"
    return load_recipe(path, variants=["tiny", *variants], overrides=more, plugins=plugins).run(out)


@pytest.fixture(scope="module")
def kia_run(tmp_path_factory: pytest.TempPathFactory, plugins: Discovered) -> Run:
    return run_tiny("kia_graph", tmp_path_factory.mktemp("kia") / "run", plugins)


@pytest.mark.parametrize("recipe", NAMES)
def test_tiny_runs_and_writes_a_report(
    recipe: str,
    kia_run: Run,
    tmp_path: Path,
    plugins: Discovered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RRG_KIA_RUN", str(kia_run.path))
    whole = recipe == "kia_graph"
    run = kia_run if whole else run_tiny(recipe, tmp_path / "run", plugins, *QUICK)

    steps = [line for line in run.folder.metrics() if "split" not in line]
    assert [line["step"] for line in steps] == [1, 2] * len(run.plan.stages)
    assert set(run.plan.objectives) <= {name for line in steps for name in line}
    assert len(run.predictions) == 4
    assert any(pair.prediction for pair in run.predictions)


def test_a_llama_starts_on_the_encoder_that_kia_trained(
    kia_run: Run, tmp_path: Path, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands still, so that the new run's is the old one's to the last bit."""
    monkeypatch.setenv("RRG_KIA_RUN", str(kia_run.path))
    run = run_tiny(
        "mixed/kia_encoder_llama", tmp_path / "run", plugins, *QUICK, "evaluation.probes=false"
    )
    old, new = (each.model().parts.encoder.state_dict() for each in (kia_run, run))
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.encoder.trunk.dim=32", "this model's is 1 × 1 × 32"),
        ("model.encoder.trunk.depth=2", "holds no trunk.layers.1"),
    ],
)
def test_an_encoder_of_another_size_than_kia_s_is_refused(
    override: str, told: str, kia_run: Run, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRG_KIA_RUN", str(kia_run.path))
    session = load_recipe(
        RECIPES / "mixed/kia_encoder_llama.yaml",
        variants=["tiny"],
        overrides=[override],
        plugins=plugins,
    )
    with pytest.raises(RecipeError) as refused:
        session.check(images=False)
    assert [problem.address for problem in refused.value.problems] == ["init.encoder"]
    assert told in refused.value.problems[0].text


KIA_ROWS = (
    "report_only", "a_mim_general", "b_mim_anatomy", "c_mlm_general", "d_mlm_graph", "e_mlm_label",
    "f_mim_mlm", "g_irc_irm", "without_mim", "without_mlm", "one_trunk", "unshared", "mask_50_70",
)  # fmt: skip
CMEAA_ROWS = ("a_linear", "b_cfe", "c_nmia", "k32", "k64", "k128", "k256", "k512")
ROWS = [("kia_graph", row) for row in KIA_ROWS] + [("cmeaa", row) for row in CMEAA_ROWS]


@pytest.mark.parametrize(("recipe", "row"), ROWS)
def test_a_row_of_the_papers_tables_trains(
    recipe: str, row: str, tmp_path: Path, plugins: Discovered
) -> None:
    overrides = [*QUICK, "evaluation.probes=false"]
    if row == "unshared":
        trunk = "{dim: 16, depth: 1, heads: 2}"
        names = ("image_cross_trunk", "text_cross_trunk", "decoder_trunk")
        overrides += [f"model.shared.{name}={trunk}" for name in names]
    # how observations are known is not what the tables are about, and takes as long as the rest
    known = ["oracle"] if recipe == "cmeaa" else []
    run = run_tiny(recipe, tmp_path / "run", plugins, *overrides, variants=[*known, row])

    assert run.folder.state == "finished"


def test_a_frozen_llama_is_bit_identical_after_cmeaa_was_trained(
    llama: Path, tmp_path: Path, plugins: Discovered
) -> None:
    """CmEAA, §2.1: the language model stands still. Its checkpoint names it and goes on without."""
    frozen = f"model.decoder={{weights: {llama}, tokenizer: {llama}, frozen: true}}"
    sizes = [f"model.decoder.{key}=off" for key in ("dim", "depth", "heads", "hidden")]
    run = run_tiny(
        "cmeaa",
        tmp_path / "run",
        plugins,
        *QUICK,
        *sizes,
        frozen,
        "evaluation.probes=false",
        "stages.train={steps: 6, optimizer: {lr: 0.01, weight_decay: 0.5}}",
        variants=["oracle"],
    )
    published = load_file(llama / "model.safetensors")
    after = run.model().parts.decoder.state_dict()
    compared = [name for name in published if f"llm.{name}" in after]
    assert len(compared) > 10
    assert all(torch.equal(after[f"llm.{name}"], published[name]) for name in compared)

    saved = load_file(run.folder.best / "model.safetensors")
    assert not [name for name in saved if name.startswith("parts.decoder.")]
    assert [name for name in saved if name.startswith("parts.adapter.")]


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


CFE_NMIA = {
    "encoder": (86_743_224, 0),
    "adapter": (34_138_378, 0),
    "decoder": (0, 6_738_415_616),
    "objectives.mine": (1_246_209, 0),
}
"""Swin-B, the adapter, Llama-2-7B, and what `mine` has: trainable, frozen."""
OF_ROWS = {"a_linear": 4_206_592, "b_cfe": 33_612_810, "c_nmia": 4_752_650}
"""The adapter alone."""


def count(variants: list[str], plugins: Discovered) -> dict[str, tuple[int, int]]:
    shown = load_recipe(RECIPES / "cmeaa.yaml", variants=variants, plugins=plugins).show()
    return {
        weight.part: (weight.trainable, weight.frozen)
        for weight in shown.weights
        if weight.trainable or weight.frozen
    }


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RRG_DATA", raising=False)
    monkeypatch.setattr("rrgcore.tokens.hub_reachable", lambda: False)


@pytest.mark.usefixtures("offline")
def test_cmeaa_s_parameters_at_the_papers_scale(plugins: Discovered) -> None:
    """Without data, weights or network, and without allocating them."""
    assert count(["iu_xray"], plugins) == CFE_NMIA


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("row", OF_ROWS)
def test_parameters_of_a_row_of_cmeaa_s_table_2(row: str, plugins: Discovered) -> None:
    assert count(["iu_xray", row], plugins)["adapter"] == (OF_ROWS[row], 0)
