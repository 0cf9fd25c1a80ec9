"""Mining an atlas from the boxes of training images, and the masking that is given it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg_kia.anatomy import AnatomyMasking
from rrg_kia.atlas import load_atlas
from rrg_kia.atlas_annotator import AtlasAnnotator, KeyPatches
from rrgcore.api import Box, Boxes, DataError, Provenance, Study
from rrgcore.knowledge import find_leaks

from .fakes import make_study

HEART = Box("cardiac silhouette", 0.5, 0.5, 1.2, 1.0)
EVERYWHERE = Box("cardiac silhouette", 0.0, 0.0, 1.0, 1.0)


def boxed(name: str, *images: tuple[Box, ...], views: Sequence[Any] = ("frontal",)) -> Study:
    return make_study(name, views=views, boxes=Boxes(images))


def mined(*studies: Study, **options: Any) -> AtlasAnnotator:
    annotator = AtlasAnnotator(**{"keys": 4, "patches": (4, 4), **options})
    annotator.fit(studies)
    return annotator


def saved(annotator: AtlasAnnotator, folder: Path) -> str:
    annotator.save(folder)
    return str(folder / "atlas.json")


def test_the_golden_key_patches_are_what_it_mines(golden: Callable[[str], Any]):
    case = golden("kia_key_patches")
    studies = [
        boxed(f"s{i}", (Box("carina", *(np.array(box) / np.tile(size, 2)).tolist()),))
        for i, (box, size) in enumerate(
            zip(case["boxes_xyxy_pixels"], case["image_sizes_wh"], strict=True)
        )
    ]
    annotator = mined(*studies, keys=5, patches=(case["grid"], case["grid"]))
    assert list(annotator.atlas.patches["carina"]) == case["expected"]["top5"]
    assert annotator.atlas.boxes == {"carina": 3}


def test_only_frontal_images_are_looked_at():
    both = boxed("a", (EVERYWHERE,), (HEART,), views=("lateral", "frontal"))
    unknown = boxed("b", (HEART,), (EVERYWHERE,), views=("unknown", "unknown"))
    annotator = mined(both, unknown)
    assert annotator.atlas.patches == {"cardiac silhouette": (10, 11, 14, 15)}
    assert annotator.atlas.boxes == {"cardiac silhouette": 2}
    assert annotator.atlas.about == "Mined from the boxes of 2 frontal images."


def test_it_yields_the_patches_of_what_a_report_mentions():
    annotator = mined(boxed("a", (HEART,)))
    studies = [
        make_study(views=("frontal", "lateral")),
        make_study(report="no edema ."),
        make_study(report=None),
    ]
    found = list(annotator.annotate(studies))
    assert found[0] == KeyPatches((4, 4), ((10, 11, 14, 15), ()))
    assert [each.images for each in found[1:]] == [((),), ((),)]
    assert KeyPatches.from_json(json.loads(json.dumps(found[0].to_json()))) == found[0]
    with pytest.raises(DataError, match="not key patches"):
        KeyPatches.from_json({"grid": [4]})


def test_the_file_says_what_it_was_mined_from(tmp_path: Path):
    studies = [boxed("b", (HEART,)), boxed("a", (HEART,))]
    path = saved(mined(*studies), tmp_path)
    assert load_atlas(path).learned_from == Provenance.of(studies)
    assert load_atlas(path).boxes == {"cardiac silhouette": 2}
    again = AtlasAnnotator(keys=4, patches=(4, 4))
    again.load(tmp_path)
    assert again.atlas == mined(*studies).atlas
    assert again.summary() == mined(*studies).summary()


def test_what_it_shares_with_the_embedded_atlas_is_told():
    first = load_atlas().patches["carina"][0]
    row, column = divmod(first, 14)
    on_it = Box("carina", column / 14, row / 14, (column + 1) / 14, (row + 1) / 14)
    corner = Box("spine", 0.0, 0.0, 1 / 14, 1 / 14)
    found = mined(boxed("a", (on_it, corner)), keys=1, patches=(14, 14)).summary()
    assert found == {
        "carina": {"boxes": 1.0, "shared": 1.0},
        "spine": {"boxes": 1.0, "shared": 0.0},
    }


def test_other_landmarks_can_be_named(tmp_path: Path):
    words = tmp_path / "words.json"
    words.write_text(
        json.dumps(
            {
                "grid": [2, 2],
                "keys_per_landmark": 1,
                "landmarks": {"liver": {"aliases": ["hepatic"], "top1": [2]}},
            }
        )
    )
    liver = Box("liver", 0.0, 0.5, 0.5, 1.0)
    annotator = mined(boxed("a", (liver, HEART)), keys=1, patches=(2, 2), words=str(words))
    assert annotator.atlas.patches == {"liver": (2,)}
    found = next(annotator.annotate([make_study(report="hepatic shadow .")]))
    assert found.images == ((2,),)


@pytest.mark.parametrize(
    ("studies", "said"),
    [
        ([boxed("a", ())], "no frontal image of the 1 training studies has a box"),
        ([boxed("a", (HEART,), views=("lateral",))], "no frontal image of the 1 training"),
        ([boxed("a", (Box("liver", 0.0, 0.0, 1.0, 1.0),))], "has one of the 34 landmarks' names"),
        ([boxed("a", (HEART,), ())], "'a' has boxes of 2 images, and 1 images"),
    ],
)
def test_boxes_from_which_nothing_can_be_mined_are_refused(studies: list[Study], said: str):
    with pytest.raises(DataError, match=said):
        mined(*studies)


@pytest.mark.parametrize("options", [{"keys": 0}, {"keys": 17}, {"patches": (0, 4)}])
def test_no_patch_or_more_than_there_are_is_refused(options: dict[str, Any]):
    with pytest.raises(ValueError, match="expected at least one key, and no more than there are"):
        AtlasAnnotator(**{"keys": 4, "patches": (4, 4), **options})


# ---- the masking ----------------------------------------------------------------------------


def leaks(masking: AnatomyMasking, *held_out: Study) -> list[str]:
    return [text for _, text in find_leaks([("masking", masking)], held_out)]


def test_the_embedded_atlas_was_learned_from_nobody():
    assert AnatomyMasking().artefacts() == []


def test_a_mined_atlas_is_refused_where_it_saw_a_study_that_is_to_be_predicted(tmp_path: Path):
    masking = AnatomyMasking(atlas=saved(mined(boxed("a", (HEART,))), tmp_path))
    assert leaks(masking, make_study("b")) == []
    (text,) = leaks(masking, make_study("b"), make_study("a"))
    assert "atlas.json was learned from 'a' of the studies that are to be predicted" in text


def test_an_atlas_that_does_not_say_is_refused_unless_it_is_trusted(tmp_path: Path):
    path = Path(saved(mined(boxed("a", (HEART,))), tmp_path))
    data = json.loads(path.read_text())
    del data["learned_from"]
    path.write_text(json.dumps(data))
    (text,) = leaks(AnatomyMasking(atlas=str(path)), make_study("b"))
    assert "does not say which studies it was learned from" in text
    assert leaks(AnatomyMasking(atlas=str(path), trusted=True), make_study("b")) == []
    data["learned_from"] = "everybody"
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"atlas.json is not an atlas .*not a record of what"):
        AnatomyMasking(atlas=str(path)).read_given()
