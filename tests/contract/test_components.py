"""Every component of this repository keeps the contract that third parties are held to."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rrgcore import Component, discover
from rrgcore.registry import KINDS
from rrgcore.testing import check_component, make_studies, make_study

from ..conftest import write_r2gen
from ..data.mimic import write_mimic
from ..data.openi import write_openi
from ..data.tables import write_reports
from ..knowledge.chat_server import write_answers
from ..knowledge.embeddings import write_embeddings, write_probability_table
from ..knowledge.fake_radgraph import write_graphs, write_interpreter
from ..knowledge.tables import write_box_table, write_label_table, write_scene_graphs
from ..knowledge.tiny_chat import write_model
from ..knowledge.tiny_chexbert import write_chexbert
from ..knowledge.tiny_run import write_run

NAMES = Path(__file__).parent / "components.txt"
FOUND = discover()
OURS = {
    (component.kind, component.name): component
    for plugin in FOUND.plugins
    if plugin.origin == "rrg"
    for component in plugin.components
}

LLAMA = {"dim": 32, "depth": 2, "heads": 4, "hidden": 48, "max_tokens": 128}

OPTIONS: Mapping[str, Callable[[Path], Mapping[str, Any]]] = {
    "adapter cmeaa": lambda _: {
        "enhance": {"name": "cfe", "heads": 4},
        "align": {"name": "nmia", "k": 8},
    },
    "adapter identity": lambda _: {"image_dim": 16, "visual_dim": 16},
    "annotator box_table": lambda folder: {"path": write_box_table(folder / "boxes.csv")},
    "annotator chexbert": write_chexbert,
    "annotator classifier": lambda _: {"epochs": 1, "batch_size": 4},
    "annotator label_table": lambda folder: {
        "path": write_label_table(folder / "labels.csv", [study.id for study in make_studies()])
    },
    "annotator nearest_by_matrix": lambda folder: write_embeddings(
        folder, [study.id for study in make_studies()]
    ),
    "annotator nearest_by_run": lambda folder: {"run": str(write_run(folder / "run"))},
    "annotator observe_endpoint": write_answers,
    "annotator observe_local": lambda folder: {"model": write_model(folder / "chat")},
    "annotator probability_table": lambda folder: {
        "path": write_probability_table(
            folder / "probabilities.csv", [study.id for study in make_studies()]
        )
    },
    "annotator radgraph_file": lambda folder: {
        "path": write_graphs(
            folder / "graphs.json", {study.id: study.report or "" for study in make_studies()}
        )
    },
    "annotator radgraph_package": lambda folder: {
        "python": write_interpreter(folder / "radgraph"),
        "cache": str(folder / "cache.jsonl"),
    },
    "annotator scene_graphs": lambda folder: {"path": write_scene_graphs(folder / "graphs")},
    "dataset phantom": lambda _: {"train": 3, "val": 2, "test": 2, "lateral": True},
    "dataset r2gen": lambda folder: {"root": str(write_r2gen(folder / "r2gen"))},
    "dataset table": lambda folder: {"root": str(write_reports(folder / "table"))},
    "decoder llama2": lambda _: LLAMA,
    "encoder swin": lambda _: {
        "patch_size": 2,
        "window": 3,
        "dim": 8,
        "depths": (2, 2),
        "heads": (2, 4),
    },
    "encoder vit": lambda _: {"patch_size": 8},
    "metric clinical": lambda _: {"labeler": "rules"},
    # Java takes seconds; tests/metrics has it
    **{
        f"metric {name}": lambda _: {"meteor": False}
        for name in ("coco", "cxrmate", "r2gen", "r2gen-full", "radeval", "raw")
    },
    "metric phantom_findings": lambda _: {
        "studies": [
            make_study("a", report="small left pleural effusion ."),
            make_study("b", report="no pneumothorax ."),
            make_study("c", report="the heart is mildly enlarged ."),
        ]
    },
    "part cfe": lambda _: {"heads": 4},
    "part transformer": lambda _: {"dim": 16, "depth": 2, "heads": 2, "cross_layers": "all"},
    "source iu_xray": lambda folder: {"root": str(write_openi(folder / "openi"))},
    "source mimic_cxr": lambda folder: {"root": str(write_mimic(folder / "mimic"))},
}
"""What is needed beyond defaults and fakes: a size that has none, data on disk."""

MORE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "linear with a norm": ("adapter linear", {"norm": True}),
    "cmeaa that only enhances": (
        "adapter cmeaa",
        {"enhance": {"name": "cfe", "heads": 4, "embedding": "tokens"}, "weighting": "token"},
    ),
    "cmeaa that only aligns": ("adapter cmeaa", {"align": {"name": "nmia", "share": False}}),
    "cmeaa at the width of the language model": (
        "adapter cmeaa",
        {
            "enhance": {"name": "cfe", "heads": 4, "norm": "none"},
            "align": "nmia",
            "fusion_space": "llm",
            "share_down": False,
        },
    ),
    "mine with corrected gradients and a past": (
        "objective mine",
        {"ema_rate": 0.01, "past": 3, "clip": 20.0, "share_critic": False, "same_shift": False},
    ),
    "swin that is frozen": (
        "encoder swin",
        {"depths": (1, 1), "heads": (1, 1), "dim": 8, "frozen": True, "checkpoint": True},
    ),
    "vit with a convolutional stem": ("encoder vit", {"patch_size": 8, "stem": "conv"}),
    "vit on a trunk of its own plugin": (
        "encoder vit",
        {"patch_size": 16, "trunk": {"name": "transformer", "dim": 16, "depth": 1, "heads": 2}},
    ),
    "vit with a cross trunk": (
        "encoder vit",
        {
            "patch_size": 8,
            "trunk": {"name": "transformer", "dim": 16, "depth": 1, "heads": 2},
            "cross_trunk": {
                "name": "transformer",
                "dim": 16,
                "depth": 1,
                "heads": 2,
                "cross_layers": "all",
            },
        },
    ),
    "bert on a post trunk": (
        "decoder bert",
        {
            "trunk": {
                "name": "transformer",
                "dim": 16,
                "depth": 2,
                "heads": 2,
                "norm": "post",
                "cross_layers": "all",
            }
        },
    ),
    "bert that encodes texts only": (
        "decoder bert",
        {"trunk": {"name": "transformer", "dim": 16, "depth": 1, "heads": 2}},
    ),
    "llama2 that is trained": ("decoder llama2", {**LLAMA, "kv_heads": 2, "frozen": False}),
    "llama2 in half precision, computed twice": (
        "decoder llama2",
        {**LLAMA, "dtype": "bfloat16", "checkpoint": True},
    ),
    "transformer before and after": (
        "part transformer",
        {"dim": 16, "depth": 1, "heads": 4, "norm": "pre", "cross_layers": "all"},
    ),
    "transformer without a context": ("part transformer", {"dim": 16, "depth": 1, "heads": 4}),
    "organ with n-grams of few reports": (
        "annotator organ",
        {"min_count": 0, "min_pmi": 9.0, "frequency": 0, "cleaning": "none"},
    ),
    "mlm with graph masking": ("objective mlm", {"masking": "graph"}),
    "mlm with label masking": ("objective mlm", {"masking": "label"}),
    "mim with anatomy masking": ("objective mim", {"masking": {"name": "anatomy"}}),
    "irm with a space": ("objective irm", {"space": "projections"}),
    "irc with a fixed temperature": (
        "objective irc",
        {"space": "projections", "learn_temperature": False, "mask_unfilled": True, "queue": 3},
    ),
    "random words at a high rate": ("masking random_words", {"rate": 0.9}),
}
"""Options under which a component takes another path."""


def test_the_names_are_those_of_the_golden_list() -> None:
    listed = NAMES.read_text(encoding="utf-8").splitlines()
    order = list(KINDS)
    names = sorted(OURS, key=lambda item: (order.index(item[0]), item[1]))
    assert listed == [" ".join(name) for name in names], (
        f"a name that vanishes breaks somebody's recipe; a new one goes into {NAMES.name}"
    )


def test_no_option_is_kept_for_a_component_that_is_gone() -> None:
    known = {" ".join(name) for name in OURS}
    assert {*OPTIONS, *(component for component, _ in MORE.values())} <= known


@pytest.mark.parametrize(
    "component", [pytest.param(component, id=" ".join(key)) for key, component in OURS.items()]
)
def test_a_component_keeps_its_contract(component: Component, tmp_path: Path) -> None:
    make = OPTIONS.get(f"{component.kind} {component.name}", lambda _: {})
    check_component(component.kind, component.name, plugins=FOUND, **make(tmp_path))


@pytest.mark.parametrize("what", MORE)
def test_a_component_keeps_its_contract_with_other_options(what: str) -> None:
    component, options = MORE[what]
    kind, name = component.split()
    check_component(kind, name, plugins=FOUND, **options)


@pytest.mark.parametrize(
    "component", [pytest.param(component, id=" ".join(key)) for key, component in OURS.items()]
)
def test_a_component_is_final(component: Component) -> None:
    cls = FOUND.registry.get(component.kind, component.name)
    assert getattr(cls, "__final__", False), f"{cls.__name__} needs @final: abstract or final"
