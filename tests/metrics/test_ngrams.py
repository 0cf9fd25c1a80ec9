"""BLEU, ROUGE-L and CIDEr equal those of the packages that define them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu as ToolBleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge, my_lcs
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

from rrg_metrics.bleu import corpus_bleu, mean_bleu
from rrg_metrics.caption import caption_terms
from rrg_metrics.ngrams import Corpus, Segment
from rrg_metrics.rouge import caption_rouge, longest_common, make_stemmer, stemmed_rouge
from rrgcore.scoring import Terms

# few words, so that they recur; single, double and no-break spaces, so that splitting matters
TEXTS = st.lists(
    st.tuples(
        st.sampled_from(["no", "effusion", "the", "lungs", "are", "clear", "."]),
        st.sampled_from([" ", " ", " ", "  ", "\u00a0"]),
    ),
    max_size=12,
).map(lambda words: "".join(word + space for word, space in words).strip(" "))
SEGMENTS = st.lists(
    st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=6
).filter(lambda segments: any(text for _, references in segments for text in references))
"""The tool's CIDEr fails where no reference has a word; so do we, before we score."""


def value(terms: Terms) -> float:
    return float(terms.value(terms.rows.sum(0)))


def as_the_tool_takes(segments: Sequence[Segment]) -> tuple[dict[int, Any], dict[int, Any]]:
    references = {i: list(references) for i, (_, references) in enumerate(segments)}
    return references, {i: [hypothesis] for i, (hypothesis, _) in enumerate(segments)}


@given(SEGMENTS)
@settings(max_examples=200, deadline=None)
def test_scores_equal_the_caption_tools(segments: list[Segment]) -> None:
    corpus = as_the_tool_takes(segments)
    found = caption_terms(segments)
    bleu, of_each = ToolBleu(4).compute_score(*corpus, verbose=0)
    rouge, rouges = Rouge().compute_score(*corpus)
    cider, ciders = Cider().compute_score(*corpus)
    near = {"abs": 1e-12, "rel": 1e-12}
    assert [value(found[f"BLEU-{n}"]) for n in range(1, 5)] == pytest.approx(bleu, **near)
    assert value(found["ROUGE-L"]) == pytest.approx(rouge, **near)
    assert found["ROUGE-L"].rows[:, 0] == pytest.approx(rouges, **near)
    assert value(found["CIDEr"]) == pytest.approx(cider, **near)
    assert found["CIDEr"].rows[:, 0] == pytest.approx(ciders, **near)
    means = mean_bleu(Corpus(segments).bleu_rows())
    assert [value(means[f"BLEU-{n}"]) for n in range(1, 5)] == pytest.approx(
        [np.mean(bleus) for bleus in of_each], **near
    )


@pytest.mark.parametrize("case", ["multi_ref_closest", "single_image_corpus", "empty_hypothesis"])
def test_golden_edge_cases_score_as_recorded(case: str, golden: Callable[[str], Any]) -> None:
    recorded = golden("caption_metrics")[case]
    segments = [(recorded["res"][key][0], recorded["gts"][key]) for key in recorded["gts"]]
    expected = recorded["scores"]
    found = caption_terms(segments)
    assert [value(found[f"BLEU-{n}"]) for n in range(1, 5)] == pytest.approx(expected["BLEU"])
    assert [value(found[name]) for name in ("ROUGE-L", "CIDEr")] == pytest.approx(
        [expected["ROUGE_L"], expected["CIDEr"]], abs=1e-12
    )
    each = mean_bleu(Corpus(segments).bleu_rows())
    for n, recorded_each in enumerate(expected["BLEU_per_image"], 1):
        assert each[f"BLEU-{n}"].rows[:, 0] == pytest.approx(recorded_each, abs=1e-12)
    assert found["ROUGE-L"].rows[:, 0] == pytest.approx(expected["ROUGE_L_per_image"])
    assert found["CIDEr"].rows[:, 0] == pytest.approx(expected["CIDEr_per_image"])


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_bleu_without_smoothing_equals_sacrebleus(pairs: list[tuple[str, str]]) -> None:
    found = corpus_bleu(Corpus([(h, [r]) for h, r in pairs]).bleu_rows(), smooth=False)
    hypotheses, references = zip(*pairs, strict=True)
    for n in range(1, 5):
        bleu = BLEU(tokenize="none", smooth_method="none", max_ngram_order=n)
        expected = bleu.corpus_score(list(hypotheses), [list(references)]).score
        assert 100 * value(found[f"BLEU-{n}"]) == pytest.approx(expected, abs=1e-9)


def test_resampled_terms_score_as_the_resampled_corpus() -> None:
    words = ["the", "lungs", "are", "clear", "no", "effusion", "heart", "normal"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(40)]
    segments = [(texts[2 * i], [texts[2 * i + 1]]) for i in range(20)]
    found = caption_terms(segments)
    draws = rng.integers(0, 20, (3, 20))
    counts = np.stack([np.bincount(draw, minlength=20) for draw in draws])
    for n in range(1, 5):
        terms = found[f"BLEU-{n}"]
        drawn = terms.value(counts @ terms.rows)
        assert drawn.shape == (3,)
        for draw, score in zip(draws, drawn, strict=True):
            corpus = as_the_tool_takes([segments[i] for i in draw])
            bleu, _ = ToolBleu(4).compute_score(*corpus, verbose=0)
            assert score == pytest.approx(bleu[n - 1], abs=1e-12)


def test_all_orders_of_bleu_share_their_rows() -> None:
    found = caption_terms([("the lungs are clear", ["lungs clear"]), ("no", ["no effusion"])])
    assert len({id(found[f"BLEU-{n}"].rows) for n in range(1, 5)}) == 1


# ---- ROUGE-L ------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), max_size=90), st.lists(st.integers(0, 4), max_size=90))
def test_the_longest_common_subsequence_is_that_of_the_table(a: list[int], b: list[int]) -> None:
    assert longest_common(a, b) == my_lcs(a, b)


def test_two_spaces_hold_an_empty_token() -> None:
    assert caption_rouge("a  b", ["a  b"]) == 1
    assert caption_rouge("a  b", ["a b"]) == pytest.approx(Rouge().calc_score(["a  b"], ["a b"]))
    assert caption_rouge("a  b", ["a b"]) < 1


INFLECTED = (
    "No pleural effusions Effusion pneumothorax, normally 2.5cm left-sided T11 dying lying skies "
    "generalization XXXX patient's Lungs. the (unchanged) opacities bilaterally"
)
REPORTS = st.lists(st.sampled_from(INFLECTED.split()), max_size=12).map(" ".join)


@given(REPORTS | st.text(max_size=30), REPORTS | st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_rouge_of_stems_equals_rouge_scores(hypothesis: str, reference: str) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    stems = make_stemmer()
    expected = scorer.score(reference, hypothesis)["rougeL"].fmeasure
    assert stemmed_rouge(stems(hypothesis), stems(reference)) == pytest.approx(expected, abs=1e-12)
