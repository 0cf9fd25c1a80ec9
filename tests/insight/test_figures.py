"""Every figure drawn once, small; what it says in numbers; and who refuses what."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from rrgcore.api import (
    Adapter,
    Drawn,
    Figure,
    KeepsPlaces,
    ShowsKnowledge,
    TakenIn,
    Visual,
)
from rrgcore.errors import DataError, RunError, UserError
from rrgcore.insight.attending import attend_writing
from rrgcore.insight.explaining import NUMBERS
from rrgcore.insight.telling import most_unlike
from rrgcore.plugins import discover
from rrgcore.registry import Component, Registry
from rrgcore.testing import check_component, make_parts

STUDY = "phantom-test-00001"
OF_RUN = ("landmarks", "matching", "pointing")
OF_STUDY = (
    "attention", "mask_attention", "masked_words", "masking", "matching", "reconstruction",
    "reports", "retrieval",
)  # fmt: skip


@pytest.fixture(scope="module")
def explained(finished, tmp_path_factory):
    return finished.explain([STUDY], out=tmp_path_factory.mktemp("explain"))


@pytest.fixture(scope="module")
def numbers(explained):
    found = json.loads((explained.folder / NUMBERS).read_text(encoding="utf-8"))
    return {picture["file"]: picture["numbers"] for picture in found["pictures"]}


def test_every_figure_that_the_run_has_the_parts_for_is_drawn(explained):
    files = {f"{name}.png" for name in OF_RUN} | {f"{name}-{STUDY}.png" for name in OF_STUDY}
    assert {picture.path.name for picture in explained.pictures} == files
    assert explained.not_drawn.keys() == {"knowledge"}
    assert "ShowsKnowledge" in explained.not_drawn["knowledge"]
    for picture in explained.pictures:
        with Image.open(picture.path) as image:
            assert image.width >= 450
            assert picture.caption.startswith(image.info["Description"])
        assert "phantoms" in picture.caption


def test_the_file_of_numbers_says_of_what(explained):
    found = json.loads((explained.folder / NUMBERS).read_text(encoding="utf-8"))
    assert (found["split"], found["studies"]) == ("test", {STUDY: ""})
    assert found["not drawn"].keys() == {"knowledge"}


def test_attention_tells_where_each_written_word_looked_most(finished, numbers):
    run = finished.open()
    words = numbers[f"attention-{STUDY}.png"]["words"]
    report = run.written([STUDY])[0]
    attended = attend_writing(run.model(), run.batch([STUDY]), [report.ids])[0]
    maps = dict(zip(attended.words, attended.maps(), strict=True))
    for word in words:
        most = np.unravel_index(maps[word["word"]].argmax(), maps[word["word"]].shape)
        assert word["at"] == list(map(int, most))
    np.testing.assert_allclose([each.sum() for each in maps.values()], 1, atol=1e-5)


def test_masks_are_those_that_the_objective_is_asked(finished, numbers):
    run = finished.open()
    prepared = run.batch([STUDY], ["mlm"]).prepared["objectives.mlm"]
    masks = numbers[f"mask_attention-{STUDY}.png"]["masks"]
    assert len(masks) == int((prepared.labels != -100).sum())
    filled = numbers[f"masked_words-{STUDY}.png"]["objectives"]["mlm"]
    assert [each["hidden"] for each in filled["words"]] == [each["hidden"] for each in masks]
    assert [each["with the image"] for each in filled["words"]] == [e["said"] for e in masks]


def test_hidden_patches_are_those_that_were_painted(finished, numbers):
    run = finished.open()
    prepared = run.batch([STUDY], ["mim"]).prepared["objectives.mim"]
    told = numbers[f"reconstruction-{STUDY}.png"]
    assert told["hidden"] == prepared.mask[0].sum(-1).tolist()
    assert told["key"] == prepared.key[0].sum(-1).tolist()
    assert told["stage"] == "align"


def test_the_rank_of_the_own_report_counts_those_that_match_better(finished, numbers):
    told = numbers[f"retrieval-{STUDY}.png"]
    probability = {each["study"]: each["p"] for each in told["found"]}
    better = sum(p > probability[STUDY] for p in probability.values())
    assert told["rank of its own"] == better + 1
    assert told["candidates"] == 4
    degree = numbers[f"matching-{STUDY}.png"]["reference"]
    assert degree == pytest.approx(probability[STUDY], abs=1e-5)


def test_masking_shows_each_strategy_that_the_vocabulary_can_write(numbers):
    told = numbers[f"masking-{STUDY}.png"]
    assert told["patches"].keys() == {"anatomy", "random_patches"}
    assert told["words"].keys() == {"graph", "random_words"}
    assert "vocabulary" in told["not shown"]["label"]


def test_the_atlas_has_34_landmarks_of_20_patches(numbers):
    landmarks = numbers["landmarks.png"]["landmarks"]
    assert len(landmarks) == 34
    assert {len(each["patches"]) for each in landmarks.values()} == {20}
    assert landmarks["cardiac silhouette"]["inside its box"] > 0.5


def test_pointing_stands_beside_chance(numbers):
    for game in numbers["pointing.png"]["games"].values():
        plain = game["all layers and heads"]
        assert 0 < plain["chance by area"] < 1
        assert {"centre prior", "prior by observation", "any word"} <= plain.keys()
        assert "which" in game["chosen"]


def test_without_studies_telling_ones_are_chosen(finished, tmp_path):
    explained = finished.explain(figures=["reports"], out=tmp_path)
    assert set(explained.studies.values()) <= {
        f"{word}, {share}" for word in ("best", "middle", "worst")
        for share in {why.split(", ")[1] for why in explained.studies.values()}
    }  # fmt: skip
    assert len(explained.pictures) == len(explained.studies) > 0


def test_a_figure_that_was_named_and_cannot_be_drawn_is_an_error(finished, tmp_path):
    with pytest.raises(RunError, match="knowledge cannot be drawn: the adapter"):
        finished.explain([STUDY], figures=["knowledge"], out=tmp_path)


def test_an_unknown_study_is_named_with_the_nearest(finished, tmp_path):
    with pytest.raises(UserError, match="Did you mean 'phantom-test-00001'"):
        finished.explain(["phantom-test-0001"], figures=["reports"], out=tmp_path)


def test_another_report_is_the_one_that_names_the_most_other_findings(finished):
    run = finished.open()
    ids = [study.id for study in run.studies()]
    assert most_unlike(run, STUDY, ids) != STUDY
    with pytest.raises(DataError, match="no study beside"):
        most_unlike(run, STUDY, [STUDY])


def test_the_same_pictures_come_again(finished, explained, tmp_path):
    again = finished.explain([STUDY], figures=["masking"], out=tmp_path).pictures[0]
    (first,) = (each for each in explained.pictures if each.figure == "masking")
    assert first.path.read_bytes() == again.path.read_bytes()


# ---- an adapter with knowledge, and a stranger's figure -----------------------------------------


class Knowing(Adapter, ShowsKnowledge, KeepsPlaces):
    """Reads two phrases, the second three times as much."""

    def __init__(self, project):
        super().__init__()
        self.project = project

    def forward(self, image, prepared=None):
        return Visual(self.project(image.tokens), image.mask)

    def taken_in(self, image, prepared):
        rows, tokens = image.tokens.shape[:2]
        return TakenIn(
            torch.tensor([0.6, 0.4]).expand(rows, 1, 2),
            ("w0", "w1"),
            (("small effusion", "no edema"),) * rows,
            torch.tensor([0.25, 0.75]).expand(rows, 1, tokens, 2),
        )


def test_knowledge_is_drawn_of_any_adapter_that_shows_it():
    parts = make_parts()
    parts.adapter = Knowing(parts.adapter.project)
    check_component("figure", "knowledge", parts=parts)


class Silent(Figure):
    """Draws nothing."""

    shows = "nobody's"

    def why_not(self, run):
        return None

    def draw(self, run):
        return iter(())


class Forgetful(Figure):
    """Draws a caption that says too little."""

    shows = "nobody's"

    def why_not(self, run):
        return None

    def draw(self, run):
        yield Drawn("", None, "a picture", {})


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [(Silent, "can draw the run, and draws no picture"), (Forgetful, "says too little")],
)
def test_a_figure_that_breaks_a_promise_is_told_which(cls, sentence):
    found = discover()
    registry = Registry()
    for entry in found.registry.entries():
        registry.add(entry.component, plugin=entry.plugin)
    target = f"{__name__}:{cls.__name__}"
    registry.add(Component("figure", "mine", target, "mine"), plugin="mine")
    with pytest.raises(AssertionError, match=sentence):
        check_component("figure", "mine", plugins=replace(found, registry=registry))
