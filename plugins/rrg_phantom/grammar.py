"""The report of a phantom: which sentences, in which words, in which order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from rrgcore.chest import NO_FINDING, OBSERVATIONS

from .case import Finding
from .markup import Entity, Sentence, read_markup
from .phrases import ORDERS, REGIONS, wording_of
from .phrases_devices import UNSIDED
from .statement import Statement
from .wording import Normal

MANNERS: tuple[float, ...] = (1.0, 4.0, 1 / 4)
"""Usual, brief and thorough reporting: the exponent of every normal statement's chance."""

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Report:
    """A report in R2Gen's clean form, with everything that is true of its words."""

    text: str
    entities: tuple[Entity, ...]
    statements: frozenset[Statement]

    @property
    def labels(self) -> dict[str, float | None]:
        """CheXpert's 14 labels: 1 present, -1 uncertain, 0 denied, None not mentioned.

        Each is that of the statements on this very observation, without a hierarchy: consolidation
        does not make Lung Opacity positive. With several of them, present comes before uncertain.
        No Finding is 1 when nothing but devices is present or uncertain, otherwise None.
        """
        labels: dict[str, float | None] = dict.fromkeys(OBSERVATIONS)
        for status, label in (("absent", 0.0), ("uncertain", -1.0), ("present", 1.0)):
            labels |= {s.observation: label for s in self.statements if s.status == status}
        found = {s.observation for s in self.statements if s.positive}
        labels[NO_FINDING] = None if found - {"Support Devices"} else 1.0
        return labels

    @property
    def radgraph(self) -> dict[str, object]:
        """The report as a document of RadGraph v1's JSON."""
        return {
            "text": self.text,
            "entities": {
                entity.key: {
                    "tokens": entity.tokens,
                    "label": entity.label,
                    "start_ix": entity.start_ix,
                    "end_ix": entity.end_ix,
                    "relations": [list(relation) for relation in entity.relations],
                }
                for entity in self.entities
            },
            "data_source": None,
            "data_split": "phantom",
        }


def write_report(findings: Sequence[Finding], rng: np.random.Generator | None) -> Report:
    """The report of a patient with these findings.

    It states every field of every finding, so that they can be read back from it, and otherwise
    only what they leave normal. Without a generator it is the habitual report, in the most frequent
    order and wording throughout: what a model that sees everything and goes by habit would write.
    """
    here = frozenset(finding.observation for finding in findings)
    manner = MANNERS[_choose(len(MANNERS), rng)]
    denied: set[str] = set()
    sentences: list[Sentence] = []
    for name in ORDERS[_choose(len(ORDERS), rng)]:
        region = REGIONS[name]
        for observation in region.observations:
            sentences += [_word(f, rng) for f in findings if f.observation == observation]
        for normal in region.normals:
            if _is_said(normal, here, denied, manner, rng):
                denied |= normal.denies
                phrase = normal.phrases[_choose(len(normal.phrases), rng)]
                sentences.append(read_markup(phrase, "absent"))
    return _join(sentences, _statements(findings, denied))


def _word(finding: Finding, rng: np.random.Generator | None) -> Sentence:
    assert not (finding.side and finding.kind in UNSIDED), f"no side can be said of {finding}"
    wording = wording_of(finding)
    status = "present" if finding.certain else "uncertain"
    phrases = wording.present if finding.certain else wording.uncertain
    assert phrases, f"{finding.observation} is never uncertain, found {finding}"
    phrase = phrases[_choose(len(phrases), rng)]
    for slot in dict.fromkeys(_SLOT.findall(phrase)):
        options = wording.options(slot, finding)
        phrase = phrase.replace(f"{{{slot}}}", options[_choose(len(options), rng, fall=3)])
    return read_markup(phrase, status)


def _is_said(
    normal: Normal,
    here: frozenset[str],
    denied: set[str],
    manner: float,
    rng: np.random.Generator | None,
) -> bool:
    possible = not normal.without & here and (not normal.beside or normal.beside & here)
    repeats = bool(normal.denies) and normal.denies <= denied
    if not possible or repeats:
        return False
    return normal.chance >= 0.5 if rng is None else rng.random() < normal.chance**manner


def _choose(count: int, rng: np.random.Generator | None, *, fall: int = 2) -> int:
    """An index below `count`, each `fall` times rarer than the one before it."""
    if rng is None:
        return 0
    left = rng.random() * (fall**count - 1) / (fall - 1)
    for index in range(count - 1):
        left -= fall ** (count - 1 - index)
        if left < 0:
            return index
    return count - 1


def _statements(findings: Sequence[Finding], denied: set[str]) -> frozenset[Statement]:
    positive = (
        Statement(
            finding.observation,
            status="present" if finding.certain else "uncertain",
            side=finding.side,
            zone=finding.zone,
            severity=finding.severity,
            kind=finding.kind,
        )
        for finding in findings
    )
    return frozenset(chain(positive, (Statement(name, status="absent") for name in denied)))


def _join(sentences: Sequence[Sentence], statements: frozenset[Statement]) -> Report:
    words: list[str] = []
    entities: list[Entity] = []
    for sentence in sentences:
        before = len(entities)
        entities += [
            replace(
                entity,
                key=str(before + int(entity.key)),
                start_ix=entity.start_ix + len(words),
                end_ix=entity.end_ix + len(words),
                relations=tuple((r, str(before + int(target))) for r, target in entity.relations),
            )
            for entity in sentence.entities
        ]
        words += [*sentence.words, "."]
    return Report(" ".join(words), tuple(entities), statements)
