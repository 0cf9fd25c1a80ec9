"""Clinical efficacy: golden numbers, scikit-learn's, and what is refused."""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import precision_recall_fscore_support

from rrg_metrics.clinical import ClinicalMetric
from rrg_metrics.clinical_f1 import COMPETITION, Average, Uncertain, policies
from rrgcore.annotations import Labels, RadGraph
from rrgcore.chest import OBSERVATIONS
from rrgcore.errors import DataError
from rrgcore.scoring import Pair
from rrgcore.study import Study
from rrgcore.supply import Annotator

MEASURES = ("P", "R", "F1")
NAMES = {str(policy) for policy in policies()}


class Spelt(Annotator):
    """Reads reports that are labels already: {"Edema": 1}."""

    writes: ClassVar[type] = Labels
    from_report = True

    def __init__(self) -> None:
        self.read: list[str] = []

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for study in studies:
            self.read.append(study.report or "")
            yield Labels(json.loads(study.report or "{}"))


class Known(Annotator):
    """Knows the labels of studies, whatever was written about them."""

    writes: ClassVar[type] = Labels

    def __init__(self, labels: Mapping[str, Mapping[str, int]], name: str = "known") -> None:
        self.labels = labels
        self.name = name

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        return (Labels(self.labels[study.id]) for study in studies)

    def fingerprint(self) -> str:
        return self.name


def spelt(row: Sequence[float | None], names: Sequence[str] = OBSERVATIONS) -> str:
    named = zip(names, row, strict=True)
    return json.dumps({name: int(value) for name, value in named if value is not None})


def make_pairs(predictions: Sequence[str], references: Sequence[str]) -> list[Pair]:
    both = zip(predictions, references, strict=True)
    return [Pair(f"s{i}", prediction, reference) for i, (prediction, reference) in enumerate(both)]


def values_of(pairs: Sequence[Pair], **options: Any) -> Mapping[str, float]:
    return ClinicalMetric(labeler=Spelt(), **options).score(pairs).values


# ---- numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "uncertain"),
    [("r2gen_uncertain_as_negative", "negative"), ("uncertain_as_positive", "positive")],
)
def test_golden_labels_score_as_recorded(
    policy: str, uncertain: str, golden: Callable[[str], Any]
) -> None:
    recorded = golden("ce_metrics")
    names, expected = recorded["labels"], recorded["expected"][policy]
    scores = ClinicalMetric(labeler=Spelt()).score(
        make_pairs(
            [spelt(row, names) for row in recorded["pred"]],
            [spelt(row, names) for row in recorded["gt"]],
        )
    )
    for average in ("macro", "micro", "example"):
        found = {m: scores.values[f"{m} (14, {average}, uncertain {uncertain})"] for m in MEASURES}
        assert found == pytest.approx({m: expected[average][m] for m in MEASURES}, abs=1e-12)
    own = scores.details["observations"][f"uncertain {uncertain}"]
    for measure in MEASURES:
        found = {name: own[name][measure] for name in names}
        per_class = dict(zip(names, expected["per_class"][measure], strict=True))
        assert found == pytest.approx(per_class, abs=1e-12)


CODE = st.sampled_from([-1, 0, 1])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_value_is_scikit_learn_s(data: st.DataObject) -> None:
    shape = data.draw(st.integers(1, 7)), 14
    reference, prediction = (data.draw(arrays(np.int8, shape, elements=CODE)) for _ in range(2))
    scores = ClinicalMetric(labeler=Spelt()).score(
        make_pairs([spelt(row) for row in prediction], [spelt(row) for row in reference])
    )
    assert scores.values.keys() == NAMES
    expected = {}
    for count, names in ((14, OBSERVATIONS), (5, COMPETITION)):
        columns = [OBSERVATIONS.index(name) for name in names]
        for average, uncertain, found in by_scikit_learn(
            prediction[:, columns], reference[:, columns]
        ):
            for measure, value in zip(MEASURES, found, strict=True):
                expected[f"{measure} ({count}, {average}, uncertain {uncertain})"] = value
    assert scores.values == pytest.approx(expected, abs=1e-12)
    from_terms = {name: float(t.value(t.rows.sum(0))) for name, t in scores.terms.items()}
    assert from_terms == pytest.approx(expected, abs=1e-12)


Figures = tuple[float, float, float]


