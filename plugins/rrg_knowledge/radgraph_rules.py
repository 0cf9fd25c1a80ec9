"""The annotator `radgraph_rules`."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final, final

from rrg_knowledge.aggregate import NEGATIVE, UNCERTAIN
from rrg_knowledge.radgraph_draft import Draft, number_entities
from rrg_knowledge.radgraph_links import Linker
from rrg_knowledge.radgraph_phrases import PhraseReader
from rrg_knowledge.radgraph_tokens import read_tokens
from rrg_knowledge.radgraph_words import FINDINGS, NORMAL
from rrg_knowledge.scope import Scopes
from rrg_knowledge.sentences import Words, split_sentences
from rrgcore import __version__
from rrgcore.annotations import RadGraph
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator

_WORD: Final = re.compile(r"(?:[\w%'’-]|(?<=\d)\.(?=\d))+|\S")
"""A number with its decimals is one word; other marks stand for themselves, as in RadGraph."""
_NOT: Final = frozenset(("not", "nor", "never"))


@final
class RadGraphRules(Annotator):
    """RadGraph's entities and relations of a report by rules: no weights.

    Word lists tell places from observations (`radgraph_words.py`), runs of them are read as phrases
    (`radgraph_phrases.py`), and what stands between phrases relates them (`radgraph_links.py`);
    what is denied or uncertain is told as in the labeler `rules` (`scope.py`). The words are the
    report's, with marks set apart. docs/radgraph.md has the conventions, figures and known errors.

    The schema is that of Jain et al., "RadGraph", NeurIPS 2021; words and rules are our own.
    """

    writes: ClassVar[type] = RadGraph
    from_report = True

    def annotate(self, studies: Iterable[Study]) -> Iterator[RadGraph]:
        """Read each study's report; raises DataError where there is none."""
        for study in studies:
            if study.report is None:
                raise DataError(
                    f"study '{study.id}' has no report; `radgraph_rules` reads nothing else"
                )
            yield self.read(study.report)

    def fingerprint(self) -> str:
        """Return the release, since the rules change with nothing else."""
        return f"radgraph_rules of rrg {__version__}"

    def read(self, text: str) -> RadGraph:
        """Read one report."""
        words = tuple(_WORD.findall(text))
        line = " ".join(words)
        starts, at = [], 0
        for word in words:
            starts.append(at)
            at += len(word) + 1
        drafts = []
        for begin, sentence in split_sentences(line):
            first = bisect_left(starts, begin)
            after = bisect_left(starts, begin + len(sentence))
            draft, labels = _read_sentence(words[first:after])
            drafts.append((first, draft, labels))
        return RadGraph(words, number_entities(drafts, words))


def _read_sentence(words: tuple[str, ...]) -> tuple[Draft, dict[int, str]]:
    draft = Draft()
    tokens = read_tokens([word.lower() for word in words])
    phrases = PhraseReader(tokens, draft).read()
    Linker(tokens, draft).link(phrases)
    return draft, _label(words, draft)


def _label(words: tuple[str, ...], draft: Draft) -> dict[int, str]:
    """Return what is said of each entity; a modifier has its target's label."""
    heads = sorted({draft.described(key) for key, node in draft.nodes.items() if not node.anatomy})
    lower = [word.lower() for word in words]
    read = Words.of(" ".join(words))
    starts, at = [], 0
    for word in words:
        starts.append(at)
        at += len(word) + 1
    begins = [start for start, _ in read.spans]
    spans = {
        key: (
            bisect_left(begins, starts[key]),
            bisect_left(begins, starts[draft.nodes[key].end] + len(words[draft.nodes[key].end])),
        )
        for key in heads
    }
    normal = {key for key in heads if "_".join(lower[key : draft.nodes[key].end + 1]) in NORMAL}
    scopes = Scopes(read, [spans[key] for key in heads if key not in normal])
    said = {}
    for key in heads:
        if key in normal:
            denied = _NOT.intersection(lower[max(key - 2, 0) : key])
            said[key] = "OBS-DA" if denied else "OBS-DP"
            continue
        value = scopes.value(*spans[key], alone=lower[key] not in FINDINGS)
        uncertain = value is None or value == UNCERTAIN
        said[key] = "OBS-U" if uncertain else "OBS-DA" if value == NEGATIVE else "OBS-DP"
    return {
        key: "ANAT-DP" if node.anatomy else said[draft.described(key)]
        for key, node in draft.nodes.items()
    }
