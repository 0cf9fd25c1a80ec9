"""Anatomy-guided masking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg_kia.anatomy import AnatomyMasking, mask_probabilities
from rrg_kia.atlas import load_atlas
from rrg_kia.mentions import Mentions
from rrgcore.api import UserError

from .fakes import make_study

GRID = (14, 14)
probability = st.floats(0, 1)


@given(st.integers(1, 400), st.data(), probability, probability)
def test_the_expected_total_is_kept_whatever_is_mentioned(patches, data, p_key, p_total):
    keys = data.draw(st.integers(0, patches))
    key, other = mask_probabilities(
        patches, keys, p_key=p_key, p_total=p_total, policy="keep_total"
    )
    assert -1e-9 <= key <= 1 + 1e-9
    assert 0 <= other <= 1
    assert keys * key + (patches - keys) * other == pytest.approx(patches * p_total, abs=1e-6)


@given(st.integers(1, 400), st.data(), probability, probability)
def test_keep_key_never_moves_p_key(patches, data, p_key, p_total):
    keys = data.draw(st.integers(0, patches))
    key, other = mask_probabilities(patches, keys, p_key=p_key, p_total=p_total, policy="keep_key")
    assert key == p_key
    assert 0 <= other <= 1


@given(st.sets(st.sampled_from(sorted(load_atlas().patches))))
def test_eq_3_holds_for_every_union_of_landmarks(names):
    masking = AnatomyMasking()
    study = make_study(report=" , ".join(sorted(names)))
    keys = masking.key_patches(study, 0, GRID)
    union = {patch for name in names for patch in masking.atlas.patches[name]}
    assert set(np.flatnonzero(keys)) == union
    key, other = mask_probabilities(196, len(union), p_key=0.9, p_total=0.6, policy="keep_total")
    assert len(union) * key + (196 - len(union)) * other == pytest.approx(196 * 0.6)


def rates(masking: AnatomyMasking, report: str, draws: int = 400) -> tuple[float, float, float]:
    """Return how often a key patch, another one and any one is hidden."""
    study = make_study(report=report)
    keys = masking.key_patches(study, 0, GRID)
    hidden = np.mean(
        [masking.mask_image(study, 0, GRID, np.random.default_rng([0, i])) for i in range(draws)],
        axis=0,
    )
    return hidden[keys].mean(), hidden[~keys].mean(), hidden.mean()


@pytest.mark.parametrize("exact", [False, True])
def test_patches_are_hidden_as_often_as_eq_2_says(exact):
    key, other, total = rates(AnatomyMasking(exact=exact), "the heart is normal .")
    assert key == pytest.approx(0.9, abs=0.01)
    assert other == pytest.approx((196 * 0.6 - 20 * 0.9) / 176, abs=0.01)
    assert total == pytest.approx(0.6, abs=0.005)


def test_exact_hides_the_same_number_every_time():
    masking, study = AnatomyMasking(exact=True), make_study(report="the heart is normal .")
    keys = masking.key_patches(study, 0, GRID)
    drawn = [masking.mask_image(study, 0, GRID, np.random.default_rng(i)) for i in range(20)]
    assert {int(mask.sum()) for mask in drawn} == {118}
    assert {int(mask[keys].sum()) for mask in drawn} == {18}
    assert len({mask.tobytes() for mask in drawn}) == 20


def test_a_report_without_landmarks_is_masked_at_p_total_everywhere():
    masking, study = AnatomyMasking(), make_study(report="no acute disease .")
    assert not masking.key_patches(study, 0, GRID).any()
    hidden = [
        masking.mask_image(study, 0, GRID, np.random.default_rng(i)).mean() for i in range(200)
    ]
    assert np.mean(hidden) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(
    ("views", "holds"),
    [
        (("frontal", "lateral"), (True, False)),
        (("unknown", "unknown"), (True, False)),
        (("lateral", "frontal"), (False, True)),
    ],
)
def test_the_prior_is_of_frontal_images_only(views, holds):
    masking, study = AnatomyMasking(), make_study(views=views)
    assert tuple(bool(masking.key_patches(study, i, GRID).any()) for i in range(2)) == holds


def test_the_same_generator_gives_the_same_mask():
    masking, study = AnatomyMasking(), make_study()
    first, second = (masking.mask_image(study, 0, GRID, np.random.default_rng(7)) for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("grid", [(7, 7), (10, 10), (28, 28), (2, 2)])
def test_landmarks_are_found_on_any_grid(grid):
    masking = AnatomyMasking()
    for name in masking.atlas.patches:
        assert masking.key_patches(make_study(report=name), 0, grid).any(), name
    heart = masking.key_patches(make_study(report="heart"), 0, (28, 28)).reshape(28, 28)
    coarse = masking.key_patches(make_study(report="heart"), 0, GRID).reshape(14, 14)
    assert (heart == coarse.repeat(2, 0).repeat(2, 1)).all()


def test_a_probability_beyond_one_is_refused():
    with pytest.raises(UserError, match=r"p_key is 1.2; a probability lies between 0 and 1"):
        AnatomyMasking(p_key=1.2)


@pytest.mark.parametrize(
    ("report", "landmarks"),
    [
        ("The heart is normal .", {"cardiac silhouette"}),
        ("lungs are clear .", {"right lung", "left lung"}),
        ("right lung is clear .", {"right lung"}),
        ("opacity at the right lung base .", {"right lower lung zone"}),
        ("small left pleural effusion .", {"left costophrenic angle"}),
        ("left-sided pleural effusion .", {"left costophrenic angle"}),
        ("pleural effusion .", {"right costophrenic angle", "left costophrenic angle"}),
        ("cardiomediastinal contours .", {"mediastinum", "cardiac silhouette"}),
        ("superior\nvena  cava", {"svc"}),
        ("tortuous aorta", {"aortic arch", "descending aorta"}),
        ("calcified aortic knob", {"aortic arch"}),
        ("lungless heartfelt", set()),
        ("", set()),
    ],
)
def test_landmarks_are_matched_by_whole_words(report, landmarks):
    assert Mentions(load_atlas())(report) == landmarks