def by_scikit_learn(
    prediction: np.ndarray, reference: np.ndarray
) -> Iterator[tuple[str, str, Figures]]:
    """Score binary columns, or for "ignored" what is left of each when cells are taken out."""

    def score(true: np.ndarray, predicted: np.ndarray, average: str) -> Figures:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a single label
            found = precision_recall_fscore_support(
                true, predicted, average=average, zero_division=0
            )
        return tuple(map(float, found[:3]))

    for uncertain, least in (("positive", -1), ("negative", 1)):
        true, predicted = ((codes == 1) | (codes == least) for codes in (reference, prediction))
        for average in get_args(Average):
            name = "samples" if average == "example" else average
            yield average, uncertain, score(true, predicted, name)

    kept = (reference != -1) & (prediction != -1)

    def left(true: np.ndarray, predicted: np.ndarray, kept: np.ndarray) -> Figures:
        return score(true[kept] == 1, predicted[kept] == 1, "binary") if kept.any() else (0, 0, 0)

    by_report = [left(*row) for row in zip(reference, prediction, kept, strict=True)]
    by_class = [left(*row) for row in zip(reference.T, prediction.T, kept.T, strict=True)]
    support = ((reference == 1) & kept).sum(axis=0)
    weights = support if support.any() else None
    yield "micro", "ignored", left(reference, prediction, kept)
    yield "macro", "ignored", tuple(np.mean(by_class, axis=0))
    yield "example", "ignored", tuple(np.mean(by_report, axis=0))
    yield "weighted", "ignored", tuple(np.average(by_class, axis=0, weights=weights))


def test_terms_score_every_resample_as_the_metric_does() -> None:
    rng = np.random.default_rng(0)
    codes = rng.choice([-1, 0, 1], size=(2, 30, 14), p=[0.15, 0.6, 0.25])
    pairs = make_pairs(*[[spelt(row) for row in side] for side in codes])
    metric = ClinicalMetric(labeler=Spelt())
    terms = metric.score(pairs).terms
    draws = rng.integers(0, len(pairs), size=(3, len(pairs)))
    counts = np.stack([np.bincount(draw, minlength=len(pairs)) for draw in draws]).astype(float)
    resampled = [metric.score([pairs[i] for i in draw]).values for draw in draws]
    for name, each in terms.items():
        found = each.value(counts @ each.rows)
        assert found == pytest.approx([values[name] for values in resampled], abs=1e-12), name


def test_uncertain_counts_as_its_name_says() -> None:
    pairs = make_pairs(
        ['{"Edema": 1, "Atelectasis": 1}', '{"Edema": 1}'],
        ['{"Edema": -1, "Atelectasis": 1}', '{"Edema": 1, "Fracture": 1}'],
    )
    values = values_of(pairs)
    assert values["P (14, micro, uncertain positive)"] == 1
    assert values["P (14, micro, uncertain negative)"] == pytest.approx(2 / 3)
    assert values["P (14, micro, uncertain ignored)"] == 1
    assert values["R (14, micro, uncertain positive)"] == pytest.approx(3 / 4)
    assert values["R (14, micro, uncertain ignored)"] == pytest.approx(2 / 3)
    assert values["R (5, micro, uncertain ignored)"] == 1  # the fracture is none of the five


def test_not_mentioned_is_negative_as_denied_is() -> None:
    denied = make_pairs(['{"Edema": 1}', "{}"], ['{"Edema": 0}', '{"Fracture": 0}'])
    silent = make_pairs(['{"Edema": 1}', "{}"], ["{}", "{}"])
    assert values_of(denied) == values_of(silent)


def test_each_observation_s_own_scores_and_support_are_in_the_details() -> None:
    pairs = make_pairs(
        ['{"Edema": 1}', '{"Edema": 1}', "{}"], ['{"Edema": 1}', "{}", '{"Edema": -1}']
    )
    details = ClinicalMetric(labeler=Spelt()).score(pairs).details
    assert json.loads(json.dumps(details)) == details
    found = {policy: own["Edema"] for policy, own in details["observations"].items()}
    assert found["uncertain negative"] == {
        "P": 0.5,
        "R": 1.0,
        "F1": pytest.approx(2 / 3),
        "support": 1,
        "predicted": 2,
        "left out": 0,
    }
    assert found["uncertain positive"]["support"] == 2
    assert found["uncertain ignored"]["left out"] == 1
    assert set(details["observations"]["uncertain negative"]) == set(OBSERVATIONS)


# ---- names ----------------------------------------------------------------------------------


def test_no_name_is_a_bare_f1() -> None:
    assert len(NAMES) == 3 * 2 * 4 * 3
    for name in NAMES:
        assert any(f", {average}, " in name for average in get_args(Average))
        assert any(name.endswith(f" uncertain {each})") for each in get_args(Uncertain))


