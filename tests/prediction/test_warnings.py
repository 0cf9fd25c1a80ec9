"""Comparisons with what was not given, and left and right that contradict each other."""

import pytest

from rrgcore.prediction.laterality import contradictions
from rrgcore.prediction.notices import notices_of
from rrgcore.prediction.priors import prior_phrases

COMPARES = [
    ("The heart is unchanged.", "unchanged"),
    ("stable cardiomegaly .", "stable"),
    ("Compared to the prior study, the effusion is smaller.", "Compared to"),
    ("Right basilar opacity again seen.", "again"),
    ("Interval improvement in aeration.", "Interval improvement"),
    ("There has been interval development of edema.", "interval development"),
    ("in the interval a mass has developed .", "in the interval"),
    ("Redemonstration of a nodule.", "Redemonstration"),
    ("The previously seen PICC has been removed.", "previously seen"),
    ("No significant change in the left effusion.", "No significant change"),
    ("The left apical pneumothorax has resolved.", "has resolved"),
    ("Effusion has slightly increased.", "has slightly increased"),
    ("Increased in size since the earlier examination.", "Increased in size"),
    ("The lungs remain clear.", "remain"),
    ("Persistent bibasilar atelectasis.", "Persistent"),
    ("The opacity is no longer seen.", "no longer"),
    ("New right lower lobe consolidation.", "New"),
    ("no new infiltrate .", "new"),
    ("Worsening edema.", "Worsening"),
    ("Decreasing right pleural effusion.", "Decreasing"),
    ("Similar to the previous exam.", "Similar to the previous"),
    ("Calcified granuloma unchanged from 2 years ago.", "unchanged"),
    ("Since the last radiograph the tube was advanced.", "Since the last"),
    ("nodule is larger than on prior study", "larger than on prior"),
    ("Stable nodule, for which follow-up is recommended.", "Stable"),
]
DOES_NOT = [
    "The lungs are clear.",
    "No prior studies are available for comparison.",
    "Comparison: None.",
    "The most recent study is not available for comparison.",
    "Without comparisons, this may represent infection.",
    "Recommend comparison with prior images to document stability.",
    "Comparison with prior films would be helpful.",
    "If prior films are available, comparison is recommended.",
    "Follow-up radiograph is recommended at an appropriate interval to ensure resolution.",
    "If clinical concern persists, consider dedicated rib views.",
    "Sequelae of prior granulomatous disease.",
    "Prior CABG with intact sternal wires.",
    "Evidence of previous rib fractures.",
    "Degenerative changes of the spine.",
    "no acute osseous change .",
    "Increased interstitial markings and decreased lung volumes.",
    "The right lung is smaller compared to the left.",
    "Left worse than right.",
    "The patient is hemodynamically unstable.",
    "The remaining lungs are clear; the remainder is unremarkable.",
    "Calcification against the pleura.",
    "High-resolution CT may be helpful.",
    "Persistent left superior vena cava.",
    "Cough for three weeks, rule out pneumonia.",
    "Old healed fracture of the left clavicle.",
    "There is normal spacing at the carinal interval.",
]


@pytest.mark.parametrize(("report", "phrase"), COMPARES)
def test_a_comparison_is_found(report: str, phrase: str) -> None:
    assert prior_phrases(report)[:1] == [phrase]


@pytest.mark.parametrize("report", DOES_NOT)
def test_what_is_no_comparison_is_not(report: str) -> None:
    assert prior_phrases(report) == []


CONTRADICTS = [
    "There is a small right pleural effusion. No right effusion.",
    "right pleural effusion . the heart is normal . there is no right pleural effusion .",
    "small right effusion . no pleural effusion .",
    "Right apical pneumothorax. There is no pneumothorax or effusion.",
    "right-sided pneumothorax . no pneumothorax on the right .",
    "Bilateral pleural effusions. No left pleural effusion.",
    "left lower lobe opacity on the right",
    "There is an opacity in the left lower lobe on the right.",
    "RLL consolidation in the left lung.",
    "Left middle lobe consolidation.",
    "right lingular atelectasis .",
    "The right lung is clear. There is consolidation in the right upper lobe.",
    "Large left pneumothorax. The pneumothorax is on the right side.",
]
AGREES = [
    "Small right effusion. No left effusion.",
    "No right effusion. No left effusion.",
    "Left lower lobe opacity. Right basilar opacity.",
    "Right greater than left pleural effusions.",
    "Bilateral effusions, left larger than on the right.",
    "Opacity in the right lung and on the left.",
    "Left pleural effusion, right lung is clear.",
    "The left lung is clear. Right lower lobe pneumonia.",
    "The right lung is otherwise clear. Right apical nodule.",
    "Small right effusion. No large effusion.",
    "Right pneumothorax. No tension pneumothorax.",
    "Nodule in the left upper lobe. No other nodules.",
    "Left apical pneumothorax has resolved. No pneumothorax.",
    "Right pneumothorax. The pneumothorax on the left has resolved.",
    "Large right effusion. The effusion on the left is no longer seen.",
    "Possible left effusion. No effusion on the lateral.",
    "Left PICC with tip in the right atrium.",
    "Small left effusion with shift of the mediastinum to the right.",
    "Right lower lobe opacity seen on the left lateral view.",
    "There is a left effusion. The opacity is on the right.",
    "Healed left rib fracture. No fracture.",
    "Increased opacity of the right base compared to the left. The left lung is clear.",
    "right middle lobe atelectasis . left lingular scarring .",
    "no bilateral effusions . small right effusion .",
    "there is an opacity in the right upper lobe . the opacity in the left base is atelectasis .",
]


@pytest.mark.parametrize("report", CONTRADICTS)
def test_left_and_right_that_cannot_both_be_so_are_found(report: str) -> None:
    assert len(contradictions(report)) == 1


@pytest.mark.parametrize("report", AGREES)
def test_two_sides_alone_are_no_contradiction(report: str) -> None:
    assert contradictions(report) == []


def test_a_report_has_its_warnings_by_kind() -> None:
    report = "Stable right effusion. No right effusion."

    assert [notice.kind for notice in notices_of(report)] == ["laterality", "prior"]
    assert "“Stable”" in notices_of(report)[1].text
    assert [notice.kind for notice in notices_of(" ")] == ["empty"]
    assert notices_of("The lungs are clear.") == []


@pytest.mark.parametrize("report", ["", "...", ";:", "no" * 5000, "left " * 3000, "\n\n1. 2. 3."])
def test_no_text_is_too_odd(report: str) -> None:
    assert isinstance(notices_of(report), list)
