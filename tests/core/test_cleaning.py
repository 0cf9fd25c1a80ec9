"""Cleaning rules: the field's to the letter, ours by its promises."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgcore.cleaning import CLEANERS, clean, cleaner, digest_of, is_empty
from rrgcore.errors import DataError


@pytest.mark.parametrize(
    "rule",
    ["r2gen-iu", "r2gen-mimic", "r2gengpt-iu", "r2gengpt-mimic", "organ-iu", "organ-mimic"],
)
def test_published_rules_do_what_the_official_functions_do(rule: str, golden: Callable[[str], Any]):
    cases = golden("report_cleaning")["cases"]
    assert len(cases) == 11
    for case in cases:
        assert clean(case["raw"], rule) == case[rule.replace("-", "_")], case["raw"]


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        (
            "1. Mild cardiomegaly. 2. No effusion. 3. T11. Old fracture.",
            "mild cardiomegaly . no effusion . t1old fracture .",
        ),
        (
            'Heart size: normal; "clear" lungs (PA/lateral).',
            "heart size normal clear lungs palateral .",
        ),
        ("Nodule of 3.5 cm", "nodule of 35 cm ."),
        ("Lungs clear. . Heart normal.", "lungs clear .  . heart normal ."),
        ("Compared to ___, size", "compared to  size ."),
    ],
)
def test_r2gen_has_the_quirks_it_is_known_for(raw: str, cleaned: str):
    assert clean(raw, "r2gen-iu") == cleaned


def test_runs_of_full_stops_collapse_only_so_far():
    assert clean("clear" + 9 * "." + " lungs", "r2gen-iu") == "clear . lungs ."
    assert clean("clear" + 9 * "." + "lungs", "r2gen-mimic") == "clearlungs ."


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("The Heart is normal. Lungs are clear.", "the heart is normal . lungs are clear ."),
        ("No acute disease", "no acute disease ."),
        ("Nodule of 3.5 cm. Stable.", "nodule of 3.5 cm . stable ."),
        ("Grown by .5 cm, or 10%.", "grown by .5 cm or 10% ."),
        ("Right-sided PICC, tip in SVC; no effusion!", "right-sided picc tip in svc no effusion ."),
        ("1. Clear. 2. T11. Old fracture.", "clear . t11 . old fracture ."),
        ("1.Clear lungs.2.No effusion.", "clear lungs . no effusion ."),
        ("1) 3.5 cm nodule", "3.5 cm nodule ."),
        ("Heart size is stable.No effusion.", "heart size is stable . no effusion ."),
        ("Is there an effusion? No.", "is there an effusion . no ."),
        ("Patient's A.P. view (PA/lateral)", "patients ap view pa lateral ."),
        ("Lungs clear. . Heart\n  normal...", "lungs clear . heart normal ."),
        ("Since ___, XXXX is removed.", "since xxxx is removed ."),
        ("", ""),
        (" . ! ", ""),
    ],
)
def test_lossless_keeps_what_was_said(raw: str, cleaned: str):
    assert clean(raw, "lossless") == cleaned


REPORTS = st.text(alphabet="abT1 23.,;:()'\"-/?!%_\nÄ", max_size=40)


@given(REPORTS)
def test_lossless_changes_nothing_the_second_time(report: str):
    once = clean(report, "lossless")
    assert clean(once, "lossless") == once


@given(REPORTS)
def test_lossless_makes_single_spaced_lower_case_sentences(report: str):
    cleaned = clean(report, "lossless")
    assert cleaned == " ".join(cleaned.split()) == cleaned.lower()
    assert cleaned == "" or cleaned.endswith(" .")


@given(st.text(alphabet="abcT ,;:()'/", max_size=40))
def test_lossless_loses_no_letter(report: str):
    letters = [character for character in report.lower() if character.isalpha()]
    assert [c for c in clean(report, "lossless") if c.isalpha()] == letters


def test_a_rule_that_does_something_else_has_another_digest(monkeypatch: pytest.MonkeyPatch):
    before = {rule: digest_of(rule) for rule in CLEANERS}
    others = {"r2gengpt-iu"}  # which is r2gen-iu by another name
    assert len(set(before.values())) == len(CLEANERS) - len(others)

    for rule, clean_by in CLEANERS.items():
        for mark in ".,:/-_'(0123456789":
            wrong = {**CLEANERS, rule: lambda text, m=mark, c=clean_by: c(text.replace(m, " "))}
            monkeypatch.setattr("rrgcore.cleaning.CLEANERS", wrong)
            same = clean("a.b,c:d/e-f_g'h(i 3.5 T11. 2. 7 0 4 6 8 9", rule) == clean_by(
                "a.b,c:d/e-f_g'h(i 3.5 T11. 2. 7 0 4 6 8 9"
            )
            assert same or digest_of(rule) != before[rule], (rule, mark)


def test_none_changes_nothing():
    assert clean("  A.\n", "none") == "  A.\n"


@pytest.mark.parametrize("rule", CLEANERS)
def test_an_empty_report_is_empty_under_every_rule(rule: str):
    assert is_empty(clean("", rule))
    assert not is_empty(clean("Clear.", rule))


def test_a_misspelt_rule_suggests_the_nearest():
    with pytest.raises(
        DataError, match=r"no cleaning rule called 'r2gen_iu'. Did you mean 'r2gen-"
    ):
        cleaner("r2gen_iu")
