"""The pictures of phantoms: what is drawn, where, and nowhere else."""

from collections import Counter
from functools import cache
from itertools import product

import numpy as np
import pytest

from rrg_phantom.case import CATALOGUE, Finding
from rrg_phantom.landmarks import finding_boxes, landmark_boxes
from rrg_phantom.lateral import render_lateral
from rrg_phantom.patient import sample_patient
from rrg_phantom.render import render_frontal
from rrg_phantom.sample import SIDED_DEVICES, sample_findings
from rrgcore.chest import LANDMARKS


def every_finding() -> list[Finding]:
    """Every combination that the catalogue allows, certain."""
    out = []
    for name, options in CATALOGUE.items():
        fields = (options.sides, options.zones, options.severities, options.kinds)
        for side, zone, severity, kind in product(*(values or (None,) for values in fields)):
            sided = name != "Support Devices" or kind in SIDED_DEVICES
            out.append(Finding(name, side if sided else None, zone, severity, kind))
    return list(dict.fromkeys(out))


def label(finding: Finding) -> str:
    parts = (finding.observation, finding.side, finding.zone, finding.severity, finding.kind)
    return " ".join(part for part in parts if part)


FINDINGS = every_finding()
PATIENTS = [sample_patient(np.random.default_rng(seed)) for seed in range(4)]


@cache
def frontal(patient, findings, size=112):
    return render_frontal(patient, findings, size, np.random.default_rng(5)).astype(int)


@cache
def change(patient, finding, size=112):
    """How much brighter a finding makes each pixel."""
    return frontal(patient, (finding,), size) - frontal(patient, (), size)


def inside(boxes, size):
    at = (np.arange(size) + 0.5) / size
    mask = np.zeros((size, size), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        mask |= ((at >= y1) & (at <= y2))[:, None] & ((at >= x1) & (at <= x2))[None, :]
    return mask


def mean_in(image, box):
    return image[inside([box], len(image))].mean()


@pytest.mark.parametrize("render", [render_frontal, render_lateral])
def test_a_seed_gives_the_same_picture(render):
    pictures = []
    for _ in range(2):
        rng = np.random.default_rng(3)
        patient, findings = sample_patient(rng), sample_findings(rng)
        pictures.append(render(patient, findings, 112, rng))
    assert np.array_equal(*pictures)
    assert pictures[0].dtype == np.uint8


@pytest.mark.parametrize("render", [render_frontal, render_lateral])
@pytest.mark.parametrize("size", [64, 112, 224])
def test_a_picture_has_the_size_asked_for_and_uses_the_whole_range(render, size):
    picture = render(PATIENTS[0], (), size, np.random.default_rng(0))
    assert picture.shape == (size, size)
    assert picture.min() < 20
    assert 170 < picture.max() <= 255
    assert (picture == 255).mean() < 0.03


def test_two_patients_look_different():
    first, second = (frontal(patient, ()) for patient in PATIENTS[:2])
    assert np.abs(first - second).mean() > 5


def test_a_picture_at_another_size_shows_the_same_patient():
    small = frontal(PATIENTS[1], (), 112)
    large = frontal(PATIENTS[1], (), 448).reshape(112, 4, 112, 4).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.985


@pytest.mark.parametrize("finding", FINDINGS, ids=label)
@pytest.mark.parametrize(("size", "patient"), [(64, PATIENTS[0]), (112, PATIENTS[1])])
def test_a_finding_changes_nothing_outside_its_boxes(finding, size, patient):
    (boxes,) = finding_boxes(patient, (finding,))
    assert not change(patient, finding, size)[~inside(boxes, size)].any()


@pytest.mark.parametrize("finding", FINDINGS, ids=label)
def test_a_finding_is_seen_by_eye_on_more_than_half_a_patch(finding):
    for patient in PATIENTS[1:3]:
        seen = np.abs(change(patient, finding)) >= 12
        assert seen.sum() >= 32, f"{seen.sum()} pixels"


def test_a_finding_is_drawn_alike_beside_any_other():
    patient, lesion = PATIENTS[2], Finding("Lung Lesion", "right", "upper", kind="nodule")
    tube = Finding("Support Devices", "left", kind="chest tube")
    both = frontal(patient, (tube, lesion)) - frontal(patient, (tube,))
    assert np.array_equal(both, change(patient, lesion))


@pytest.mark.parametrize(
    "finding", [f for f in FINDINGS if CATALOGUE[f.observation].may_be_uncertain], ids=label
)
def test_an_uncertain_finding_is_fainter(finding):
    faint = Finding(
        finding.observation, finding.side, finding.zone, finding.severity, finding.kind, False
    )
    for patient in PATIENTS[1:2]:
        certain, uncertain = (np.abs(change(patient, f)).sum() for f in (finding, faint))
        assert uncertain < 0.93 * certain


@pytest.mark.parametrize(
    "observation", [name for name, options in CATALOGUE.items() if options.severities]
)
def test_a_more_severe_finding_changes_more(observation):
    options = CATALOGUE[observation]
    side, zone = (values[0] if values else None for values in (options.sides, options.zones))
    for patient in PATIENTS[1:3]:
        sizes = [
            np.abs(change(patient, Finding(observation, side, zone, severity))).sum()
            for severity in options.severities
        ]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    "finding",
    [
        f
        for f in FINDINGS
        # A catheter, wherever it enters, and a pacemaker's leads end on the right.
        if f.side in ("right", "left") and f.kind not in ("central venous catheter", "pacemaker")
    ],
    ids=label,
)
def test_the_right_of_the_patient_is_on_the_left_of_the_picture(finding):
    for patient in PATIENTS[1:3]:
        _, columns = np.nonzero(change(patient, finding))
        on_left = (columns + 0.5) / 112 < patient.center
        assert (on_left.mean() > 0.8) == (finding.side == "right")


