"""The MS-COCO protocol's numbers, golden and by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from rrg_metrics import caption
from rrg_metrics.caption import NAMES, CaptionMetric, coco_scores
from rrgcore.api import Pair
from rrgcore.errors import DataError

PAIRS = [
    Pair("a", "The lungs are clear.", "The lungs are clear. No effusion."),
    Pair("b", "Heart size is normal.", "The heart is enlarged."),
]


def assert_recorded(found: dict[str, float], recorded: dict[str, Any]) -> None:
    expected = {f"BLEU-{n}": value for n, value in enumerate(recorded["BLEU"], 1)}
    expected |= {"ROUGE-L": recorded["ROUGE_L"], "CIDEr": recorded["CIDEr"]}
    assert found == pytest.approx(expected, abs=1e-12)


def test_raw_golden_reports_score_as_recorded(golden: Callable[[str], Any]) -> None:
    recorded = golden("caption_metrics")
    pairs = [Pair(id, text["hyp"], text["ref"]) for id, text in recorded["raw"].items()]
    found = CaptionMetric(meteor=False).score(pairs)
    assert_recorded(dict(found.values), recorded["ptb"]["scores"])


@pytest.mark.parametrize("case", ["multi_ref_closest", "single_image_corpus", "empty_hypothesis"])
def test_golden_edge_cases_score_as_recorded(case: str, golden: Callable[[str], Any]) -> None:
    recorded = golden("caption_metrics")[case]
    assert_recorded(coco_scores(recorded["res"], recorded["gts"]), recorded["scores"])


def test_without_java_meteor_is_missing_and_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    found = CaptionMetric().score(PAIRS)
    assert set(found.values) == set(NAMES) - {"METEOR"}
    assert found.missing["METEOR"] == (
        "not computed: METEOR needs Java, and no `java` is on the PATH; install a Java runtime, "
        "e.g. apt-get install default-jre, then rrg evaluate RUN"
    )


def test_a_quick_score_leaves_meteor_out_without_missing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caption, "meteor_corpus", _must_not_start)
    found = CaptionMetric().score(PAIRS, quick=True)
    assert "METEOR" not in found.values
    assert not found.missing


def _must_not_start(systems: object) -> None:
    raise AssertionError("Java was started")


def test_meteor_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption, "meteor_corpus", _must_not_start)
    found = CaptionMetric(meteor=False).score(PAIRS)
    assert "METEOR" not in found.values
    assert not found.missing


def test_systems_are_scored_as_each_alone() -> None:
    metric = CaptionMetric(meteor=False)
    swapped = [Pair(pair.id, pair.reference, pair.prediction) for pair in PAIRS]
    found = metric.score_all({"model": PAIRS, "swapped": swapped})
    assert found["model"] == metric.score(PAIRS)
    assert found["swapped"] == metric.score(swapped)


def test_meteor_stops_at_its_limit_and_the_fingerprint_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []

    def count(systems: list[Any]) -> list[Any]:
        started.append(len(systems))
        return [type("Found", (), {"corpus": 0.5})() for _ in systems]

    monkeypatch.setattr(caption, "meteor_corpus", count)
    found = CaptionMetric(meteor_segments=4).score_all({"x": PAIRS, "y": PAIRS, "z": PAIRS})
    assert started == [2]
    assert ["METEOR" in scores.values for scores in found.values()] == [True, True, False]
    assert "METEOR for the first 2 of 3 systems" in found["x"].fingerprint


def test_studies_of_one_id_all_count() -> None:
    twice = [Pair("a", pair.prediction, pair.reference) for pair in PAIRS]
    metric = CaptionMetric(meteor=False)
    assert metric.score(twice) == metric.score(PAIRS)


def test_a_perfect_copy_scores_one_and_cider_ten() -> None:
    texts = ["The lungs are clear.", "Heart size is normal."]
    found = CaptionMetric(meteor=False).score([Pair(text, text, text) for text in texts]).values
    assert found["BLEU-4"] == pytest.approx(1)
    assert found["ROUGE-L"] == pytest.approx(1)
    assert found["CIDEr"] == pytest.approx(10)


def test_the_fingerprint_says_what_makes_the_number_comparable() -> None:
    fingerprint = CaptionMetric(meteor=False).score(PAIRS).fingerprint
    for part in ("MS-COCO protocol", "PTB tokens", "CIDEr-D, document frequencies", "2 references"):
        assert part in fingerprint


@pytest.mark.parametrize("references", [[], [""], ["...", " "]])
def test_references_without_a_word_are_refused(references: list[str]) -> None:
    pairs = [Pair(str(i), "Clear.", reference) for i, reference in enumerate(references)]
    told = r"nothing to score against: .* Score one whose studies have reports"
    with pytest.raises(DataError, match=told):
        CaptionMetric().score(pairs)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    CaptionMetric(meteor=False).score(PAIRS)
    assert capsys.readouterr().out == ""
