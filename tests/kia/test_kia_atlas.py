"""The anatomy prior."""

import json

import numpy as np
import pytest

from rrg_kia.anatomy import AnatomyMasking
from rrg_kia.atlas import load_atlas, make_atlas, save_atlas, scale_patches
from rrgcore.api import Box, DataError
from rrgcore.chest import LANDMARKS

from .fakes import make_study


def test_the_embedded_atlas_has_twenty_patches_for_each_of_34_landmarks():
    atlas = load_atlas()
    assert tuple(atlas.patches) == LANDMARKS
    assert {len(set(patches)) for patches in atlas.patches.values()} == {20}
    assert atlas.grid == (14, 14)


def test_an_atlas_survives_being_saved(tmp_path):
    save_atlas(load_atlas(), tmp_path / "atlas.json")
    assert load_atlas(tmp_path / "atlas.json") == load_atlas()


def test_an_atlas_is_made_from_boxes_and_used_by_the_masking(tmp_path):
    heart, other = Box("cardiac silhouette", 0.5, 0.5, 1.2, 1.0), Box("liver", 0.0, 0.0, 1.0, 1.0)
    flat = Box("spine", 0.5, 0.0, 0.5, 1.0)
    atlas = make_atlas(
        [[heart, other], [heart, flat]], words=load_atlas(), grid=(4, 4), keys_per_landmark=4
    )
    assert atlas.patches == {"cardiac silhouette": (10, 11, 14, 15)}
    save_atlas(atlas, tmp_path / "mine.json")
    masking = AnatomyMasking(atlas=str(tmp_path / "mine.json"))
    keys = masking.key_patches(make_study(report="heart and lungs ."), 0, (4, 4))
    assert np.flatnonzero(keys).tolist() == [10, 11, 14, 15]


def test_boxes_of_no_landmark_make_no_atlas():
    with pytest.raises(DataError, match="none of the boxes has one of the 34 landmarks' names"):
        make_atlas([[Box("liver", 0.0, 0.0, 1.0, 1.0)]], words=load_atlas())


def test_a_file_that_is_no_atlas_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"no atlas at .*nowhere.json"):
        load_atlas(tmp_path / "nowhere.json")
    (tmp_path / "x.json").write_text(json.dumps({"grid": [14, 14]}))
    with pytest.raises(DataError, match=r"x.json is not an atlas \(KeyError: 'landmarks'\)"):
        load_atlas(tmp_path / "x.json")


def test_a_patch_is_marked_on_a_coarser_grid_when_half_of_it_is():
    left_half = [row * 4 + column for row in range(4) for column in (0, 1)]
    assert scale_patches(left_half, (4, 4), (2, 2)).tolist() == [True, False, True, False]
    assert scale_patches([5], (4, 4), (2, 2)).tolist() == [True, False, False, False]
    assert scale_patches([], (4, 4), (2, 2)).tolist() == [False] * 4