def test_fewer_policies_can_be_asked_for() -> None:
    values = values_of(
        make_pairs(["{}"], ['{"Edema": 1}']),
        observations=(5,),
        averages=("macro",),
        uncertain=("negative",),
    )
    assert list(values) == [f"{measure} (5, macro, uncertain negative)" for measure in MEASURES]


def test_no_policy_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="`averages` is empty"):
        ClinicalMetric(labeler=Spelt(), averages=())


def test_a_quick_score_is_the_headline() -> None:
    pairs = make_pairs(['{"Edema": 1}'], ['{"Edema": 1}'])
    metric = ClinicalMetric(labeler=Spelt())
    quick, whole = metric.score(pairs, quick=True), metric.score(pairs)
    assert list(quick.values) == list(whole.shown)
    assert quick.values.items() <= whole.values.items()
    assert "F1 (14, micro, uncertain negative)" in quick.values


def test_what_is_shown_is_among_what_was_asked_for() -> None:
    pairs = make_pairs(['{"Edema": 1}'], ['{"Edema": 1}'])
    options: Mapping[str, Any] = {"averages": ("weighted",), "uncertain": ("ignored",)}
    scores = ClinicalMetric(labeler=Spelt(), **options).score(pairs)
    assert scores.shown == [f"{measure} (14, weighted, uncertain ignored)" for measure in MEASURES]


def test_the_fingerprint_says_whose_labels_and_how_many_pairs() -> None:
    pairs = make_pairs(["{}", "{}"], ['{"Edema": 1}', "{}"])
    one = ClinicalMetric(labeler=Spelt()).score(pairs).fingerprint
    assert one.endswith("labels by Spelt; 2 pairs")
    metric = ClinicalMetric(labeler=Spelt(), reference_labeler=Known({"s0": {}, "s1": {}}))
    assert "labels of references by known" in metric.score(pairs).fingerprint


# ---- labelers -------------------------------------------------------------------------------


def test_each_distinct_text_is_labelled_once() -> None:
    labeler = Spelt()
    metric = ClinicalMetric(labeler=labeler)
    pairs = make_pairs(['{"Edema": 1}', "{}", "{}"], ['{"Edema": 1}', "{}", '{"Fracture": 1}'])
    metric.score_all({"one": pairs, "other": make_pairs(["{}"] * 3, [p.reference for p in pairs])})
    assert sorted(labeler.read) == sorted({'{"Edema": 1}', "{}", '{"Fracture": 1}'})
    metric.score(pairs)
    assert len(labeler.read) == 3


def test_references_may_have_labels_of_their_own() -> None:
    metric = ClinicalMetric(labeler=Spelt(), reference_labeler=Known({"s0": {"Edema": 1}}))
    scores = metric.score(make_pairs(['{"Edema": 1}'], ["no labels in this text"]))
    assert scores.values["F1 (14, micro, uncertain negative)"] == 1


def test_a_labeler_by_study_needs_another_for_the_references() -> None:
    with pytest.raises(ValueError, match="the labels of its own reference"):
        ClinicalMetric(labeler=Known({}))
    with pytest.raises(ValueError, match="agree always"):
        ClinicalMetric(labeler=Known({}), reference_labeler=Known({}))


def test_labels_by_study_are_of_one_system_s_reports() -> None:
    metric = ClinicalMetric(
        labeler=Known({"s0": {"Edema": 1}}, "ours"),
        reference_labeler=Known({"s0": {"Edema": 1}}, "theirs"),
    )
    found = metric.score_all({"a": make_pairs(["x"], ["r"]), "b": make_pairs(["y"], ["r"])})
    assert found["a"].values["F1 (14, micro, uncertain negative)"] == 1
    assert not found["b"].values
    assert found["b"].missing.keys() == NAMES
    with pytest.raises(DataError, match="knows the reports that it was first asked for"):
        metric.score(make_pairs(["y"], ["r"]))


def test_a_label_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(DataError, match=r"none of the 14 observations\. Did you mean 'Edema'"):
        values_of(make_pairs(['{"Edemas": 1}'], ["{}"]))
    with pytest.raises(DataError, match="with 2 for 'Edema'"):
        values_of(make_pairs(['{"Edema": 2}'], ["{}"]))


def test_an_annotator_of_something_else_is_refused() -> None:
    class Graphs(Spelt):
        writes: ClassVar[type] = RadGraph

    class Reading(Spelt):
        reads: ClassVar[tuple[type, ...]] = (RadGraph,)

    with pytest.raises(ValueError, match="writes RadGraph; expected an annotator of Labels"):
        ClinicalMetric(labeler=Graphs())
    with pytest.raises(ValueError, match="reads RadGraph, which reports that are scored do not"):
        ClinicalMetric(labeler=Spelt(), reference_labeler=Reading())


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        values_of([])
