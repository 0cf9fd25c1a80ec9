"""How far a split can be answered without looking: reports seen in training, reports repeated."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from rrgcore.cleaning import is_empty
from rrgcore.scoring.metric import Pair


@final
@dataclass(frozen=True, slots=True)
class Leakage:
    """What must be read beside a split's scores."""

    verbatim: float | None
    """Share of references that are, word for word, a training report; None without training
    reports.
    """
    distinct: float
    """Share of different texts among the predictions."""
    most_frequent: str
    """The prediction that is given most often."""
    most_frequent_share: float
    empty: float
    """Share of the predictions that say nothing."""


def leakage(pairs: Sequence[Pair], training: Sequence[str]) -> Leakage:
    """Look for what was seen in training, and what is written again and again.

    Case and white space make no difference; nothing else is forgiven.
    """
    seen = {_words(report) for report in training}
    written = Counter(_words(pair.prediction) for pair in pairs)
    text, count = written.most_common(1)[0] if pairs else ("", 0)
    total = max(1, len(pairs))
    known = sum(_words(pair.reference) in seen for pair in pairs)
    return Leakage(
        verbatim=known / total if training else None,
        distinct=len(written) / total,
        most_frequent=text,
        most_frequent_share=count / total,
        empty=sum(is_empty(pair.prediction) for pair in pairs) / total,
    )


def _words(report: str) -> str:
    return " ".join(report.lower().split())
