"""Lengths and words of reports: what a tokenizer cuts, and what is unknown to its vocabulary."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, final

from rrgcore.cleaning import is_empty
from rrgcore.data_check.findings import Findings
from rrgcore.data_check.listing import Listing
from rrgcore.data_check.same import Same
from rrgcore.settings import DataSettings
from rrgcore.study import Study
from rrgcore.tokens import UNK, Tokenizer

LIMITS: Final[Mapping[int, str]] = {59: "IU X-Ray", 99: "MIMIC-CXR"}
"""Words that R2Gen keeps of a report, and scores, on which data."""
THRESHOLDS: Final = (3, 10)
"""R2Gen's: how often a word must be in the training reports, for IU X-Ray and for MIMIC-CXR."""
QUANTILES: Final = (5, 25, 50, 75, 95, 99)
SHORT, LONG = 2, 500
_USUAL: Final = DataSettings()
_FRAME: Final = 2
"""[CLS] and [SEP]."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How reports become tokens."""

    max_tokens: int = _USUAL.max_report_tokens
    """Longer reports are cut; [CLS] and [SEP] are two of them."""
    min_count: int = _USUAL.min_word_count
    """How often a word must be in the training reports, or it is unknown."""
    tokenizer: Tokenizer | None = None
    """None: words between white space."""
    tokenizer_name: str = "words"

    def __post_init__(self) -> None:
        # core's own settings say what is allowed
        DataSettings(max_report_tokens=self.max_tokens, min_word_count=self.min_count)

    @property
    def thresholds(self) -> tuple[int, ...]:
        """The thresholds that are reported."""
        return tuple(sorted({self.min_count, *THRESHOLDS}))


@final
class Texts:
    """What the reports of one split, or of all, are made of."""

    def __init__(self, reading: Reading) -> None:
        self.reports = 0
        self.lengths: Counter[int] = Counter()
        """How many reports have so many words."""
        self.words: Counter[str] = Counter()
        self.cut = 0
        self.tokens = 0
        self.unknown_tokens: int | None = 0 if _unknown_id(reading.tokenizer) is not None else None
        """Of a tokenizer that is not of words, where it has an [UNK]."""
        self.unknown_words: Counter[int] = Counter()
        """How many words, of all that are written, are unknown at a threshold."""
        self.with_unknown: Counter[int] = Counter()
        """How many reports have such a word."""

    @property
    def total_words(self) -> int:
        """Count the words that are written."""
        return sum(length * count for length, count in self.lengths.items())

    @property
    def mean(self) -> float | None:
        """The mean length in words."""
        return self.total_words / self.reports if self.reports else None

    def quantile(self, percent: int) -> int:
        """Return the least length that so many per cent of the reports do not exceed."""
        reached, wanted = 0, self.reports * percent / 100
        for length in sorted(self.lengths):
            reached += self.lengths[length]
            if reached >= wanted:
                return length
        return 0

    def longer_than(self, words: int) -> int:
        """Count the reports of more words."""
        return sum(count for length, count in self.lengths.items() if length > words)

    def to_json(self, reading: Reading) -> dict[str, Any]:
        """Return everything as it is printed, and the lengths whole."""
        written = self.total_words
        facts: dict[str, Any] = {
            "reports": self.reports,
            "words": {
                "total": written,
                "distinct": len(self.words),
                "mean": self.mean,
                "longest": max(self.lengths, default=0),
                "quantiles": {str(q): self.quantile(q) for q in QUANTILES},
                "lengths": {str(length): self.lengths[length] for length in sorted(self.lengths)},
            },
            "longer_than": {
                str(limit): share(self.longer_than(limit), self.reports) for limit in LIMITS
            },
            "cut": share(self.cut, self.reports),
            "unknown": {
                str(threshold): {
                    "words": share(self.unknown_words[threshold], written),
                    "reports": share(self.with_unknown[threshold], self.reports),
                }
                for threshold in reading.thresholds
            },
        }
        if self.unknown_tokens is not None:
            facts["unknown_tokens"] = share(self.unknown_tokens, self.tokens)
        return facts


