"""What the named protocols of captioning scores share: BLEU, METEOR, ROUGE-L and CIDEr."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import accumulate, chain

import numpy as np

from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError
from rrgcore.scoring import Metric, Pair, Scores, Terms, mean_terms

from .bleu import corpus_bleu
from .fingerprint import Fingerprint
from .meteor import Meteor, MeteorError, Statistics, meteor_statistics
from .ngrams import Corpus, Segment
from .rouge import caption_rouge

NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")
"""In the order in which papers print them."""


class CaptionProtocol(Metric):
    """A way in which a lineage of works reads reports before it scores them, and averages.

    Every score is made from its `terms`. Document frequencies of CIDEr are of the references being
    scored, so it depends on the split; they stay fixed where pairs are resampled. METEOR needs
    Java and is otherwise missing; its program is started once for all systems that are scored
    together, and works while the other scores are computed. It is slow, so it is computed for the
    first system, and for the next as long as all together have no more than `meteor_segments`
    different pairs of tokens.
    """

    def __init__(self, *, meteor: bool, meteor_segments: int) -> None:
        self.meteor = meteor
        self.meteor_segments = meteor_segments

    @abstractmethod
    def tokens(self, report: str) -> str:
        """Return the tokens of a report between spaces, prepared as the protocol has it."""

    @abstractmethod
    def fingerprint(self, pairs: Sequence[Pair]) -> Fingerprint:
        """Say how the scores of these pairs are made."""

    def measure(self, segments: Sequence[Segment], pairs: Sequence[Pair]) -> Mapping[str, Terms]:
        """Return the terms of every score but METEOR, from tokens or the reports as they are."""
        return caption_terms(segments)

    def meteor_terms(self, statistics: Statistics) -> Terms:
        """Return METEOR's terms; of the corpus, unless a protocol averages reports."""
        return Terms(statistics, Meteor())

    def written(self, pairs: Sequence[Pair]) -> Sequence[Pair]:
        """Return the pairs with what is done to a corpus before its reports are read one by one."""
        return pairs

    def unready(self) -> str | None:
        """Say why nothing can be scored yet and what to do; None if it can."""
        return None

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        """Score a corpus; quick leaves METEOR out, and does not count it as missing."""
        return self._score({"": pairs}, quick=quick)[""]

    def score_all(self, systems: Mapping[str, Sequence[Pair]]) -> Mapping[str, Scores]:
        """Score several systems, METEOR of all in one start of its program."""
        return self._score(systems, quick=False)

    def _score(self, systems: Mapping[str, Sequence[Pair]], *, quick: bool) -> dict[str, Scores]:
        if why := self.unready():
            every = {name: why for name in NAMES if name != "METEOR" or self.meteor}
            return {
                name: Scores({}, str(self.fingerprint(pairs)), every)
                for name, pairs in systems.items()
            }
        tokens = cache(self.tokens)  # systems share their references
        reports = {name: self.written(pairs) for name, pairs in systems.items()}
        segments = {
            name: [(tokens(pair.prediction), (tokens(pair.reference),)) for pair in pairs]
            for name, pairs in reports.items()
        }
        for corpus in segments.values():
            _check_references(corpus)
        wanted = [] if quick or not self.meteor else list(systems)
        asked = wanted[: self._within_limit([segments[name] for name in wanted])]
        with ThreadPoolExecutor(1) as beside:
            statistics = beside.submit(_statistics, [segments[name] for name in asked])
            terms = {
                name: dict(self.measure(segments[name], pairs)) for name, pairs in reports.items()
            }
        missing = {
            name: {
                "METEOR": "not computed: the systems scored together have more than "
                f"{self.meteor_segments:,} different pairs; raise the option `meteor_segments`"
            }
            for name in wanted[len(asked) :]
        }
        try:
            for name, rows in zip(asked, statistics.result(), strict=True):
                terms[name]["METEOR"] = self.meteor_terms(rows)
        except MeteorError as error:
            # a machine's Java is no reason to lose the other scores of a long run
            missing |= {name: {"METEOR": f"not computed: {error}"} for name in asked}
        return {
            name: Scores(
                values={key: _value(found[key]) for key in NAMES if key in found},
                fingerprint=str(self.fingerprint(systems[name])),
                missing=missing.get(name, {}),
                terms={key: found[key] for key in NAMES if key in found},
            )
            for name, found in terms.items()
        }

    def _within_limit(self, corpora: Sequence[Sequence[Segment]]) -> int:
        """How many systems METEOR is computed for: at least one. Equal pairs are scored once."""
        distinct: set[tuple[str, ...]] = set()
        for count, corpus in enumerate(corpora):
            distinct.update((hypothesis, *references) for hypothesis, references in corpus)
            if count and len(distinct) > self.meteor_segments:
                return count
        return len(corpora)


def caption_terms(segments: Sequence[Segment]) -> dict[str, Terms]:
    """Return BLEU, ROUGE-L and CIDEr of tokens, as the MS-COCO caption tool computes them.

    BLEU-n = BP · (∏_{k≤n} p_k)^{1/n} over the corpus; ROUGE-L = (1 + β²)PR / (R + β²P), β = 1.2,
    the mean over segments; CIDEr is CIDEr-D (σ = 6, n ≤ 4, times 10), the mean over segments.
    """
    corpus = Corpus(segments)
    return {
        **corpus_bleu(corpus.bleu_rows()),
        "ROUGE-L": mean_terms([caption_rouge(*segment) for segment in segments]),
        "CIDEr": mean_terms(corpus.cider()),
    }


def _statistics(corpora: Sequence[Sequence[Segment]]) -> list[Statistics]:
    if not corpora:
        return []
    rows = meteor_statistics(list(chain.from_iterable(corpora)))
    return np.split(rows, list(accumulate(len(corpus) for corpus in corpora[:-1])))


def _value(terms: Terms) -> float:
    return float(terms.value(terms.rows.sum(0)))


def _check_references(segments: Sequence[Segment]) -> None:
    if all(is_empty(reference) for _, references in segments for reference in references):
        raise DataError(
            f"nothing to score against: {len(segments)} references, and none has a word; "
            "expected the reports of the split. Score one whose studies have reports"
        )
