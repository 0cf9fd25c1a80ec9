"""What a page is made of, a piece at a time."""

import re
from base64 import b64decode
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrgcore.check import check_recipe
from rrgcore.page.cautions import cautions
from rrgcore.page.changes import Origin, history
from rrgcore.page.charts import curve_charts
from rrgcore.page.choosing import choose
from rrgcore.page.curves import BUCKETS, read_training
from rrgcore.page.differences import compare
from rrgcore.page.findings import f1, labelled
from rrgcore.page.lines import Line
from rrgcore.page.maps import STEPS, packed
from rrgcore.page.pictures import Picture, Pictures
from rrgcore.page.scores import baselines, observations, protocols
from rrgcore.page.studies import BY, Browser, Card, browse, within
from rrgcore.page.svg import element, ticks
from rrgcore.plugins import Discovered
from rrgcore.recipe import load_recipe

INKS = {
    "--paper": ("--ink", "--soft", "--own", "--missing-ink", "--invented-ink", "--found-ink"),
    "--raised": ("--ink", "--soft", "--own", "--missing-ink"),
    "--same": ("--ink",),
    "--missing": ("--ink",),
    "--invented": ("--ink",),
}
"""What is written on what."""


# ---- differences ----------------------------------------------------------------------------


def marked(reference: str, generated: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    one, two = compare(reference, generated)
    return [(r.kind, " ".join(r.words)) for r in one], [(r.kind, " ".join(r.words)) for r in two]


def test_words_of_one_report_alone_are_marked_in_it() -> None:
    assert marked("large left effusion .", "small left effusion .") == (
        [("alone", "large"), ("same", "left effusion"), ("plain", ".")],
        [("alone", "small"), ("same", "left effusion"), ("plain", ".")],
    )


def test_a_denial_is_marked_and_empty_words_are_not() -> None:
    reference, generated = marked("there is a fracture .", "no fracture .")
    assert reference == [("plain", "there is a"), ("same", "fracture"), ("plain", ".")]
    assert generated == [("alone", "no"), ("same", "fracture"), ("plain", ".")]


def test_what_both_reports_say_has_the_same_number_in_both() -> None:
    one, two = compare("clear lungs . heart enlarged", "heart enlarged . clear lungs")
    numbers = {" ".join(run.words): run.match for run in one if run.kind == "same"}
    assert numbers == {" ".join(run.words): run.match for run in two if run.kind == "same"}
    assert len(set(numbers.values())) == 2


def test_no_word_of_a_report_is_lost() -> None:
    text = "No right-sided, (2.5 cm) opacity/mass; T11 … unchanged."
    for other in ("", "right opacity 2.5", text):
        runs, _ = compare(text, other)
        assert [word for run in runs for word in run.words] == text.split()


# ---- findings -------------------------------------------------------------------------------


def test_findings_are_found_missed_or_invented(plugins: Discovered) -> None:
    pair = ("cardiomegaly . pleural effusion .", "cardiomegaly . no effusion . pneumothorax .")
    ((findings,), labeler) = labelled(plugins.registry, [pair])
    assert [(each.observation, each.outcome, each.why) for each in findings] == [
        ("Cardiomegaly", "found", "both say that it is there"),
        ("Pneumothorax", "invented", "the reference does not mention it"),
        ("Pleural Effusion", "missed", "the generated report denies it"),
    ]
    assert f1(findings) == pytest.approx(2 / 4)
    assert labeler.startswith("rules of rrg")


# ---- choosing -------------------------------------------------------------------------------


def test_a_third_are_the_worst_a_third_the_best_and_the_rest_lie_between() -> None:
    chosen = choose([n / 100 for n in range(100)], 9, by="ROUGE-L")
    assert list(chosen.places) == [0, 1, 2, 18, 50, 81, 97, 98, 99]
    assert list(chosen.why) == ["worst"] * 3 + ["between"] * 3 + ["best"] * 3
    assert "3 of the lowest ROUGE-L" in chosen.how


def test_few_studies_are_all_shown() -> None:
    assert list(choose([None, 0.5], 2, by="ROUGE-L").places) == [0, 1]


def test_without_scores_studies_are_spread_over_the_data() -> None:
    assert list(choose([None] * 100, 4, by=None).places) == [12, 37, 62, 87]


def test_studies_with_a_score_come_before_those_without() -> None:
    chosen = choose([None, 0.1, None, None, 0.2, None], 3, by="ROUGE-L")
    assert {1, 4} <= set(chosen.places)
    assert len(chosen.places) == 3


def card(number: int, score: float, size: int) -> Card:
    pictures = Pictures([Picture("frontal", "x" * size)])
    return Card(Line(f"s{number}", "", "", None), "all", [], [], {BY: score}, pictures=pictures)


def test_a_page_that_would_be_too_large_keeps_its_worst_and_best_studies() -> None:
    cards = [card(n, n / 10, 97_000) for n in range(10)]
    smaller = within(Browser(cards, 10, "", [BY]), 400_000)
    assert [each.line.id for each in smaller.cards] == ["s0", "s3", "s7", "s9"]
    assert [each.why for each in smaller.cards] == ["worst", "between", "between", "best"]
    assert "4 of 10 studies are shown: 10 would have made the page larger" in smaller.how


def test_a_page_keeps_within_its_size_whichever_studies_are_heavy() -> None:
    # the best and the worst are kept, and here they are the heavy ones
    sizes = [130_000 if abs(n - 14.5) > 7 else 10_000 for n in range(30)]
    cards = [card(n, n / 30, size) for n, size in enumerate(sizes)]
    smaller = within(Browser(cards, 30, "", [BY]), 1_500_000)
    assert 0 < sum(each.weight for each in smaller.cards) <= 1_500_000


def test_a_study_without_a_reference_is_shown_and_has_no_scores(plugins: Discovered) -> None:
    lines = [Line("a", "clear lungs .", "clear lungs .", -0.1), Line("b", "", "clear .", None)]
    found = browse(lines, plugins.registry, most=5)
    assert found.cards[0].scores[BY] == pytest.approx(1.0)
    assert found.cards[1].scores == {}
    assert found.cards[1].findings == ()


# ---- curves ---------------------------------------------------------------------------------


def steps(stage: str, count: int, **values: Any) -> list[dict[str, Any]]:
    return [
        {"stage": stage, "epoch": 0, "step": n, **{k: f(n) for k, f in values.items()}}
        for n in range(1, count + 1)
    ]


def test_stages_follow_each_other() -> None:
    entries = [*steps("one", 3, loss=float), *steps("two", 2, loss=float, mim=float)]
    training = read_training(entries)
    assert [(stage.name, stage.start, stage.steps) for stage in training.stages] == [
        ("one", 0, 3),
        ("two", 3, 2),
    ]
    (mim,) = [curve for curve in training.curves if curve.name == "mim"]
    assert [(point.at, point.step, point.mean) for point in mim.points] == [
        (4, 1, 1.0),
        (5, 2, 2.0),
    ]


def test_a_long_training_has_no_more_points_and_keeps_its_extremes() -> None:
    training = read_training(steps("one", 10_000, loss=lambda n: 9.0 if n == 4321 else 1.0))
    (loss,) = training.curves
    assert len(loss.points) <= BUCKETS
    assert max(point.high for point in loss.points) == 9.0
    assert max(point.mean for point in loss.points) < 2


def test_what_is_no_number_leaves_a_gap() -> None:
    odd = [None, float("nan"), float("inf"), 10**400, True, "1"]
    entries = steps("one", 8, loss=lambda n: odd[n - 2] if 1 < n < 8 else 1.0)
    (loss,) = read_training([*entries, {"note": "no step"}]).curves
    assert [point.step for point in loss.points] == [1, 8]


def test_the_score_that_decides_is_the_validation_curve() -> None:
    said = {"stage": "one", "epoch": 0, "step": 2, "split": "val", "best": True}
    entries = [*steps("one", 2, loss=float), {**said, "coco.BLEU-4": 0.1, "coco.CIDEr": 0.7}]
    (curve,) = read_training(entries, select="CIDEr").of("validation")
    assert curve.name == "coco.CIDEr"
    assert [(point.at, point.mean, point.best) for point in curve.points] == [(2, 0.7, True)]


def test_the_only_objective_is_drawn_once() -> None:
    charts = curve_charts(read_training(steps("one", 2, loss=float, report=float)))
    assert [(title, [name for name, _ in each]) for title, each in charts] == [
        ("Losses", ["report"])
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (0.0, 0.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (2.0, 9.0, [2, 4, 6, 8, 10]),
        (-1.3, 0.2, [-1.5, -1.0, -0.5, 0.0, 0.5]),
    ],
)
def test_ticks_are_round_and_hold_the_values(
    low: float, high: float, expected: list[float]
) -> None:
    assert ticks(low, high) == expected


def test_svg_escapes_what_it_is_given() -> None:
    assert element("text", "<b>", class_='"a"', stroke_width=1.5) == (
        '<text class="&#34;a&#34;" stroke-width="1.5">&lt;b&gt;</text>'
    )


# ---- scores ---------------------------------------------------------------------------------


@pytest.fixture
def scored() -> dict[str, Any]:
    """scores.json of a model that a constant report equals."""
    figures = {"P": 0.5, "R": 1.0, "F1": 0.667, "support": 4, "predicted": 8, "left out": 0}
    return {
        "studies": 10,
        "references": 10,
        "cautions": ["Only phantoms."],
        "protocols": {"coco": {"BLEU-4": 0.2, "CIDEr": 0.5}},
        "fingerprint": {"coco": "protocol coco"},
        "intervals": {"coco": {"BLEU-4": [0.15, 0.25]}},
        "missing": {"coco METEOR": "not computed: no Java", "coco METEOR of random report": "x"},
        "headline": {"coco": ["BLEU-4"], "clinical": ["F1 (14, micro, uncertain negative)"]},
        "details": {
            "clinical": {
                "observations": {
                    "uncertain positive": {"Edema": figures},
                    "uncertain negative": {"Edema": {**figures, "support": 2}},
                }
            }
        },
        "baselines": {"best constant report": {"coco": {"BLEU-4": 0.16, "CIDEr": 0.1}}},
        "about baselines": {"best constant report": "the training report: lungs are clear ."},
        "leakage": {
            "verbatim": 0.4,
            "distinct": 0.3,
            "most_frequent": "the lungs are clear .",
            "most_frequent_share": 0.1,
            "empty": 0.2,
        },
        "shuffled images": {},
        "probes": {},
    }


def test_scores_stand_beside_their_baselines(scored: Mapping[str, Any]) -> None:
    (coco,) = protocols(scored)
    assert [(row.name, row.value, row.interval, row.others) for row in coco.headline] == [
        ("BLEU-4", 0.2, (0.15, 0.25), [0.16])
    ]
    assert [row.name for row in coco.rest] == ["CIDEr"]
    assert coco.missing == [("METEOR", "not computed: no Java")]
    assert "BLEU-4 0.200, 95 % interval 0.150 to 0.250" in coco.headline[0].chart
    assert "best constant report: 0.160" in coco.headline[0].chart


def test_the_headlines_policy_comes_first(scored: Mapping[str, Any]) -> None:
    found = observations(scored)
    assert [policy for _, policy, _ in found] == ["uncertain negative", "uncertain positive"]
    assert [(each.name, each.support, each.predicted) for each in found[0][2]] == [("Edema", 2, 8)]


def test_what_speaks_against_scores_is_said_first(scored: Mapping[str, Any]) -> None:
    said = [(each.level, each.text) for each in cautions(scored, quotes=True)]
    assert said[0] == ("warning", "Only phantoms.")
    warned = [text for level, text in said if level == "warning"]
    assert warned[1].startswith("Leakage: 40.0% of the references are, word for word, a training")
    assert warned[2] == "20.0% of the generated reports are empty."
    assert warned[3] == (
        "The best constant report scores within this model's interval, or higher: coco BLEU-4 "
        "(0.160 against 0.200)."
    )
    assert ("note", "Not computed: coco METEOR. no Java") in said


def test_no_report_is_quoted_where_studies_are_left_out(scored: Mapping[str, Any]) -> None:
    said = " ".join(each.text for each in cautions(scored, quotes=False))
    said += str(baselines(scored, quotes=False))
    assert "lungs are clear" not in said


def test_the_scores_of_an_exported_run_quote_nothing(scored: dict[str, Any]) -> None:
    del scored["about baselines"], scored["leakage"]["most_frequent"]
    assert baselines(scored, quotes=True) == []
    assert any("are one and the same." in each.text for each in cautions(scored, quotes=True))


# ---- maps -----------------------------------------------------------------------------------


def test_maps_are_bytes_of_how_much_more_than_an_even_look() -> None:
    maps = np.zeros((2, 2, 2, 2), dtype=np.float32)
    maps[0, 0] = 0.25  # a study of one view, whose word looks everywhere alike
    maps[1, 0, 1, 0] = 1.0
    found = packed(maps)
    assert (found.words, found.views, found.rows, found.columns) == (2, 2, 2, 2)
    even = [STEPS] * 4 + [0] * 4
    assert list(b64decode(found.data)) == [*even, 0, 0, 4 * STEPS, 0, 0, 0, 0, 0]


# ---- the recipe -----------------------------------------------------------------------------


def test_every_change_names_the_variant_or_override_that_made_it(plugins: Discovered) -> None:
    said = {"variants": ["tiny"], "overrides": ["seed=5", "objectives.mim.weight=0.5"]}
    plan = check_recipe(load_recipe("kia_label", **said), plugins.registry)
    found = history(Origin("kia_label", *said.values()), plan, plugins.registry)
    own, inherited = found.steps
    by = {change.address: (change.before, change.now, change.by) for change in own.changes}
    assert by["seed"] == ("0", "5", "override seed=5")
    assert by["objectives.mim.weight"] == ("1.0", "0.5", "override objectives.mim.weight=0.5")
    assert by["data.train"][2] == "variant tiny"
    assert (inherited.base, inherited.of) == ("kia_graph", "kia_label")
    assert any(c.address.startswith("objectives.mlm.masking") for c in inherited.changes)
    assert found.unknown == ""


def test_what_no_recipe_explains_is_marked(plugins: Discovered) -> None:
    recipe = load_recipe("kia_graph", variants=["tiny"], overrides=["seed=9"])
    plan = check_recipe(recipe, plugins.registry)
    found = history(Origin("kia_graph", ["tiny"], []), plan, plugins.registry)
    assert {c.address: c.by for c in found.steps[0].changes}["seed"] == "otherwise"
    assert "is not what ran" in found.unknown


def test_a_recipe_of_ones_own_is_found_by_its_file(plugins: Discovered, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: kia_graph\nseed: 7\n")
    plan = check_recipe(load_recipe(mine), plugins.registry)
    origin = Origin("mine", [], [])
    assert "name its file with --recipe" in history(origin, plan, plugins.registry).unknown

    found = history(origin, plan, plugins.registry, recipe=mine)
    assert [list(step.changes) != [] for step in found.steps] == [False, True]
    assert [(c.address, c.now) for c in found.steps[1].changes] == [("seed", "7")]


# ---- looks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_in_both_themes(theme: int) -> None:
    """WCAG 2: 4.5 to 1."""
    style = (files("rrgcore.page") / "templates" / "page.css").read_text("utf-8")
    colours = {
        name: pair[theme]
        for name, *pair in re.findall(r"(--[\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)
    }
    for paper, inks in INKS.items():
        for ink in inks:
            assert contrast(colours[paper], colours[ink]) >= 4.5, f"{ink} on {paper}"


def contrast(one: str, two: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_the_pictures_of_the_docs_are_small() -> None:
    found = list((Path(__file__).parents[2] / "docs" / "images").glob("page_*.png"))
    assert len(found) == 4
    assert all(path.stat().st_size < 200_000 for path in found)
