"""KIA's maskings of a mirrored study hide what they hid of the study as it was."""

import numpy as np
import pytest

from rrg_kia.anatomy import AnatomyMasking
from rrg_kia.graph import GraphMasking
from rrgcore.annotations import Entity, RadGraph
from rrgcore.augment import mirror
from rrgcore.tokens import WordTokenizer

from .fakes import make_study

GRID = (14, 14)


def keys(study, image=0):
    return AnatomyMasking().key_patches(study, image, GRID).reshape(GRID)


@pytest.mark.parametrize(
    "report",
    [
        "the heart is normal .",
        "the aortic knob is calcified . left lung base opacity .",
        "blunted right costophrenic angle .",
        "the lungs are clear .",
    ],
)
def test_the_landmarks_of_a_mirrored_study_are_turned_over(report):
    study = make_study(report=report)
    assert (keys(mirror(study)) == keys(study)[:, ::-1]).all()


def test_a_mirrored_heart_points_to_the_other_side():
    study = make_study(report="the heart is normal .")
    columns = np.arange(14)
    weight, mirrored = (keys(each).sum(0) for each in (study, mirror(study)))
    assert (weight * columns).sum() / weight.sum() > 6.5
    assert (mirrored * columns).sum() / mirrored.sum() < 6.5


def test_the_left_lung_of_a_mirrored_study_is_where_its_report_says():
    """On the image's right, as the left lung of any frontal image: sides are where they belong."""
    mirrored = mirror(make_study(report="right lung is clear ."))
    assert mirrored.report == "left lung is clear ."
    assert not keys(mirrored)[:, :7].any()
    assert keys(mirrored)[:, 7:].any()


def test_a_mirrored_study_is_hidden_as_much_as_before():
    masking = AnatomyMasking(exact=True)
    mirrored = mirror(make_study(report="the heart is normal ."))
    mask = masking.mask_image(mirrored, 0, GRID, np.random.default_rng(0)).reshape(GRID)
    assert int(mask.sum()) == 118
    assert int(mask[keys(mirrored)].sum()) == 18


def test_the_prior_still_holds_for_no_lateral():
    mirrored = mirror(make_study(report="the heart is normal .", views=("frontal", "lateral")))
    assert keys(mirrored, 0).any()
    assert not keys(mirrored, 1).any()


def test_the_same_words_of_a_mirrored_report_are_hidden():
    """RadGraph sets the hyphen apart, and its words must still be the mirrored report's."""
    graph = RadGraph(
        ("left", "-", "sided", "effusion", "."),
        {"1": Entity("effusion", "OBS-DP", 3, 3), "2": Entity("left - sided", "ANAT-DP", 0, 2)},
    )
    study = make_study(report="left-sided effusion .", graph=graph)
    tokenizer = WordTokenizer.of_texts(["left right - sided effusion ."])
    for seed in range(8):
        plain, mirrored = (
            GraphMasking().mask_text(each, tokenizer, np.random.default_rng(seed), max_tokens=12)
            for each in (study, mirror(study))
        )
        assert ((plain.labels == -100) == (mirrored.labels == -100)).all()
        asked = [
            tokenizer.decode(row.labels[row.labels != -100].tolist()) for row in (plain, mirrored)
        ]
        assert asked in (["effusion"] * 2, ["left - sided", "right - sided"])
