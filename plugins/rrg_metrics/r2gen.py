"""The protocols of the R2Gen lineage: cleaned text in which the full stop is a token."""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final, Literal, final

from rrgcore.cleaning import clean
from rrgcore.scoring import Pair

from .caption import CaptionProtocol
from .fingerprint import CAPTION_TOOL, Fingerprint, with_meteor

Dataset = Literal["iu_xray", "mimic_cxr"]

_RULES: Final = {"iu_xray": "r2gen-iu", "mimic_cxr": "r2gen-mimic"}
_THRESHOLDS: Final = {"iu_xray": 3, "mimic_cxr": 10}
_WORDS: Final = {"iu_xray": 59, "mimic_cxr": 99}
"""R2Gen cuts at 60 and 100 ids, of which the first is the beginning."""


@final
class R2Gen(CaptionProtocol):
    """R2Gen: cleaned words of the training vocabulary, the first 59, scores of the corpus.

    `dataset` sets what differs: for IU X-Ray its cleaning, words that the training reports have 3
    times, 59 words; for MIMIC-CXR its own cleaning, 10, 99. Other words are <unk> on both sides,
    since R2Gen scores the ids that it decodes. So the training reports are needed (`fit`).
    """

    needs_training: ClassVar[bool] = True

    def __init__(
        self,
        *,
        dataset: Dataset = "iu_xray",
        meteor: bool = True,
        meteor_segments: int = 30_000,
    ) -> None:
        super().__init__(meteor=meteor, meteor_segments=meteor_segments)
        self.rule = _RULES[dataset]
        self.threshold = _THRESHOLDS[dataset]
        self.words = _WORDS[dataset]
        self.vocabulary: frozenset[str] = frozenset()

    def fit(self, training: Sequence[str]) -> None:
        """Take the words that the training reports have often enough."""
        counts = Counter(word for text in training for word in clean(text, self.rule).split())
        self.vocabulary = frozenset(w for w, count in counts.items() if count >= self.threshold)

    def unready(self) -> str | None:
        """Ask for the training reports."""
        if self.vocabulary:
            return None
        return (
            "not computed: r2gen writes <unk> for every word that the training reports do not "
            f"have {self.threshold} times, and knows no training reports; give the training "
            "reports (rrg score … --train FILE)"
        )

    def tokens(self, report: str) -> str:
        """Return what R2Gen would decode of the report's ids."""
        words = clean(report, self.rule).split()[: self.words]
        return " ".join(word if word in self.vocabulary else "<unk>" for word in words)

    def fingerprint(self, pairs: Sequence[Pair]) -> Fingerprint:
        """Say how the scores of these pairs are made."""
        return Fingerprint(
            "r2gen",
            f"between white space, <unk> for all but {len(self.vocabulary):,} words that the "
            f"training reports have {self.threshold} times",
            len(pairs),
            with_meteor(CAPTION_TOOL, self.meteor),
            cleaning=self.rule,
            truncation=f"to {self.words} words, predictions and references",
        )


@final
class R2GenFull(CaptionProtocol):
    """R2Gen's cleaning alone: nothing is cut, and every word counts as itself."""

    def __init__(
        self,
        *,
        dataset: Dataset = "iu_xray",
        meteor: bool = True,
        meteor_segments: int = 30_000,
    ) -> None:
        super().__init__(meteor=meteor, meteor_segments=meteor_segments)
        self.rule = _RULES[dataset]

    def tokens(self, report: str) -> str:
        """Return the cleaned report; one that was cleaned before is left as it is.

        Cleaning twice leaves a second space before the last full stop, and between two spaces
        ROUGE-L counts a word.
        """
        cleaned = clean(report, self.rule)
        return report if cleaned.split() == report.split() else cleaned

    def fingerprint(self, pairs: Sequence[Pair]) -> Fingerprint:
        """Say how the scores of these pairs are made."""
        return Fingerprint(
            "r2gen-full",
            "between white space",
            len(pairs),
            with_meteor(CAPTION_TOOL, self.meteor),
            cleaning=self.rule,
        )
