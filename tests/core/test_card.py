"""A run's card: the same headings for every run, the figures of scores.json, and no report."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrgcore import load_run
from rrgcore.card import CARD
from rrgcore.folder import RunFolder
from rrgcore.licences import DATA, UNKNOWN, at_hand, licence_of, named_weights, terms_of_ids
from rrgcore.manifest import Manifest
from rrgcore.recipe import dump_recipe, load_recipe
from rrgcore.run import Run

HEADINGS = [
    "Data",
    "Weights",
    "Scores",
    "What was checked",
    "Intended use",
    "To reproduce it",
    "Provenance",
]


@pytest.fixture
def copy(finished: Run, tmp_path: Path) -> Path:
    return shutil.copytree(finished.path, tmp_path / "copy")


def with_recipe(run: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Change a run's recipe, and return the card it gets then."""
    values = load_recipe(run / "recipe.yaml").values
    change(values)
    (run / "recipe.yaml").write_text(dump_recipe(values))
    Manifest.of(RunFolder(run), []).write(run / "checkpoints" / "best")
    return load_run(run).write_card().read_text()


def test_a_finished_run_has_a_card_with_every_heading(finished: Run) -> None:
    text = (finished.path / CARD).read_text()
    assert text.startswith("# tiny\n\nThe recipe that it began from says: every kind of component")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert "no number here can be compared with a published one" in text


def test_the_card_has_the_scores_their_intervals_and_the_baselines(finished: Run) -> None:
    text, scores = (finished.path / CARD).read_text(), finished.scores
    value = scores["protocols"]["coco"]["BLEU-1"]
    low, high = scores["intervals"]["coco"]["BLEU-1"]
    assert f"| BLEU-1 | {value:.4f} | {low:.3f} to {high:.3f} |" in text
    assert all(name in text for name in scores["baselines"])
    assert scores["fingerprint"]["coco"] in text
    assert "Is the image used?** With the images exchanged" in text


def test_the_card_quotes_no_report(finished: Run) -> None:
    text = (finished.path / CARD).read_text()
    reports = [report for p in finished.predictions for report in (p.reference, p.prediction)]
    assert [report for report in reports if len(report) > 12 and report in text] == []


def test_the_card_tells_how_to_repeat_the_run_and_what_it_was(finished: Run) -> None:
    text = (finished.path / CARD).read_text()
    assert "\n    rrg run recipe.yaml\n" in text
    assert finished.folder.training.hash in text
    assert str(finished.path.parent) not in text


def test_evaluating_the_test_split_again_writes_the_card_again(
    copy: Path, rrg: Callable[..., Any]
) -> None:
    (copy / CARD).unlink()
    assert rrg("evaluate", copy).code == 0
    assert (copy / CARD).is_file()


# ---- terms and licences ---------------------------------------------------------------------


def test_phantoms_say_their_terms(finished: Run) -> None:
    text = (finished.path / CARD).read_text()
    assert "- Licence and terms: drawn by rrg itself, of nobody" in text


def test_a_recipe_says_the_terms_of_its_data(copy: Path) -> None:
    text = with_recipe(copy, lambda values: values["data"].update(terms="of our hospital"))
    assert "- Licence and terms: of our hospital" in text


@pytest.mark.parametrize(
    ("ids", "archive"),
    [(["CXR1_1_IM-0001"], "iu_xray"), (["s50414267", "50414268"], "mimic_cxr")],
)
def test_the_archives_are_known_by_their_ids(ids: list[str], archive: str) -> None:
    assert terms_of_ids(ids) == DATA[archive]
    assert terms_of_ids([*ids, "mine"]) == terms_of_ids([]) == ""


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", "Llama 2 Community License"),
        ("meta-llama/Llama-3.2-1B", "Llama 3"),
        ("bert-base-uncased", "Apache-2.0"),
        ("timm/vit_base_patch16_224.augreg_in21k_ft_in1k", "Apache-2.0"),
        ("somebody/something", UNKNOWN),
        ("./my_weights.pt", UNKNOWN),
    ],
)
def test_licences_are_known_or_said_not_to_be(name: str, licence: str) -> None:
    assert licence_of(name).startswith(licence) or licence in licence_of(name)


def test_the_model_card_beside_weights_tells_their_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--some--thing" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# a model\n")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert at_hand("some/thing") == snapshot
    assert licence_of("some/thing") == "cc-by-4.0, as its model card says"
    assert licence_of(str(snapshot)) == "cc-by-4.0, as its model card says"
    assert at_hand("some/other") is None


def test_weights_are_listed_with_address_and_licence(copy: Path) -> None:
    def name_weights(values: dict[str, Any]) -> None:
        values["model"]["decoder"]["weights"] = "bert-base-uncased"
        values["model"]["encoder"]["weights"] = "/secret/of/alice/vit"

    text = with_recipe(copy, name_weights)
    assert "| `bert-base-uncased` | `model.decoder.weights` | Apache-2.0 |" in text
    assert f"| `vit` | `model.encoder.weights` | {UNKNOWN} |" in text
    assert "alice" not in text


def test_what_a_recipe_names_is_found_by_address() -> None:
    values = {"model": {"decoder": {"weights": "a/b"}, "weights": {"weights": "c"}}}
    found = [(each.address, each.name) for each in named_weights(values, "weights")]
    assert found == [("model.decoder.weights", "a/b"), ("model.weights.weights", "c")]


def test_a_card_of_a_run_without_probes_says_that_the_image_was_not_checked(copy: Path) -> None:
    scores = json.loads((copy / "scores.json").read_text())
    (copy / "scores.json").write_text(json.dumps({**scores, "shuffled images": {}, "probes": {}}))
    text = load_run(copy).write_card().read_text()
    assert "**Is the image used?** Not measured" in text
