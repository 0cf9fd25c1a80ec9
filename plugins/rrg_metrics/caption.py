"""The MS-COCO tool's caption scores: BLEU, METEOR, ROUGE-L and CIDEr, on Penn Treebank tokens."""

from collections.abc import Mapping, Sequence
from typing import final

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from rrgcore.api import Metric, Pair, Scores
from rrgcore.errors import DataError

from .meteor import MeteorError, meteor_corpus
from .ptb import tokenize

Corpus = Mapping[str, list[str]]
"""By image, its hypothesis or its references, each as tokens between single spaces."""


@final
class CaptionMetric(Metric):
    """BLEU-1..4, METEOR, ROUGE-L and CIDEr as the MS-COCO caption tool computes them.

    BLEU-n = BP · (∏_{k≤n} p_k)^{1/n} over the corpus; ROUGE-L = (1 + β²)PR / (R + β²P), β = 1.2,
    the mean over studies; CIDEr is CIDEr-D (σ = 6, n ≤ 4, times 10), with document frequencies of
    the references being scored, so it depends on the split and is 0 for a single study.
    The whole reference counts: nothing is cut. KIA names this protocol; R2Gen's lineage scores
    cleaned text with "." as a token, which reads higher, so compare fingerprints before numbers.
    METEOR needs Java and is otherwise listed as missing. It is slow, so in one scoring of several
    systems it is computed for the first, and for the next as long as all together have no more
    than `meteor_segments` reports; the fingerprint says for how many.
    """

    def __init__(self, *, meteor: bool = True, meteor_segments: int = 20_000) -> None:
        self.meteor = meteor
        self.meteor_segments = meteor_segments

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        """Score a corpus; quick leaves METEOR out, and does not count it as missing."""
        return self._score({"": pairs}, quick=quick)[""]

    def score_all(self, systems: Mapping[str, Sequence[Pair]]) -> Mapping[str, Scores]:
        """Score several systems, METEOR of all in one Java process."""
        return self._score(systems, quick=False)

    def _score(self, systems: Mapping[str, Sequence[Pair]], *, quick: bool) -> dict[str, Scores]:
        tokens: dict[str, str] = {}

        def tokenized(text: str) -> str:
            if text not in tokens:
                tokens[text] = " ".join(tokenize(text))
            return tokens[text]

        corpora: dict[str, tuple[Corpus, Corpus]] = {}
        for name, pairs in systems.items():
            # by position, not by id: a mapping would drop all but the last study of an id
            corpora[name] = (
                {str(i): [tokenized(pair.prediction)] for i, pair in enumerate(pairs)},
                {str(i): [tokenized(pair.reference)] for i, pair in enumerate(pairs)},
            )
        values = {name: coco_scores(*corpus) for name, corpus in corpora.items()}
        missing: dict[str, str] = {}
        served: list[str] = []
        if self.meteor and not quick:
            served = self._served(corpora)
            segments = [
                [(hypotheses[i][0], references[i]) for i in references]
                for hypotheses, references in (corpora[name] for name in served)
            ]
            try:
                for name, found in zip(served, meteor_corpus(segments), strict=True):
                    values[name]["METEOR"] = found.corpus
            except MeteorError as error:
                # a machine's Java is no reason to lose the other scores of a long run
                missing["METEOR"] = f"not computed: {error}"
                served = []
        return {
            name: Scores(
                {key: values[name][key] for key in NAMES if key in values[name]},
                _fingerprint(len(references), len(served), len(systems)),
                missing,
            )
            for name, (_, references) in corpora.items()
        }

    def _served(self, corpora: Mapping[str, tuple[Corpus, Corpus]]) -> list[str]:
        """The systems METEOR is computed for, in order until the segments are spent."""
        served: list[str] = []
        spent = 0
        for name, (_, references) in corpora.items():
            spent += len(references)
            if served and spent > self.meteor_segments:
                break
            served.append(name)
        return served


NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")


def coco_scores(hypotheses: Corpus, references: Corpus) -> dict[str, float]:
    """Score tokenized text with pycocoevalcap's scorers, without METEOR.

    Raises DataError where no reference has a word, since nothing can be scored against it.
    """
    if not any(text for texts in references.values() for text in texts):
        raise DataError(
            f"nothing to score against: {len(references)} references, and none has a word; "
            "expected the reports of the split. Score one whose studies have reports"
        )
    bleu, _ = Bleu(4).compute_score(references, hypotheses, verbose=0)
    rouge, _ = Rouge().compute_score(references, hypotheses)
    cider, _ = Cider().compute_score(references, hypotheses)
    return {
        **{f"BLEU-{n}": float(value) for n, value in enumerate(bleu, 1)},
        "ROUGE-L": float(rouge),
        "CIDEr": float(cider),
    }


def _fingerprint(references: int, served: int, systems: int) -> str:
    parts = [
        "MS-COCO protocol",
        "PTB tokens, punctuation dropped",
        "whole references",
        "BLEU corpus-level, closest length",
        "CIDEr-D, document frequencies of these references",
        f"{references} references, one a study",
    ]
    if 0 < served < systems:
        parts.append(f"METEOR for the first {served} of {systems} systems scored together")
    return "; ".join(parts)
