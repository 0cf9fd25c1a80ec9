"""Reports as they stand in the data: marks of de-identification, and what cleaning does to them."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, final

from rrgcore.cleaning import CLEANERS, cleaner, half_pair, is_empty
from rrgcore.data_check.findings import Findings
from rrgcore.data_check.listing import Listing
from rrgcore.data_check.texts import share
from rrgcore.study import Study
from rrgcore.supply import Dataset, KeepsRawReports

MARKS: Final[Mapping[str, re.Pattern[str]]] = {
    "xxxx": re.compile(r"\bx{3,}", re.IGNORECASE),
    "___": re.compile(r"_{2,}"),
    "[** **]": re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL),
}
"""What stands for a name or a date: in IU X-Ray, in MIMIC-CXR, in MIMIC-III."""
LINEAGE: Final = "r2gen-iu"
EXAMPLES: Final = 3

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LOST: Final = "\N{REPLACEMENT CHARACTER}"
_DECIMAL: Final = re.compile(r"(?<![\w.])\d+\.\d+\w*")
_RUN: Final = re.compile(r"[^\W_]+")


@final
class Marked:
    """Marks of de-identification in the reports of one split, or of all."""

    def __init__(self) -> None:
        self.reports = 0
        self.found: Counter[str] = Counter()
        self.in_reports: Counter[str] = Counter()
        self.words = 0
        self.words_left: Counter[str] = Counter()
        """Words of the cleaned reports that are a mark, and nothing else."""

    def read(self, raw: str, cleaned: str) -> None:
        """Take a report in."""
        self.reports += 1
        words = cleaned.split()
        self.words += len(words)
        for mark, pattern in MARKS.items():
            if count := len(pattern.findall(raw)):
                self.found[mark] += count
                self.in_reports[mark] += 1
            if pattern.search(cleaned):
                self.words_left[mark] += sum(1 for word in words if pattern.fullmatch(word))

    def to_json(self) -> dict[str, Any]:
        """Return a block for each mark."""
        return {
            mark: {
                "found": self.found[mark],
                "reports": share(self.in_reports[mark], self.reports),
                "words_left": share(self.words_left[mark], self.words),
            }
            for mark in MARKS
        }


@final
class RawCheck:
    """Reads reports as they stand in the data, where it tells; else as they are given.

    `rule` is the rule that the data cleans by; where it cleans by none, or does not tell, R2Gen's
    is tried: its protocol cleans so before it scores.
    """

    def __init__(self, dataset: Dataset, studies: Listing, findings: Findings) -> None:
        self.of = {split: Marked() for split in studies.of}
        self.all = Marked()
        self.keeps = dataset if isinstance(dataset, KeepsRawReports) else None
        given = self.keeps.cleaning if self.keeps is not None else "none"
        self.is_tried = given == "none" or given not in CLEANERS
        self.rule = LINEAGE if self.is_tried else given
        self.reports = 0
        self.merged: list[str] = []
        """The first examples of decimals that cleaning merges."""
        self.glued: list[str] = []
        self.with_merged = self.with_glued = self.changed = 0
        self._clean: Callable[[str], str] = cleaner(self.rule)
        self._findings = findings

    def read(self, split: str, study: Study) -> None:
        """Take a study's report in."""
        given = study.report or ""
        raw = self.keeps.raw_report(study) if self.keeps is not None else None
        raw = given if raw is None else raw
        self._look_for_characters(f"study '{study.id}' ({split})", study.id, raw, given)
        if is_empty(raw):
            return
        self.of[split].read(raw, given)
        self.all.read(raw, given)
        self.reports += 1
        merged, glued = changes(raw, self._clean(raw) if self.is_tried else given)
        self.with_merged += bool(merged)
        self.with_glued += bool(glued)
        self.changed += bool(merged or glued)
        self.merged += merged[: EXAMPLES - len(self.merged)]
        self.glued += glued[: EXAMPLES - len(self.glued)]

    def to_json(self) -> dict[str, Any]:
        """Return what the rule changes."""
        return {
            "rule": self.rule,
            "applied": not self.is_tried,
            "merges_decimals": {**share(self.with_merged, self.reports), "examples": self.merged},
            "glues_words": {**share(self.with_glued, self.reports), "examples": self.glued},
            "changed": share(self.changed, self.reports),
        }

    def _look_for_characters(self, place: str, id: str, raw: str, given: str) -> None:
        for what, text in (("id", id), ("report", raw), ("report", given)):
            if half := half_pair(text):
                self._findings.add("not_unicode", f"{place}: its {what} has {half}")
                break
        if found := _CONTROL.search(raw):
            self._findings.add("control_characters", f"{place}: U+{ord(found[0]):04X}")
        if (at := raw.find(_LOST)) >= 0:
            around = " ".join(raw[max(0, at - 15) : at + 15].split())
            self._findings.add("lost_characters", f"{place}: '…{around}…'")


def changes(raw: str, cleaned: str) -> tuple[list[str], list[str]]:
    """Return the decimals that cleaning merged, and the other words that it glued.

    A run of letters and digits in the cleaned report that is no run of the raw one was made of
    several. Apostrophes and the stops of initials ("a.p.") may go: nothing else is read then.
    """
    text = re.sub(r"['’]", "", raw.lower())
    text = re.sub(r"\b(?:[a-z]\.){2,}", lambda initials: initials[0].replace(".", "") + " ", text)
    known = set(_RUN.findall(text))
    new = [run for run in dict.fromkeys(_RUN.findall(cleaned.lower())) if run not in known]
    if not new:
        return [], []
    decimals = {found.replace(".", ""): found for found in _DECIMAL.findall(text)}
    merged = [f"{decimals[run]} → {run}" for run in new if run in decimals]
    return merged, [run for run in new if run not in decimals]


def marks_of(marked: Mapping[str, Marked]) -> Iterator[str]:
    """List the marks that are there at all."""
    return (mark for mark in MARKS if any(each.found[mark] for each in marked.values()))