@final
class TextCheck:
    """Reads reports one after another, then looks for what is unknown in them."""

    def __init__(self, reading: Reading, studies: Listing, findings: Findings) -> None:
        self.reading = reading
        self.of = {split: Texts(reading) for split in studies.of}
        self.all = Texts(reading)
        self.same = Same()
        self._studies = studies
        self._findings = findings
        self._unknown_id = _unknown_id(reading.tokenizer)

    def read(self, number: int, split: str, study: Study) -> None:
        """Take a study's report in."""
        report = study.report
        place = f"study '{study.id}' ({split})"
        if report is None and split == "test":
            self._findings.add("no_report", f"{place} has no report")
            return
        if is_empty(report or ""):
            self._findings.add("empty_reports", f"{place}: its report is empty")
            return
        assert report is not None, "a report that is None is empty"
        words = report.split()
        spoken = (word for word in words if not is_empty(word))
        if len(list(islice(spoken, SHORT + 1))) <= SHORT:
            self._findings.add("short_reports", f"{place}: '{report.strip()}'")
        if len(words) > LONG:
            self._findings.add("long_reports", f"{place}: {len(words):,} words")
        self.same.add(number, " ".join(report.lower().split()))
        tokenizer = self.reading.tokenizer
        ids = tokenizer.encode(report) if tokenizer is not None else None
        tokens = len(words) + _FRAME if ids is None else len(ids)
        for texts in (self.of[split], self.all):
            texts.reports += 1
            texts.lengths[len(words)] += 1
            texts.words.update(words)
            texts.cut += tokens > self.reading.max_tokens
            texts.tokens += tokens
            if ids is not None and texts.unknown_tokens is not None:
                texts.unknown_tokens += ids.count(self._unknown_id)  # type: ignore[arg-type]

    def finish(self) -> None:
        """Look every word up among those of the training reports."""
        learned = self.of["train"].words
        if not learned:
            return  # nothing is known, and nothing was to be
        for texts in (*self.of.values(), self.all):
            for word, count in texts.words.items():
                for threshold in self._unknown_at(learned[word]):
                    texts.unknown_words[threshold] += count
        for split, study in self._studies:
            if is_empty(study.report or ""):
                continue
            rarest = min(learned[word] for word in (study.report or "").split())
            for threshold in self._unknown_at(rarest):
                self.of[split].with_unknown[threshold] += 1
                self.all.with_unknown[threshold] += 1
        if self.reading.tokenizer is None:
            for problem in self._nothing_known():
                self._findings.add("unknown_words", problem)

    @property
    def knows_words(self) -> bool:
        """Whether words can be unknown: there are training reports, and no other tokenizer."""
        return self.reading.tokenizer is None and bool(self.of["train"].words)

    def vocabulary(self, threshold: int) -> int:
        """Count the words that the training reports have so often; [UNK] and the like come on top.

        R2Gen counts its `<unk>` as one more.
        """
        return sum(count >= threshold for count in self.of["train"].words.values())

    def can_copy(self, column: str) -> bool:
        """Whether this is a split whose reports could have been seen in training."""
        return column in ("val", "test") and self.of["train"].reports > 0

    def copied(self, split: str) -> int:
        """Count the reports that are word for word a training report."""
        numbers = self._studies.numbers
        return self.same.found(numbers(split), numbers("train"))

    def distinct(self, split: str | None = None) -> int:
        """Count the different reports of a split, or of all."""
        everything = range(len(self._studies))
        return self.same.distinct(self._studies.numbers(split) if split else everything)

    def _unknown_at(self, seen: int) -> Iterator[int]:
        return (threshold for threshold in self.reading.thresholds if seen < threshold)

    def _nothing_known(self) -> Iterator[str]:
        least = self.reading.min_count
        if not self.vocabulary(least):
            yield (
                f"no word is in the training reports {least:,} times or more: every word would be "
                f"{UNK}. Lower the threshold (--min-count; data.min_word_count in a recipe)"
            )
            return
        for split, texts in self.of.items():
            if texts.reports and texts.unknown_words[least] == texts.total_words:
                yield (
                    f"no word of the {split} reports is among those that the training reports "
                    f"have {times(least)} or more"
                )


def share(part: int, whole: int) -> dict[str, Any]:
    """Return a count and its share; none of nothing."""
    return {"count": part, "share": part / whole if whole else None}


def times(count: int) -> str:
    """Say how often."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _unknown_id(tokenizer: Tokenizer | None) -> int | None:
    if tokenizer is None:
        return None
    try:
        return tokenizer.id_of(UNK)
    except KeyError:  # pieces of bytes: nothing is unknown
        return None
