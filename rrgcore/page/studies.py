"""The studies of a page: what was written, what should have been, and what tells them apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from rrgcore.chest import OBSERVATIONS
from rrgcore.cleaning import is_empty
from rrgcore.errors import UserError
from rrgcore.page.choosing import Why, choose
from rrgcore.page.differences import Stretch, alone, compare
from rrgcore.page.findings import Finding, f1, labelled
from rrgcore.page.lines import Line
from rrgcore.page.maps import Maps
from rrgcore.page.pictures import Pictures
from rrgcore.registry import Registry
from rrgcore.scoring.by_name import make_named_metrics
from rrgcore.scoring.metric import Pair

BY = "ROUGE-L"
"""The score by which studies are chosen."""
SCORES = (BY, "CIDEr")
"""Of `coco`, which have a value for each study."""
LABELS = "F1 of findings"
CONFIDENCE, LOGPROB = "confidence", "mean log-probability"


@final
@dataclass(frozen=True, slots=True)
class Card:
    """A study as the page shows it."""

    line: Line
    why: Why
    reference: Sequence[Stretch]
    generated: Sequence[Stretch]
    scores: Mapping[str, float]
    findings: Sequence[Finding] = ()
    pictures: Pictures = field(default_factory=Pictures)
    maps: Maps = field(default_factory=Maps)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """What a script filters by: each observation and its outcome."""
        return [(finding.observation, finding.outcome) for finding in self.findings]

    @property
    def weight(self) -> int:
        """Characters that it takes of the page, about."""
        images = sum(len(picture.uri) for picture in self.pictures.views)
        marked = 30 * (len(self.line.reference.split()) + len(self.line.prediction.split()))
        return images + len(self.maps.data) + marked + 3_000


@final
@dataclass(frozen=True, slots=True)
class Browser:
    """The studies that are shown, and what can be said of all of them."""

    cards: Sequence[Card]
    total: int
    how: str
    scores: Sequence[str] = ()
    """What studies can be sorted by."""
    labeler: str = ""
    notes: Sequence[str] = ()
    """What is absent from all of them, and why."""

    def written(self, how: Callable[[str], str]) -> "Browser":
        """Return it with what is said of absent images written in another way."""
        cards = [
            replace(card, pictures=replace(card.pictures, absent=how(card.pictures.absent)))
            for card in self.cards
        ]
        return replace(self, cards=cards)

    @property
    def attends(self) -> bool:
        """Whether any of them has maps."""
        return any(card.maps.words for card in self.cards)

    @property
    def observations(self) -> list[str]:
        """List the observations that any of them has."""
        there = {finding.observation for card in self.cards for finding in card.findings}
        return [name for name in OBSERVATIONS if name in there]


def browse(lines: Sequence[Line], registry: Registry, *, most: int) -> Browser:
    """Choose studies, score, label and compare them; pictures and maps come later."""
    notes = []
    scores: Mapping[str, Sequence[float | None]] = {}
    try:
        scores = _scores(lines, registry)
    except UserError as error:
        notes.append(f"Studies have no scores of their own: {error}")
    chosen = choose(scores.get(BY, [None] * len(lines)), most, by=BY if BY in scores else None)
    shown = [lines[place] for place in chosen.places]
    findings: list[list[Finding]] = [[] for _ in shown]
    labeler = ""
    try:
        findings, labeler = labelled(
            registry, [(each.reference, each.prediction) for each in shown]
        )
    except UserError as error:
        notes.append(f"Observations cannot be told: {error}")
    cards = [
        _card(line, why, {name: of[place] for name, of in scores.items()}, own, labeler != "")
        for line, why, place, own in zip(shown, chosen.why, chosen.places, findings, strict=True)
    ]
    possible = (*SCORES, LABELS, CONFIDENCE, LOGPROB)
    names = [name for name in possible if any(name in card.scores for card in cards)]
    return Browser(cards, len(lines), chosen.how, names, labeler, notes)


def within(browser: Browser, most: int) -> Browser:
    """Return it, or as many of its studies as take at most `most` characters of a page."""
    weights = [card.weight for card in browser.cards]
    if sum(weights) <= most:
        return browser
    values = [card.scores.get(BY) for card in browser.cards]
    by = BY if BY in browser.scores else None
    fewer = int(len(weights) * most / sum(weights))
    chosen = choose(values, fewer, by=by)
    while sum(weights[at] for at in chosen.places) > most:
        fewer -= 1
        chosen = choose(values, fewer, by=by)
    how = (
        f"{fewer:,} of {browser.total:,} studies are shown: {len(browser.cards):,} would have made "
        f"the page larger than {most / 1e6:.0f} MB. {chosen.how}"
    )
    cards = [
        replace(browser.cards[place], why=why)
        for place, why in zip(chosen.places, chosen.why, strict=True)
    ]
    return replace(browser, cards=cards, how=how)


def _scores(lines: Sequence[Line], registry: Registry) -> dict[str, list[float | None]]:
    """Score each study by itself, with the document frequencies of all of them."""
    scored = [n for n, line in enumerate(lines) if not is_empty(line.reference)]
    if not scored:
        return {}
    pairs = [
        Pair(line.id, line.prediction, line.reference) for line in map(lines.__getitem__, scored)
    ]
    (metric,) = make_named_metrics(
        ["coco"], registry, labeler=None, options=["coco.meteor=false"]
    ).values()
    found = metric.score(pairs)
    scores: dict[str, list[float | None]] = {}
    for name in SCORES:
        if (terms := found.terms.get(name)) is not None:
            values: list[float | None] = [None] * len(lines)
            for n, value in zip(scored, np.asarray(terms.value(terms.rows)), strict=True):
                values[n] = float(value)
            scores[name] = values
    return scores


def _card(
    line: Line,
    why: Why,
    scores: Mapping[str, float | None],
    findings: Sequence[Finding],
    labels: bool,
) -> Card:
    known = {name: value for name, value in scores.items() if value is not None}
    if is_empty(line.reference):
        reference, generated = alone(line.reference), alone(line.prediction)
        findings = ()
    else:
        reference, generated = compare(line.reference, line.prediction)
        if labels:
            known[LABELS] = f1(findings)
    if line.confidence is not None:
        known[CONFIDENCE] = line.confidence
    if line.logprob is not None:
        known[LOGPROB] = line.logprob
    return Card(line, why, reference, generated, known, findings)
