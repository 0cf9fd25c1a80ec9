"""The labeler `rules`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar, final

from rrg_knowledge.aggregate import aggregate
from rrg_knowledge.heart import find_sizes
from rrg_knowledge.mentions import find_mentions
from rrg_knowledge.scope import Scopes
from rrg_knowledge.sentences import Words, split_sentences
from rrgcore import __version__
from rrgcore.annotations import Labels
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator, Mention, NamesFindings


@final
class RulesLabeler(Annotator, NamesFindings):
    """CheXpert's 14 labels of a report, by rules: mention, negation, doubt, aggregation.

    Phrases name findings (`phrases_*.py`); cues deny them or leave them open, as far as their scope
    reaches (`scope.py`); statements of size speak of the heart and the mediastinum (`heart.py`);
    the mentions of a report are weighed into its labels (`aggregate.py`). The same text has the
    same labels, whatever its case and spaces, and cleaned reports without commas are understood.
    An empty report mentions nothing, which CheXpert counts as No Finding.

    The stages are those of Irvin et al., "CheXpert", AAAI 2019, §3; phrases and rules are our own.
    """

    writes: ClassVar[type] = Labels
    from_report = True

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        """Label each study's report; raises DataError where there is none."""
        for study in studies:
            if study.report is None:
                raise DataError(
                    f"study '{study.id}' has no report; the labeler `rules` reads nothing else"
                )
            yield self.label(study.report)

    def fingerprint(self) -> str:
        """Return the release, since the rules change with nothing else."""
        return f"rules of rrg {__version__}"

    def label(self, text: str) -> Labels:
        """Label one text: a report, or sections joined by an empty line."""
        return Labels(aggregate(self.mentions(text)))

    def mentions(self, text: str) -> Iterator[Mention]:
        """Yield every mention of a text, each a slice of it: why its labels are what they are."""
        for at, sentence in split_sentences(text):
            for mention in read_sentence(sentence):
                yield replace(mention, start=mention.start + at, end=mention.end + at)


def read_sentence(sentence: str) -> list[Mention]:
    """Return what one sentence says of each observation it names, from left to right."""
    words = Words.of(sentence)
    found = find_mentions(words)
    scopes = Scopes(words, [(start, end) for start, end, _ in found])
    said = [
        (start, end, name, value)
        for start, end, names in found
        if names and (value := scopes.value(start, end)) is not None
        for name in names
    ]
    said += find_sizes(words, scopes)
    return [_mention(sentence, words, *one) for one in sorted(said)]


def _mention(sentence: str, words: Words, start: int, end: int, name: str, value: int) -> Mention:
    first, last = words.spans[start][0], words.spans[end - 1][1]
    return Mention(name, value, first, last, sentence[first:last])
