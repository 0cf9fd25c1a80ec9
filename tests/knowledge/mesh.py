"""People's MeSH tags of IU X-Ray as observations, and scores of labels against them."""

import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np

from rrg_knowledge.aggregate import Mention, aggregate
from rrg_knowledge.heart import find_sizes
from rrg_knowledge.mentions import find_mentions
from rrg_knowledge.rules import RulesLabeler
from rrg_knowledge.scope import Scopes
from rrg_knowledge.sentences import Words, split_sentences
from rrgcore.chest import NO_FINDING

GRADED: Final = (
    "Cardiomegaly",
    "Lung Opacity",
    "Atelectasis",
    "Pleural Effusion",
    "Edema",
    "Support Devices",
    "Lung Lesion",
    "Fracture",
    "Pneumothorax",
)
"""What the mapping grades; the last counts in the pooled figure only."""
REPORTED: Final = ("Consolidation", "Pleural Other", "Pneumonia", "Enlarged Cardiomediastinum")

_ELSEWHERE: Final = re.compile(
    "bone|rib|sternum|clavicle|scapula|humerus|shoulder|spine|vertebra|breast|abdomen"
)
_HEADS: Final = {
    "normal": NO_FINDING,
    "Cardiomegaly": "Cardiomegaly",
    "Pulmonary Atelectasis": "Atelectasis",
    "Pleural Effusion": "Pleural Effusion",
    "Hemothorax": "Pleural Effusion",
    "Pulmonary Edema": "Edema",
    "Pulmonary Congestion": "Edema",
    "Heart Failure": "Edema",
    "Catheters, Indwelling": "Support Devices",
    "Implanted Medical Device": "Support Devices",
    "Medical Device": "Support Devices",
    "Tube, Inserted": "Support Devices",
    "Stents": "Support Devices",
    "Fractures, Bone": "Fracture",
    "Pneumothorax": "Pneumothorax",
    "Consolidation": "Consolidation",
    "Pneumonia": "Pneumonia",
}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A report and the observations that people tagged it with."""

    uid: int
    text: str
    tags: frozenset[str]


def load_tagged(archive: Path, *, odd: bool) -> list[Tagged]:
    """Read the studies of odd or of even uid, but for those not indexed and those without text."""
    rows = []
    with tarfile.open(archive) as files:
        for member in files:
            uid = re.search(r"(\d+)\.xml$", member.name)
            if not uid or int(uid[1]) % 2 != odd:
                continue
            stream = files.extractfile(member)
            assert stream is not None, "a file of an archive can be read"
            root = ElementTree.fromstring(stream.read())
            said = {part.get("Label"): part.text or "" for part in root.iter("AbstractText")}
            text = "\n\n".join(said.get(name, "") for name in ("FINDINGS", "IMPRESSION")).strip()
            tags = [tag.text or "" for tag in root.iter("major")]
            if text and "No Indexing" not in tags:
                rows.append(Tagged(int(uid[1]), text, frozenset(map_tags(tags))))
    return sorted(rows, key=lambda row: row.uid)


def map_tags(tags: Sequence[str]) -> Iterator[str]:
    """Yield the observations that tags name: the frozen mapping of mesh_mapping.md."""
    for tag in tags:
        head, *qualifiers = (part.strip() for part in tag.split("/"))
        in_chest = not any(_ELSEWHERE.search(one.lower()) for one in qualifiers)
        if head in _HEADS:
            yield _HEADS[head]
        if head in ("Hydropneumothorax", "Hemopneumothorax"):
            yield from ("Pleural Effusion", "Pneumothorax")
        if head == "Cardiac Shadow" and "enlarged" in qualifiers:
            yield "Cardiomegaly"
        if head in ("Opacity", "Airspace Disease", "Infiltrate") and in_chest:
            yield "Lung Opacity"
        if head == "Density" and "lung" in qualifiers:
            yield "Lung Opacity"
        rounded = head in ("Opacity", "Density") and "round" in qualifiers
        if (head in ("Nodule", "Mass") or rounded) and in_chest:
            yield "Lung Lesion"
        if head in ("Thickening", "Calcinosis", "Cicatrix") and "pleura" in qualifiers:
            yield "Pleural Other"
        if head == "Mediastinum" and {"prominent", "enlarged"}.intersection(qualifiers):
            yield "Enlarged Cardiomediastinum"


# ---- labelers ---------------------------------------------------------------------------------


def by_rules(text: str) -> Mapping[str, int]:
    """The labeler."""
    return RulesLabeler().label(text).values


def without_negation(text: str) -> Mapping[str, int]:
    """The same phrases, each affirmed; sizes as the labeler reads them."""
    return _crude(text, lambda sentence: 1)


def by_three_words(text: str) -> Mapping[str, int]:
    """The same phrases, denied where the sentence has "no", "without" or "normal"."""
    return _crude(text, class_by_three_words)


def class_by_three_words(sentence: str) -> int:
    """The crude baseline's class of everything in a sentence."""
    return int(re.search(r"\b(no|without|normal)\b", sentence.lower()) is None)


def _crude(text: str, decide: Callable[[str], int]) -> Mapping[str, int]:
    mentions = []
    for _, sentence in split_sentences(text):
        words = Words.of(sentence)
        for _, _, names in find_mentions(words):
            mentions += [Mention(name, decide(sentence), 0, 0, "") for name in names]
        for _, _, name, value in find_sizes(words, Scopes(words)):
            mentions.append(Mention(name, value, 0, 0, ""))
    return aggregate(mentions)


# ---- scores -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """F1, with a 95 % bootstrap interval over reports where one was asked for."""

    f1: float
    low: float
    high: float
    positives: int


def score(
    rows: Sequence[Tagged],
    labels: Sequence[Mapping[str, int]],
    names: Sequence[str],
    *,
    uncertain_is_positive: bool,
    resamples: int = 0,
) -> Score:
    """Micro-F1 over some observations."""
    said = (1, -1) if uncertain_is_positive else (1,)
    truth = np.array([[name in row.tags for name in names] for row in rows])
    found = np.array([[values.get(name) in said for name in names] for values in labels])
    # of each report: right, and everything that either side named
    counts = np.stack([(truth & found).sum(1), truth.sum(1) + found.sum(1)], 1)
    rng = np.random.default_rng(0)
    draws = [_f1(counts[rng.integers(0, len(rows), len(rows))]) for _ in range(resamples)]
    low, high = np.percentile(draws, [2.5, 97.5]) if draws else (0.0, 1.0)
    return Score(_f1(counts), float(low), float(high), int(truth.sum()))


def _f1(counts: np.ndarray) -> float:
    right, named = counts.sum(0)
    return float(2 * right / named) if named else 0.0
