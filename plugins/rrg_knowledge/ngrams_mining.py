"""Observation n-grams from reports and labels, without a recipe and without torch."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rrg_knowledge.ngrams_lists import Lists
from rrg_knowledge.ngrams_pmi import count_together, rank, score_literal, score_organ
from rrg_knowledge.ngrams_vocabulary import mine_vocabulary, usual_frequency
from rrgcore.cleaning import cleaner

Method = Literal["organ", "literal"]


def mine_ngrams(
    reports: Iterable[str],
    labels: Iterable[Mapping[str, int]],
    *,
    method: Method = "organ",
    cleaning: str = "organ-iu",
    min_count: int = 3,
    min_pmi: float = 1.0,
    longest: int = 4,
    frequency: int | None = None,
) -> Lists:
    """Mine reports, each with its labels: 1, -1 (which counts as 1) and 0 by observation.

    `cleaning` is a rule of `rrgcore.cleaning`; `min_count` to `frequency` are those of
    `mine_vocabulary`, the last one by default that of `usual_frequency`. Lists are whole: how many
    n-grams of each are used is up to whoever uses them.
    """
    texts = list(map(cleaner(cleaning), reports))
    vocabulary = mine_vocabulary(
        texts,
        min_count=min_count,
        min_pmi=min_pmi,
        longest=longest,
        frequency=usual_frequency(len(texts)) if frequency is None else frequency,
    )
    return associate(texts, labels, vocabulary, method)


def associate(
    reports: Sequence[str],
    labels: Iterable[Mapping[str, int]],
    vocabulary: Mapping[str, int],
    method: Method,
) -> Lists:
    """Rank a vocabulary of cleaned reports for each observation.

    `organ` keeps scores of 0 and above (ORGan's script), `literal` those above 0.
    """
    if method == "organ":
        counts = count_together(reports, labels, vocabulary, "occurrences")
        scores, keeps = score_organ(counts), operator.ge
    else:
        counts = count_together(reports, labels, vocabulary, "reports")
        scores, keeps = score_literal(counts), operator.gt
    chosen = {
        observation: {ngram: score for ngram, score in found.items() if keeps(score, 0)}
        for observation, found in scores.items()
    }
    return rank({name: found for name, found in chosen.items() if found}, counts)
