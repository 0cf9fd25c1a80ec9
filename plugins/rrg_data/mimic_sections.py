"""A MIMIC-CXR report cut into its sections, by the rules of the archive's own tools.

Published corpora of MIMIC-CXR were cut by these rules (MIT-LCP/mimic-cxr, `txt/`), so they
are kept with their quirks: a heading counts only behind a line break and one space, another in the
rest of its line does not, "findings and impression" is an impression, and so is "ndication". What
is not here are the sections and character ranges which those tools set by hand for 54 studies.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from rrg_data.mimic_words import FINDINGS_WORDS, MAIN_SECTIONS, SECTION_OF

_HEADING: Final = re.compile(r"\n ([A-Z ()/,-]+):\s")
_BLANK_LINE: Final = "\n \n"


@final
@dataclass(frozen=True, slots=True)
class Sections:
    """The sections of one report in order; a name may be there more than once."""

    names: tuple[str, ...]
    texts: tuple[str, ...]
    """Stripped; line breaks are kept."""

    def last(self, name: str) -> str | None:
        """Return the text of the last section of a name, or None where the report has none."""
        at = max((i for i, other in enumerate(self.names) if other == name), default=None)
        return None if at is None else self.texts[at]

    @property
    def conclusion(self) -> str | None:
        """What a report comes to, by which the archive's labels were made: its last impression, or
        else findings, last paragraph, comparison.
        """
        for name in ("impression", "findings", "last_paragraph", "comparison"):
            if (text := self.last(name)) is not None:
                return text
        return None


def cut_report(report: str) -> Sections:
    """Cut a report at its headings.

    What stands before the first is the `preamble`; a report without any is one `full report`. Empty
    findings and impressions are dropped. Where neither is left, what stands behind the first blank
    line of the last section is the `last_paragraph`.
    """
    headings = list(_headings(report))
    names = ["preamble" if headings else "full report"]
    starts, ends = [0], []
    for heading in headings:
        names.append(section_of(heading[1]))
        starts.append(heading.end())
        ends.append(heading.start(1))
    texts = [report[start:end] for start, end in zip(starts, [*ends, len(report)], strict=True)]
    found = [
        (name, text)
        for name, text in zip(names, texts, strict=True)
        if text.strip() or name not in ("findings", "impression")
    ]
    if not any(name in ("findings", "impression") for name, _ in found):
        name, text = found[-1]
        before, blank, behind = text.partition(_BLANK_LINE)
        if blank:
            found[-1:] = [(name, before), ("last_paragraph", behind)]
    return Sections(
        names=tuple(name for name, _ in found), texts=tuple(text.strip() for _, text in found)
    )


def section_of(heading: str) -> str:
    """Return which section a heading begins; one that is not known is its own, in lower case."""
    heading = heading.lower().strip()
    if heading in SECTION_OF:
        return SECTION_OF[heading]
    for section in MAIN_SECTIONS:
        if section in heading:
            return section
    return "findings" if any(word in heading for word in FINDINGS_WORDS) else heading


def _headings(report: str) -> Iterator[re.Match[str]]:
    at = 0
    while (heading := _HEADING.search(report, at)) is not None:
        yield heading
        # the rest of a heading's line is not looked at
        at = max(report.find("\n", heading.end()), heading.end())
