"""What the papers say of their settings, held against what the recipes resolve to.

A setting of the phantoms' that slipped into a variant of the paper's scale would check, train and
be wrong.
"""

from pathlib import Path
from typing import Any

import pytest

from rrgcore.check import check_recipe
from rrgcore.plugins import Discovered
from rrgcore.recipe import load_recipe
from rrgcore.resolve import resolved

RECIPES = Path(__file__).parent.parent.parent / "recipes"

CMEAA_IU = {
    "data.batch_size": 8,  # A.3
    "data.image_size": 224,  # footnote 5
    "data.annotations.ngrams.name": "organ",
    "data.annotations.ngrams.frequency": 150,  # fidelity §3
    "data.annotations.ngrams.min_pmi": 1,
    "data.annotations.ngrams.top": 30,
    "model.encoder.dim": 128,  # 1,024 wide after three mergings
    "model.encoder.depths": [2, 2, 18, 2],
    "model.encoder.window": 7,
    "model.adapter.temperature": 10,  # C3
    "model.adapter.hidden": 8,  # C2
    "model.adapter.enhance.observations": "all",  # C6
    "model.adapter.align.k": 256,  # Table 3
    "model.decoder.weights": "meta-llama/Llama-2-7b-chat-hf",
    "model.decoder.frozen": True,  # §2.1
    "objectives.mine.weight": 0.1,  # C14
    "objectives.mine.clip": None,
    "stages.train.epochs": 10,  # A.3
    "stages.train.evaluate_every": 1,
    "stages.train.precision": "bf16",
    "stages.train.warmup": 0,
    "stages.train.clip": None,
    "stages.train.optimizer.lr": 1e-4,  # A.3
    "generation.beams": 3,
    "generation.repetition_penalty": 2.0,
    "evaluation.val_beams": None,
}
CMEAA_MIMIC = CMEAA_IU | {
    "data.batch_size": 6,  # A.3
    "data.cleaning": "r2gen-mimic",
    "data.annotations.ngrams.frequency": 200,  # ORGan's
    "stages.train.epochs": 3,  # A.3
    "stages.train.optimizer.lr": 1e-5,  # A.3
    "stages.train.schedule.T_max": 3,
    "evaluation.metrics.r2gen.dataset": "mimic_cxr",
}
REPORT = {"report"}
KIA_ROWS = {  # Table 3, by its marks
    "report_only": REPORT,
    "a_mim_general": REPORT | {"mim"},
    "b_mim_anatomy": REPORT | {"mim"},
    "c_mlm_general": REPORT | {"mlm"},
    "d_mlm_graph": REPORT | {"mlm"},
    "e_mlm_label": REPORT | {"mlm"},
    "f_mim_mlm": REPORT | {"mim", "mlm"},
    "g_irc_irm": REPORT | {"irc", "irm"},
    "without_mim": REPORT | {"mlm", "irc", "irm"},
    "without_mlm": REPORT | {"mim", "irc", "irm"},
}
MASKINGS = {
    "a_mim_general": ("mim", "random_patches"),
    "b_mim_anatomy": ("mim", "anatomy"),
    "c_mlm_general": ("mlm", "random_words"),
    "d_mlm_graph": ("mlm", "graph"),
    "e_mlm_label": ("mlm", "label"),
}


def values(recipe: str, *variants: str, found: Discovered) -> dict[str, Any]:
    """Resolve a recipe as `rrg show` does, without its data and model."""
    read = load_recipe(RECIPES / f"{recipe}.yaml", variants=variants)
    return dict(resolved(check_recipe(read, found.registry, expand_paths=False)))


def at(resolved: Any, address: str) -> Any:
    """Return a value by its address; None where there is none, as for what is switched off."""
    for key in address.split("."):
        resolved = resolved.get(key) if isinstance(resolved, dict) else None
    return None if resolved == "off" else resolved


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RRG_DATA", raising=False)
    monkeypatch.setattr("rrgcore.tokens.hub_reachable", lambda: False)


@pytest.mark.parametrize(
    ("variant", "settings"), [("iu_xray", CMEAA_IU), ("mimic_cxr", CMEAA_MIMIC)]
)
def test_cmeaa_at_the_papers_scale_has_the_papers_settings(
    variant: str, settings: dict[str, Any], plugins: Discovered
) -> None:
    resolved = values("cmeaa", variant, found=plugins)
    assert {address: at(resolved, address) for address in settings} == settings


@pytest.mark.parametrize("k", [32, 64, 128, 256, 512])
def test_a_row_of_cmeaa_s_table_3_has_its_k(k: int, plugins: Discovered) -> None:
    assert at(values("cmeaa", f"k{k}", found=plugins), "model.adapter.align.k") == k


def test_the_rows_of_cmeaa_s_table_2_have_the_parts_that_it_marks(plugins: Discovered) -> None:
    parts = {
        row: tuple(
            at(resolved, address) is not None
            for address in ("model.adapter.enhance", "model.adapter.align", "objectives.mine")
        )
        for row in ("a_linear", "b_cfe", "c_nmia", "")
        for resolved in [values("cmeaa", *filter(None, [row]), found=plugins)]
    }
    assert parts == {
        "a_linear": (False, False, False),
        "b_cfe": (True, False, False),
        "c_nmia": (False, True, True),
        "": (True, True, True),
    }


@pytest.mark.parametrize("row", KIA_ROWS)
def test_a_row_of_kia_s_table_3_has_the_tasks_that_it_marks(row: str, plugins: Discovered) -> None:
    resolved = values("kia_graph", row, found=plugins)
    assert set(resolved["objectives"]) == KIA_ROWS[row]
    if row in MASKINGS:
        objective, masking = MASKINGS[row]
        assert at(resolved, f"objectives.{objective}.masking.name") == masking