@pytest.mark.parametrize(
    "finding", [f for f in FINDINGS if f.zone and f.zone != "apical"], ids=label
)
def test_a_finding_lies_in_its_zone(finding):
    for patient in PATIENTS[1:3]:
        box = landmark_boxes(patient)[f"{SIDE_OF[finding.side]} {finding.zone} lung zone"]
        rows, _ = np.nonzero(change(patient, finding))
        middle = (rows.mean() + 0.5) / 112
        assert box[1] - 0.03 < middle < box[3] + 0.03


SIDE_OF = {"right": "right", "left": "left", "bilateral": "left"}


def test_every_landmark_has_a_box_inside_the_picture():
    for seed in range(30):
        boxes = landmark_boxes(sample_patient(np.random.default_rng(seed)))
        assert tuple(boxes) == LANDMARKS
        for name, (x1, y1, x2, y2) in boxes.items():
            assert 0 <= x1 < x2 <= 1, name
            assert 0 <= y1 < y2 <= 1, name
            assert (x2 - x1) * (y2 - y1) > 0.0005, name


def test_the_boxes_follow_the_picture():
    for seed in range(8):
        patient = sample_patient(np.random.default_rng(seed))
        picture, boxes = frontal(patient, ()), landmark_boxes(patient)
        lung = max(mean_in(picture, boxes[f"{side} mid lung zone"]) for side in ("right", "left"))
        assert lung + 30 < mean_in(picture, boxes["cardiac silhouette"])
        assert lung + 50 < mean_in(picture, boxes["right upper abdomen"])
        x1, y1, x2, _ = boxes["right hemidiaphragm"]
        # Across the dome the picture turns from lung to abdomen.
        dome = ((x1 + x2) / 2 - 0.05, (x1 + x2) / 2 + 0.05)
        above = mean_in(picture, (dome[0], y1 - 0.05, dome[1], y1 - 0.01))
        below = mean_in(picture, (dome[0], y1 + 0.02, dome[1], y1 + 0.06))
        assert above + 40 < below


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_lung_ends_where_its_box_ends(side):
    for patient in PATIENTS:
        x1, y1, x2, y2 = landmark_boxes(patient)[f"{side} lung"]
        picture = frontal(patient, (), 448)
        row = slice(int((y1 + 0.62 * (y2 - y1)) * 448), int((y1 + 0.8 * (y2 - y1)) * 448))
        profile = picture[row].mean(axis=0)
        outwards = -1 if side == "right" else 1
        wall = x1 if side == "right" else x2
        lung, skin = (profile[int((wall - outwards * d) * 448)] for d in (0.04, -0.015))
        assert lung + 15 < skin


