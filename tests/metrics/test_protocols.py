"""What each named protocol does to reports before it scores them, and says it does."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from rrg_metrics import caption
from rrg_metrics.as_written import Lower13a, RadEval, Raw
from rrg_metrics.caption import CaptionProtocol
from rrg_metrics.coco import Coco, Cxrmate
from rrg_metrics.r2gen import R2Gen, R2GenFull
from rrgcore.errors import DataError
from rrgcore.scoring import Metric, Pair

PAIRS = [
    Pair("a", "The lungs are clear.", "The lungs are clear. No effusion."),
    Pair("b", "Heart size is normal.", "The heart is enlarged, 2.5 cm."),
    Pair("c", "Stable.", "XXXX stable. The patient's lungs (right/left) are clear."),
]
TRAINING = [pair.reference for pair in PAIRS] * 3


def fitted_r2gen(**options: Any) -> R2Gen:
    metric = R2Gen(meteor=False, **options)
    metric.fit(TRAINING)
    return metric


PROTOCOLS: Mapping[str, Callable[[], CaptionProtocol]] = {
    "coco": lambda: Coco(meteor=False),
    "cxrmate": lambda: Cxrmate(meteor=False),
    "r2gen": fitted_r2gen,
    "r2gen-full": lambda: R2GenFull(meteor=False),
    "raw": lambda: Raw(meteor=False),
    "radeval": lambda: RadEval(meteor=False),
    "13a": Lower13a,
}
each_protocol = pytest.mark.parametrize("name", PROTOCOLS)


def pairs_of(*texts: tuple[str, str]) -> list[Pair]:
    return [Pair(str(i), prediction, reference) for i, (prediction, reference) in enumerate(texts)]


# ---- all of them --------------------------------------------------------------------------------


@each_protocol
def test_every_score_is_made_of_its_terms(name: str) -> None:
    found = PROTOCOLS[name]().score(PAIRS)
    assert list(found.terms) == list(found.values)
    for key, terms in found.terms.items():
        assert len(terms.rows) == len(PAIRS)
        assert terms.value(terms.rows.sum(0)) == pytest.approx(found.values[key], abs=1e-12)
        # draws may come in any shape
        assert terms.value(np.stack([terms.rows.sum(0)] * 6).reshape(2, 3, -1)).shape == (2, 3)


@each_protocol
def test_the_fingerprint_says_what_makes_the_number_comparable(name: str) -> None:
    fingerprint = PROTOCOLS[name]().score(PAIRS).fingerprint
    parts = fingerprint.split("; ")
    assert parts[0] == f"protocol {name}"
    starts = ("cleaning ", "truncation ", "tokens ", "3 pairs")
    assert all(part.startswith(start) for part, start in zip(parts[1:5], starts, strict=True))
    assert "METEOR" not in fingerprint
    assert any(word in parts[-1] for word in ("pycocoevalcap 1.2", "sacrebleu", "rouge-score"))


def test_the_fingerprint_names_meteor_where_it_is_asked_for() -> None:
    assert Coco().score(PAIRS, quick=True).fingerprint.endswith("; METEOR 1.5 of the corpus")
    assert (
        Cxrmate()
        .score(PAIRS, quick=True)
        .fingerprint.endswith("; METEOR 1.5 of each report, averaged")
    )


@each_protocol
def test_systems_are_scored_as_each_alone(name: str) -> None:
    metric = PROTOCOLS[name]()
    swapped = [Pair(pair.id, pair.reference, pair.prediction) for pair in PAIRS]
    found = metric.score_all({"model": PAIRS, "swapped": swapped})
    assert found["model"].values == metric.score(PAIRS).values
    assert found["swapped"].values == metric.score(swapped).values
    assert found["model"].fingerprint == metric.score(PAIRS).fingerprint


@each_protocol
def test_studies_of_one_id_all_count(name: str) -> None:
    metric = PROTOCOLS[name]()
    twice = [Pair("a", pair.prediction, pair.reference) for pair in PAIRS]
    assert metric.score(twice).values == metric.score(PAIRS).values


@each_protocol
def test_a_perfect_copy_scores_one_and_cider_ten(name: str) -> None:
    references = [pair.reference for pair in PAIRS]
    found = PROTOCOLS[name]().score(pairs_of(*zip(references, references, strict=True))).values
    assert {key: value for key, value in found.items() if key != "CIDEr"} == pytest.approx(
        dict.fromkeys(found.keys() - {"CIDEr"}, 1)
    )
    assert found.get("CIDEr", 10) == pytest.approx(10)


@each_protocol
@pytest.mark.parametrize("references", [[], [""], ["...", " "]])
def test_references_without_a_word_are_refused(name: str, references: list[str]) -> None:
    told = r"nothing to score against: .* Score one whose studies have reports"
    with pytest.raises(DataError, match=told):
        PROTOCOLS[name]().score(pairs_of(*(("Clear.", reference) for reference in references)))


@each_protocol
def test_nothing_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    PROTOCOLS[name]().score(PAIRS)
    assert capsys.readouterr() == ("", "")


def test_a_quick_score_starts_no_java_and_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption, "meteor_statistics", _must_not_start)
    for metric in (Coco(), Cxrmate(), R2GenFull(), Raw(), RadEval()):
        found = metric.score(PAIRS, quick=True)
        assert "METEOR" not in found.values
        assert not found.missing


def test_meteor_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption, "meteor_statistics", _must_not_start)
    for make in PROTOCOLS.values():
        found = make().score(PAIRS)
        assert "METEOR" not in found.values
        assert not found.missing


def _must_not_start(segments: object) -> None:
    raise AssertionError("Java was started")


# ---- coco and cxrmate ---------------------------------------------------------------------------


def golden_pairs(recorded: Mapping[str, Any]) -> list[Pair]:
    return [Pair(id, text["hyp"], text["ref"]) for id, text in recorded["raw"].items()]


def assert_recorded(metric: Metric, golden: Mapping[str, Any], key: str) -> None:
    recorded = golden[key]["scores"]
    expected = {f"BLEU-{n}": value for n, value in enumerate(recorded["BLEU"], 1)}
    expected |= {"ROUGE-L": recorded["ROUGE_L"], "CIDEr": recorded["CIDEr"]}
    found = metric.score(golden_pairs(golden))
    assert found.values == pytest.approx(expected, abs=1e-12)
    for key, each in (("ROUGE-L", "ROUGE_L_per_image"), ("CIDEr", "CIDEr_per_image")):
        assert found.terms[key].rows[:, 0] == pytest.approx(recorded[each], abs=1e-12)


def test_coco_scores_raw_golden_reports_as_recorded(golden: Callable[[str], Any]) -> None:
    assert_recorded(Coco(meteor=False), golden("caption_metrics"), "ptb")


def test_cxrmate_means_the_recorded_bleu_of_each_report(golden: Callable[[str], Any]) -> None:
    recorded = golden("caption_metrics")
    found = Cxrmate(meteor=False).score(golden_pairs(recorded))
    for n, of_each in enumerate(recorded["ptb"]["scores"]["BLEU_per_image"], 1):
        assert found.values[f"BLEU-{n}"] == pytest.approx(np.mean(of_each), abs=1e-12)
    same = Coco(meteor=False).score(golden_pairs(recorded)).values
    assert found.values["ROUGE-L"] == same["ROUGE-L"]
    assert found.values["CIDEr"] == same["CIDEr"]


# ---- r2gen and r2gen-full -----------------------------------------------------------------------


def test_r2gen_full_scores_raw_golden_reports_as_recorded(golden: Callable[[str], Any]) -> None:
    recorded = golden("caption_metrics")
    assert_recorded(R2GenFull(meteor=False), recorded, "r2gen_clean_iu_no_ptb")


def test_r2gen_scores_them_the_same_where_every_word_is_known(
    golden: Callable[[str], Any],
) -> None:
    recorded = golden("caption_metrics")
    metric = R2Gen(meteor=False)
    metric.fit([text for pair in recorded["raw"].values() for text in pair.values()] * 3)
    assert_recorded(metric, recorded, "r2gen_clean_iu_no_ptb")


def test_r2gen_reads_words_as_its_vocabulary_decodes_them() -> None:
    metric = R2Gen(meteor=False)
    metric.fit(["No effusion. Effusion.", "No. Effusion, no mass.", "Mass."])
    assert metric.vocabulary == {"no", "effusion", "."}
    assert metric.tokens("No mass, no <unk>; EFFUSION.") == "no <unk> no <unk> effusion ."


def test_r2gen_cuts_predictions_and_references() -> None:
    metric = fitted_r2gen()
    assert metric.tokens("clear " * 70) == " ".join(["clear"] * 59)
    long = "The lungs are clear. " * 14
    found = metric.score(pairs_of((long, long + "No effusion." * 20), ("No.", "No.")))
    assert found.values["BLEU-4"] == pytest.approx(1)


def test_r2gen_of_mimic_cxr_has_its_own_cleaning_threshold_and_cut() -> None:
    metric = R2Gen(dataset="mimic_cxr", meteor=False)
    metric.fit(["Clear."] * 10 + ["Lungs."] * 9)
    assert metric.vocabulary == {"clear", "."}
    assert metric.tokens("clear\n" * 120) == " ".join(["clear"] * 99)
    found = metric.score(pairs_of(("Clear.", "Clear."))).fingerprint
    assert "cleaning r2gen-mimic; truncation to 99 words" in found
    assert "10 times" in found


@pytest.mark.parametrize("metric", [R2Gen(meteor=False), R2Gen()])
def test_r2gen_without_training_reports_asks_for_them(metric: R2Gen) -> None:
    assert metric.needs_training
    found = metric.score(PAIRS)
    assert not found.values
    assert ("METEOR" in found.missing) == metric.meteor
    assert len(found.missing) == 6 + metric.meteor
    for why in found.missing.values():
        assert "give the training reports (rrg score … --train FILE)" in why


@pytest.mark.parametrize("metric", [fitted_r2gen(), R2GenFull(meteor=False)])
def test_cleaned_predictions_score_as_what_they_were_cleaned_from(metric: CaptionProtocol) -> None:
    raw = "The heart is enlarged, 2.5 cm. No effusion."
    cleaned = "the heart is enlarged 25 cm . no effusion ."
    references = ["The heart is enlarged.", "The lungs are clear."]
    found = [
        metric.score(pairs_of((text, references[0]), ("Clear.", references[1]))).values
        for text in (raw, cleaned)
    ]
    assert found[0] == found[1]


def test_r2gen_full_keeps_the_double_spaces_of_cleaning() -> None:
    tokens = R2GenFull(meteor=False).tokens
    assert tokens("Lungs clear. . Heart normal.") == "lungs clear .  . heart normal ."
    assert tokens("lungs clear .  . heart normal .") == "lungs clear .  . heart normal ."


# ---- raw, radeval and 13a -----------------------------------------------------------------------


def test_raw_puts_full_stops_apart_and_keeps_the_case() -> None:
    assert Raw(meteor=False).tokens("Clear.  No 2.5 cm, mass.") == "Clear . No 2 .5 cm, mass ."


def test_radeval_keeps_reports_as_they_are() -> None:
    assert RadEval(meteor=False).tokens("Clear.  No mass.") == "Clear.  No mass."


def test_13a_puts_signs_apart_and_lowers_the_case() -> None:
    assert Lower13a().tokens("Clear; 2.5 cm, right.") == "clear ; 2.5 cm , right ."


def test_13a_has_no_bleu_without_a_match_where_the_caption_tool_has_a_little() -> None:
    pairs = pairs_of(("the lungs are clear", "no lungs seen"))
    assert Lower13a().score(pairs).values["BLEU-4"] == 0
    assert Coco(meteor=False).score(pairs).values["BLEU-4"] > 0


CLEANED = "the lungs are clear . no effusion ."
WRITTEN = "The lungs are clear. No effusion."


each_as_written = pytest.mark.parametrize("make", [Raw, RadEval])


def predictions_written(predictions: list[str], references: list[str]) -> list[str]:
    pairs = pairs_of(*zip(predictions, references, strict=True))
    return [pair.prediction for pair in Raw(meteor=False).written(pairs)]


@each_as_written
def test_cleaned_predictions_are_written_as_sentences_beside_reports(
    make: Callable[..., CaptionProtocol],
) -> None:
    references = ["The lungs are clear.", "No effusion. Clear."]
    cleaned = pairs_of(*((CLEANED, reference) for reference in references))
    written = pairs_of(*((WRITTEN, reference) for reference in references))
    metric, literal = make(meteor=False), make(meteor=False, sentences=False)
    assert metric.score(cleaned).values == metric.score(written).values
    assert literal.score(cleaned).values["BLEU-1"] < metric.score(cleaned).values["BLEU-1"]
    assert literal.score(written).values == metric.score(written).values


@each_as_written
def test_the_fingerprint_counts_the_predictions_written_as_sentences(
    make: Callable[..., CaptionProtocol],
) -> None:
    metric, literal = make(meteor=False), make(meteor=False, sentences=False)
    pairs = pairs_of((CLEANED, WRITTEN), ("Clear.", WRITTEN), ("no effusion", WRITTEN))
    assert (
        "; cleaning none, but of 3 predictions, 2, which are cleaned text, written as sentences; "
    ) in metric.score(pairs).fingerprint
    assert "; cleaning none; " in metric.score(pairs_of((WRITTEN, WRITTEN))).fingerprint
    assert "; cleaning none; " in literal.score(pairs).fingerprint


@each_as_written
@pytest.mark.parametrize(
    "odd", [CLEANED.removesuffix(" ."), CLEANED.capitalize(), CLEANED.replace(" .", ".")]
)
def test_an_odd_prediction_changes_its_own_score_alone(
    odd: str, make: Callable[..., CaptionProtocol]
) -> None:
    references = [f"The lungs are clear. No effusion of {size} cm." for size in range(1, 100)]
    metric = make(meteor=False)
    even = metric.score(pairs_of(*((CLEANED, reference) for reference in references)))
    found = metric.score(pairs_of((odd, references[0]), *((CLEANED, r) for r in references[1:])))
    for key in ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"):
        assert found.values[key] == pytest.approx(even.values[key], rel=0.02)
        assert (found.terms[key].rows[1:] == even.terms[key].rows[1:]).all()
    literal = make(meteor=False, sentences=False)
    left = literal.score(pairs_of(*((CLEANED, reference) for reference in references)))
    assert left.values["BLEU-4"] < 0.8 * even.values["BLEU-4"]


@pytest.mark.parametrize(
    ("cleaned", "written"),
    [
        (CLEANED, WRITTEN),
        ("the lungs are clear . no eff", "The lungs are clear. No eff"),
        ("stable 2.5 cm mass .", "Stable 2.5 cm mass."),
        ("clear . . 2 nodules", "Clear. 2 nodules"),
        (" .", ""),
    ],
)
def test_a_full_stop_is_attached_where_there_is_one(cleaned: str, written: str) -> None:
    assert predictions_written([cleaned], [WRITTEN]) == [written]


@pytest.mark.parametrize("text", ["Clear . No effusion .", "clear. no effusion .", "", "\n"])
def test_a_prediction_that_is_not_cleaned_text_is_left_as_it_is(text: str) -> None:
    assert predictions_written([text, CLEANED], [WRITTEN, WRITTEN]) == [text, WRITTEN]


@pytest.mark.parametrize("odd", [CLEANED, "clear", "", " ."])
def test_a_single_odd_reference_changes_no_prediction(odd: str) -> None:
    assert predictions_written([CLEANED] * 3, [WRITTEN, odd, WRITTEN]) == [WRITTEN] * 3


@pytest.mark.parametrize("odd", [CLEANED, WRITTEN, "The lungs"])
def test_predictions_beside_cleaned_references_are_left_as_they_are(odd: str) -> None:
    references = [CLEANED, odd, CLEANED]
    assert predictions_written([CLEANED] * 3, references) == [CLEANED] * 3


def test_references_are_left_as_they_are() -> None:
    references = [WRITTEN, CLEANED, "clear", WRITTEN, WRITTEN]
    pairs = pairs_of(*((CLEANED, reference) for reference in references))
    assert [pair.reference for pair in Raw(meteor=False).written(pairs)] == references


def test_sentences_have_no_capitals_where_the_references_have_none() -> None:
    lower = WRITTEN.lower()
    assert predictions_written([CLEANED] * 3, [lower, lower, WRITTEN]) == [lower] * 3
    found = RadEval(meteor=False).score(pairs_of((CLEANED, lower)))
    assert "1, which are cleaned text, written as sentences in lower case;" in found.fingerprint
    assert found.values["BLEU-4"] == pytest.approx(1)
