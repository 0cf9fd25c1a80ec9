"""The classifier: fitted in the run to labels of training reports, saved, and used again."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rrg_knowledge.classifier import ObservationClassifier
from rrg_knowledge.classifier_fitting import hold_out, targets
from rrg_knowledge.label_table import LabelTable
from rrgcore.annotations import Labels, Probabilities
from rrgcore.auroc import auroc
from rrgcore.chest import OBSERVATIONS
from rrgcore.errors import DataError, WeightsError
from rrgcore.provenance import Provenance
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Workbench
from rrgcore.testing import FakeDataset, check_component, make_studies

from .tables import write_label_table

SICK, WELL = "mild pulmonary edema .", "no pulmonary edema ."


def make(count: int = 48) -> list[Study]:
    """Studies of a dark image with a bright square, where there is edema."""
    return [
        Study(f"s{i}", (ImageRef(f"{i}"),), ("frontal",), SICK if i % 3 == 0 else WELL)
        for i in range(count)
    ]


def draw(image: ImageRef) -> np.ndarray:
    rng = np.random.default_rng(int(image.where))
    pixels = rng.integers(0, 90, (40, 36), dtype=np.uint8)
    if int(image.where) % 3 == 0:
        row, column = rng.integers(4, 20, 2)
        pixels[row : row + 12, column : column + 12] += 120
    return pixels


def classifier(seed: int = 0, track: Any = None, **options: Any) -> ObservationClassifier:
    given = {"image_size": 32, "epochs": 1, "batch_size": 12, **options}
    made = ObservationClassifier(**given)
    made.equip(Workbench(draw, seed=seed, **({"track": track} if track else {})))
    return made


def ask(made: ObservationClassifier, studies: Sequence[Study]) -> list[Mapping[str, float]]:
    return [each.values for each in made.annotate(studies)]


@pytest.fixture(scope="module")
def fitted() -> ObservationClassifier:
    made = classifier(epochs=6, held_out=0.25)
    made.fit(make(96))
    return made


@pytest.fixture(scope="module")
def saved(fitted: ObservationClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "artefacts" / "probabilities"
    folder.mkdir(parents=True)
    fitted.save(folder)
    return folder


# ---- fitting --------------------------------------------------------------------------------


def test_it_finds_what_the_reports_of_other_patients_name(fitted: ObservationClassifier):
    new = [Study(f"new{i}", (ImageRef(f"{i}"),), ("frontal",)) for i in range(1000, 1060)]
    found = ask(fitted, new)
    assert all(list(values) == list(OBSERVATIONS) for values in found)
    edema = np.array([values["Edema"] for values in found])
    sick = np.array([i % 3 == 0 for i in range(1000, 1060)])
    assert auroc(edema, sick) > 0.95
    assert max(values["Fracture"] for values in found) < 0.5


def test_its_summary_is_of_training_patients_that_it_did_not_see(fitted: ObservationClassifier):
    summary = fitted.summary()
    # of all others there is no positive, or no negative, to rank
    assert summary.keys() == {"No Finding", "Edema", "mean"}
    assert summary["Edema"]["AUROC"] > 0.95
    areas = [summary[name]["AUROC"] for name in ("No Finding", "Edema")]
    assert summary["mean"]["AUROC"] == pytest.approx(np.mean(areas))


def test_the_seed_decides_and_global_randomness_is_left_alone():
    studies = make(16)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = []
    for seed in (7, 7, 8):
        made = classifier(seed)
        made.fit(studies)
        found.append((ask(made, studies), made.fingerprint()))
        torch.rand(3)
    assert found[0] == found[1]
    assert found[0] != found[2]
    torch.set_rng_state(before)
    made = classifier()
    made.fit(studies)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_shows_how_far_it_is():
    seen: list[tuple[str, int, int]] = []

    def track(items: Iterable[Any], title: str, total: int) -> Iterator[Any]:
        seen.append((title, total, 0))
        for done, item in enumerate(items, 1):
            seen[-1] = (title, total, done)
            yield item

    made = classifier(track=track, epochs=2, held_out=0.25)
    made.fit(make(32))
    # of 32 studies 24 are fitted, in two batches an epoch, and 8 tested
    assert seen == [("fitting the classifier", 4, 4), ("classifying images", 1, 1)]


def test_a_patient_is_held_out_with_every_study_or_with_none():
    studies = [replace(study, subject=f"p{i // 4}") for i, study in enumerate(make(40))]
    out = hold_out(studies, 0.25, seed=0)
    assert int(out.sum()) == 8
    assert all(len(set(out[i : i + 4].tolist())) == 1 for i in range(0, 40, 4))
    assert not hold_out(studies, 0.0, seed=0).any()
    assert not torch.equal(out, hold_out(studies, 0.25, seed=1))


@pytest.mark.parametrize(
    ("uncertain", "value"), [("positive", 1.0), ("negative", 0.0), ("ignored", None)]
)
def test_what_a_report_leaves_open_counts_as_it_is_told_to(uncertain: Any, value: float | None):
    labels = Labels({"Edema": -1, "Fracture": 1, "Pneumonia": 0})
    names = ["Edema", "Fracture", "Pneumonia", "Atelectasis"]
    ((edema, *others),) = targets([labels], names, uncertain).tolist()
    assert (None if np.isnan(edema) else edema) == value
    assert others == [1, 0, 0]


def test_too_little_to_fit_to_is_refused():
    with pytest.raises(DataError, match="1 images are too few"):
        classifier().fit(make(1))
    with pytest.raises(DataError, match="study 's0' has no report"):
        classifier().fit([replace(study, report=None) for study in make(3)])


@pytest.mark.parametrize("scores", [[0.1, 0.4, 0.35, 0.8], [0.5, 0.5, 0.2, 0.5], [1, 2, 3, 4]])
def test_the_area_is_scikit_learn_s(scores: list[float]):
    from sklearn.metrics import roc_auc_score

    truth, given = np.array([False, False, True, True]), np.array(scores, dtype=float)
    assert auroc(given, truth) == pytest.approx(roc_auc_score(truth, given))
    assert auroc(given, np.ones(4, dtype=bool)) is None


# ---- asking ---------------------------------------------------------------------------------


def test_a_study_of_several_images_gets_their_mean(fitted: ObservationClassifier):
    first, second = ImageRef("1000"), ImageRef("1002")
    one, two = (Study("s", (image,), ("frontal",)) for image in (first, second))
    both = Study("s", (first, second), ("frontal", "frontal"))
    alone = ask(fitted, [one, two])
    (together,) = ask(fitted, [both])
    for name in OBSERVATIONS:
        assert together[name] == pytest.approx((alone[0][name] + alone[1][name]) / 2, abs=2e-6)


def test_who_stands_beside_a_study_changes_nothing(fitted: ObservationClassifier):
    studies = make(30)
    assert [ask(fitted, [study])[0] for study in studies[:3]] == ask(fitted, studies)[:3]


def test_a_study_without_image_is_named(fitted: ObservationClassifier):
    with pytest.raises(DataError, match="study 'bare' has no image"):
        ask(fitted, [Study("bare", (), ())])


# ---- saved ----------------------------------------------------------------------------------


def test_one_that_was_saved_says_the_same(fitted: ObservationClassifier, saved: Path):
    again = classifier(image_size=16)
    again.load(saved)
    assert ask(again, make(5)) == ask(fitted, make(5))
    assert again.summary() == fitted.summary()
    assert again.fingerprint() == fitted.fingerprint()


@pytest.mark.parametrize("named", ["", "../.."], ids=["folder", "run"])
def test_another_run_s_is_used_and_not_fitted(
    named: str, fitted: ObservationClassifier, saved: Path
):
    given = classifier(saved=str(saved / named))
    given.fit([])  # nothing is looked at
    assert ask(given, make(5)) == ask(fitted, make(5))


def test_it_says_what_it_was_fitted_to_even_where_it_is_saved_again(saved: Path, tmp_path: Path):
    given = classifier(saved=str(saved))
    given.fit(make(3))
    given.save(tmp_path)
    # as the run that uses it writes beside it: that is not what it learned from
    learned = Provenance.of(make(3)).to_json()
    (tmp_path / "learned.json").write_text(json.dumps(learned))
    (artefact,) = classifier(saved=str(tmp_path)).artefacts()
    assert artefact.learned_from == Provenance.of(make(96))
    assert classifier().artefacts() == []


def test_what_is_no_classifier_or_a_damaged_one_is_refused(saved: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"no classifier is saved in .*artefacts/probabilities"):
        classifier(saved=str(tmp_path)).read_given()
    about = json.loads((saved / "classifier.json").read_text())
    (tmp_path / "classifier.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match="is damaged"):
        classifier().load(tmp_path)
    save_file({"other": torch.ones(1)}, tmp_path / "classifier.safetensors")
    with pytest.raises(DataError, match="is damaged"):
        classifier().load(tmp_path)
    (tmp_path / "classifier.json").write_text("{}")
    with pytest.raises(DataError, match="it does not say"):
        classifier().load(tmp_path)


# ---- options --------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder as timm's are on the hub."""
    import timm

    model = timm.create_model("test_resnet", num_classes=1000)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": "test_resnet",
        "pretrained_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize("named", ["file", "folder", "timm's name", "hub name"])
