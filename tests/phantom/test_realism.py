"""Phantoms are measured: findings can be found, and only where their boxes are."""

import numpy as np
import pytest

from rrg_phantom.case import Finding
from rrg_phantom.landmarks import finding_boxes
from rrg_phantom.patient import sample_patient
from rrg_phantom.realism import make_cohort, measure, paint_cohort, paint_over
from rrg_phantom.render import render_frontal
from rrgcore.auroc import auroc


def test_paint_takes_the_colour_of_the_surroundings():
    image = np.full((16, 16), 90, dtype=np.uint8)
    image[4:8, 4:8] = 250
    assert (paint_over(image, [(0.25, 0.25, 0.5, 0.5)]) == 90).all()


def test_paint_leaves_everything_else():
    image = np.random.default_rng(0).integers(0, 255, (16, 16), dtype=np.uint8)
    painted = paint_over(image, [(0.0, 0.0, 0.5, 0.5)])
    assert np.array_equal(painted[8:], image[8:])
    assert np.array_equal(painted[:, 8:], image[:, 8:])
    assert not np.array_equal(painted, image)


def test_painted_pictures_with_and_without_a_finding_are_equal():
    mass = Finding("Lung Lesion", "left", "mid", kind="mass")
    for seed in range(5):
        patient = sample_patient(np.random.default_rng(seed))
        (boxes,) = finding_boxes(patient, (mass,))
        with_it, without = (
            paint_over(render_frontal(patient, findings, 112, np.random.default_rng(1)), boxes)
            for findings in ((mass,), ())
        )
        assert np.array_equal(with_it, without)


def test_studies_without_the_finding_are_painted_too():
    cohort = make_cohort(np.random.default_rng(0), count=12, size=64)
    painted = paint_cohort(cohort, "Edema", np.random.default_rng(1))
    assert 0 < cohort.has("Edema").sum() < 12
    assert (painted != cohort.images).any(axis=(1, 2)).all()


def test_auroc_counts_ties_half():
    score = np.array([0.1, 0.4, 0.4, 0.9])
    assert auroc(score, np.array([False, False, True, True])) == pytest.approx(0.875)


@pytest.mark.slow
def test_a_small_network_finds_every_finding_and_none_under_paint():
    readings = measure()
    for observation, read in readings.items():
        print(f"{observation:28s} AUROC {read.auroc:.3f}  painted {read.painted:.3f}")
    assert {name: read for name, read in readings.items() if read.auroc < 0.9} == {}
    assert {name: read for name, read in readings.items() if read.painted > 0.6} == {}