def test_a_large_heart_has_a_larger_box():
    large = Finding("Cardiomegaly", severity="large")
    for patient in PATIENTS:
        before = landmark_boxes(patient)["cardiac silhouette"]
        after = landmark_boxes(patient, (large,))["cardiac silhouette"]
        assert after[2] - after[0] > 1.3 * (before[2] - before[0])


@pytest.mark.parametrize(
    "finding",
    [
        f
        for f in FINDINGS
        if f.observation not in ("Fracture", "Enlarged Cardiomediastinum", "Pneumothorax")
    ],
    ids=label,
)
def test_a_lateral_view_shows_what_can_be_seen_from_the_side(finding):
    patient = PATIENTS[0]
    with_it, without = (
        render_lateral(patient, findings, 112, np.random.default_rng(5)).astype(int)
        for findings in ((finding,), ())
    )
    assert (np.abs(with_it - without) >= 8).sum() >= 20


def draw_studies(count, **options):
    rng = np.random.default_rng(11)
    return [sample_findings(rng, **options) for _ in range(count)]


def test_studies_without_findings_are_as_rare_as_asked():
    assert 0.09 < np.mean([not findings for findings in draw_studies(2000)]) < 0.15
    assert 0.37 < np.mean([not findings for findings in draw_studies(2000, normal=0.4)]) < 0.43


def test_abnormal_studies_have_about_three_findings():
    studies = draw_studies(2000)
    assert 2.6 < np.mean([len(findings) for findings in studies if findings]) < 3.4


def test_observations_are_as_common_and_as_rare_as_in_hospitals():
    studies = draw_studies(2000)
    counts = Counter(finding.observation for findings in studies for finding in findings)
    share = {name: counts[name] / len(studies) for name in CATALOGUE}

    common = ("Pleural Effusion", "Atelectasis", "Edema", "Support Devices", "Cardiomegaly")
    rare = ("Pneumothorax", "Fracture", "Pleural Other")
    assert all(0.2 < share[name] < 0.5 for name in common), share
    assert all(0.03 < share[name] < 0.12 for name in rare), share
    assert all(max(share[n] for n in rare) < share[n] for n in CATALOGUE if n not in rare), share


def test_a_kind_is_drawn_more_often_than_the_one_after_it():
    findings = [finding for study in draw_studies(4000) for finding in study]
    for name, options in CATALOGUE.items():
        counts = Counter(finding.kind for finding in findings if finding.observation == name)
        if options.kinds:
            assert sorted(options.kinds, key=counts.__getitem__, reverse=True) == [*options.kinds]


def test_about_one_finding_in_eight_is_uncertain_where_it_may_be():
    findings = [finding for study in draw_studies(2000) for finding in study]
    able = [f for f in findings if CATALOGUE[f.observation].may_be_uncertain]
    assert 0.1 < np.mean([not f.certain for f in able]) < 0.14
    assert all(f.certain for f in findings if not CATALOGUE[f.observation].may_be_uncertain)


def test_sampled_findings_say_what_the_catalogue_allows():
    allowed = set(FINDINGS)
    for finding in (finding for study in draw_studies(2000) for finding in study):
        fields = (finding.side, finding.zone, finding.severity, finding.kind)
        assert Finding(finding.observation, *fields) in allowed


def presence(studies, observation):
    return np.array([any(f.observation == observation for f in study) for study in studies])


def test_edema_comes_with_a_large_heart_unless_findings_are_independent():
    for independent, low, high in ((False, 0.3, 1.0), (True, -0.06, 0.06)):
        studies = draw_studies(2000, independent=independent)
        edema, heart = (presence(studies, name) for name in ("Edema", "Cardiomegaly"))
        assert low < np.corrcoef(edema, heart)[0, 1] < high
