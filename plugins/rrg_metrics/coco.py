"""The protocols on Penn Treebank tokens: the MS-COCO caption tool's, and CXRMate's."""

import re
from collections.abc import Mapping, Sequence
from typing import final

from rrgcore.scoring import Pair, Terms, mean_terms

from .bleu import mean_bleu
from .caption import CaptionProtocol, caption_terms
from .fingerprint import CAPTION_TOOL, Fingerprint, with_meteor
from .meteor import Meteor, Statistics
from .ngrams import Corpus, Segment
from .ptb import tokenize

_PTB = "Penn Treebank (CoreNLP 3.4.1) in lower case without punctuation"


@final
class Coco(CaptionProtocol):
    """The MS-COCO caption tool: Penn Treebank tokens, whole reports, scores of the corpus.

    KIA names this protocol. R2Gen's lineage keeps the full stop as a token, which reads higher.
    """

    def __init__(self, *, meteor: bool = True, meteor_segments: int = 30_000) -> None:
        super().__init__(meteor=meteor, meteor_segments=meteor_segments)

    def tokens(self, report: str) -> str:
        """Return Penn Treebank tokens without punctuation."""
        return " ".join(tokenize(report))

    def fingerprint(self, pairs: Sequence[Pair]) -> Fingerprint:
        """Say how the scores of these pairs are made."""
        return Fingerprint("coco", _PTB, len(pairs), with_meteor(CAPTION_TOOL, self.meteor))


@final
class Cxrmate(CaptionProtocol):
    """CXRMate: tokens, ROUGE-L and CIDEr of `coco`; BLEU and METEOR are means of the reports' own.

    A report whose BLEU-4 has no match counts 0 whatever the corpus has, so this reads lowest.
    """

    def __init__(self, *, meteor: bool = True, meteor_segments: int = 30_000) -> None:
        super().__init__(meteor=meteor, meteor_segments=meteor_segments)

    def tokens(self, report: str) -> str:
        """Return Penn Treebank tokens without punctuation, of the report with single spaces."""
        return " ".join(tokenize(re.sub(" +", " ", report)))

    def measure(self, segments: Sequence[Segment], pairs: Sequence[Pair]) -> Mapping[str, Terms]:
        """Return the caption tool's terms, BLEU as the mean of reports."""
        return {**caption_terms(segments), **mean_bleu(Corpus(segments).bleu_rows())}

    def meteor_terms(self, statistics: Statistics) -> Terms:
        """Return the mean of the reports' METEOR."""
        return mean_terms(Meteor()(statistics))

    def fingerprint(self, pairs: Sequence[Pair]) -> Fingerprint:
        """Say how the scores of these pairs are made."""
        averaged = "of each report, averaged"
        tool = CAPTION_TOOL.replace("of the corpus", averaged)
        return Fingerprint(
            "cxrmate", _PTB, len(pairs), with_meteor(tool, self.meteor, how=averaged)
        )