def test_it_starts_from_published_weights(
    named: str, published: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []

    def cached(repository: str, file: str) -> str:
        asked.append(repository)
        return str(published / file)

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    weights = {
        "file": str(published / "model.safetensors"),
        "folder": str(published),
        "timm's name": "test_resnet.r160_in1k",
        "hub name": "timm/test_resnet.r160_in1k",
    }[named]
    made = classifier(weights=weights, lr=1e-12)
    made.fit(make(14))
    assert made._network is not None
    assert made._architecture is not None
    kept = dict(made._network.named_parameters())
    for name, tensor in load_file(published / "model.safetensors").items():
        if name in kept and not name.startswith("fc."):
            assert torch.allclose(kept[name], tensor, atol=1e-6), name
    assert made._architecture.mean == (0.1, 0.1, 0.1)
    assert asked == ([] if named in ("file", "folder") else ["timm/test_resnet.r160_in1k"])


def test_weights_that_nobody_has_are_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rrg_knowledge.classifier_network.hub_reachable", lambda: False)
    with pytest.raises(WeightsError, match="the hub cannot be asked for them: name a file"):
        classifier(weights="nobody/such-weights").fit(make(3))


@pytest.mark.parametrize("with_config", [True, False])
@pytest.mark.parametrize("other", ["test_vit", "resnet10t"])
def test_weights_of_another_model_are_refused(other: str, with_config: bool, published: Path):
    if not with_config:
        (published / "config.json").unlink()
    with pytest.raises(WeightsError, match=f"are not those of a {other}"):
        classifier(model=other, weights=str(published / "model.safetensors")).fit(make(3))


def test_a_transformer_of_one_image_size_is_built_for_ours(tmp_path: Path):
    made = classifier(model="test_vit")
    made.fit(make(6))
    made.save(tmp_path)
    again = classifier()
    again.load(tmp_path)
    assert ask(again, make(2)) == ask(made, make(2))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "resnet_18"}, "timm has no model 'resnet_18'. Did you mean 'resnet18'?"),
        ({"weights": "there/is/no.safetensors"}, "there is no such file"),
        ({"held_out": 1.0}, "`held_out` is 1.0"),
        ({"epochs": 0}, "at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], sentence: str):
    with pytest.raises(ValueError) as error:
        classifier(**options).read_given()
    assert sentence in str(error.value)


def test_labels_of_images_are_not_what_it_learns(tmp_path: Path):
    path = write_label_table(tmp_path / "labels.csv", ["s0"])
    with pytest.raises(ValueError, match="LabelTable does not label reports"):
        classifier(labeler=LabelTable(path=path, made_from="images"))


def test_it_keeps_the_contract_of_annotators(saved: Path):
    check_component("annotator", "classifier", epochs=1, batch_size=4, held_out=0.3)
    check_component("annotator", "classifier", saved=str(saved), labeler="rules")
    studies = make_studies()
    made = ObservationClassifier(image_size=32, saved=str(saved))
    made.equip(Workbench(FakeDataset(studies=studies).open))
    made.fit(studies)
    assert all(isinstance(each, Probabilities) for each in made.annotate(studies))
