"""What joins the phrases of a sentence: where a finding is, what is said of a place, what it
suggests.
"""

import re
from collections.abc import Sequence
from typing import Final, final

from rrg_knowledge.radgraph_draft import Draft
from rrg_knowledge.radgraph_gaps import Gap, read_gap
from rrg_knowledge.radgraph_phrases import Phrase
from rrg_knowledge.radgraph_tokens import Token
from rrg_knowledge.radgraph_words import ALONE, FINDINGS, SIZES, VAIN

_PARTS_OF: Final = frozenset(
    "aspect aspects portion portions region regions segment segments side sides dome domes part "  # noqa: SIM905
    "border borders margin margins zone zones".split()
)
"""Parts that stand for their whole: "the domes of the diaphragm"."""
_TIPS: Final = frozenset(("tip", "tips"))
_SIGNS: Final = frozenset(
    "streak streaks changes change findings finding sequela sequelae appearance pattern patterns "  # noqa: SIM905
    "evidence foci bands band".split()
)
"""What is a sign of the finding after "of": "streaks of atelectasis"."""
_SHAPES: Final = frozenset(("meniscus", "haze", "haziness"))
"""Signs of the finding before "with": "effusion with a meniscus"."""
_SPREAD: Final = frozenset(
    "edema pneumothorax pneumothoraces effusion effusions failure congestion overload".split()  # noqa: SIM905
)
"""Findings that are not where their sign is: "perihilar haziness … edema"."""
_HAPPENED: Final = frozenset("fractured consolidated collapsed opacified".split())  # noqa: SIM905
"""Adjectives that are findings."""
_DENIES: Final = re.compile(r"\b(?:no|not|without|negative)\b")


@final
class Linker:
    """Joins the phrases of one sentence in its draft, from left to right."""

    def __init__(self, tokens: Sequence[Token], draft: Draft) -> None:
        self._tokens = tokens
        self._draft = draft
        self._names = {token.start: token.text for token in tokens}
        self._subjects: list[int] = []
        """Places that the next adjective is said of."""
        self._targets: list[int] = []
        """Observations that the next place is where they are."""
        self._hosts: list[int] = []
        """Observations that what follows is said of, or suggested by."""
        self._suggested: list[int] = []
        """What suggests the last finding."""
        self._attached: list[int] = []
        """The observations that the last place was given to."""
        self._last: Phrase | None = None

    def link(self, phrases: Sequence[Phrase]) -> None:
        """Add relations between phrases; takes out adjectives that describe nothing."""
        end = 0
        for i, phrase in enumerate(phrases):
            text = " ".join(token.text for token in self._tokens[end : phrase.first])
            gap = read_gap(text, phrase, begins=self._last is None)
            if gap == "break":
                self._forget()
            if gap == "touch" and self._ends_in_places(phrases[i:]):
                gap = "at"  # "changes, thoracic spine", as a rule of cleaning leaves it
            match phrase.kind:
                case "place":
                    self._link_place(phrase, gap)
                case "finding":
                    self._link_finding(phrase, gap, text)
                case "quality":
                    self._link_quality(phrase, gap, text)
            end = phrase.last + 1
            if phrase.head in self._draft.nodes:
                self._last = phrase

    def _forget(self) -> None:
        self._subjects, self._targets, self._hosts = [], [], []
        self._suggested, self._attached = [], []

    def _ends_in_places(self, phrases: Sequence[Phrase]) -> bool:
        """Tell whether nothing but places follows a finding that has none."""
        last = self._last
        if last is None or last.kind != "finding" or self._draft.places_of(last.head):
            return False
        return all(phrase.kind == "place" and phrase.quality is None for phrase in phrases)

    def _link_place(self, phrase: Phrase, gap: Gap) -> None:
        last, head = self._last, phrase.head
        name = self._names[head]
        bare = name in SIZES and phrase.places == [head] and not self._qualified(phrase)
        if bare and phrase.quality is not None and gap == "verb" and self._subjects:
            self._say_size(phrase.quality, head)
        elif bare and gap == "at":
            if self._subjects:
                self._draft.relate(head, "modify", self._subjects[-1])
            else:  # "increase in size"
                self._draft.drop(head)
        elif gap == "of" and last is not None and last.kind == "place":
            parts = [key for key in self._subjects if self._names[key] in SIZES]
            for part in dict.fromkeys([*parts, last.head]):
                self._draft.relate(part, "modify", head)
                if self._names[part] in _PARTS_OF | SIZES:
                    self._replace(part, head)
        elif gap == "join" and last is not None and last.kind == "place":
            self._join_place(last, phrase)
        elif name in ALONE and (known := self._places_of(self._targets) or self._subjects):
            self._draft.relate(head, "modify", known[-1])
        elif (gap in ("at", "of") or name in ALONE) and self._targets and phrase.quality is None:
            for target in self._targets:
                for place in phrase.places:
                    self._draft.relate(target, "located_at", place)
            self._attached = list(self._targets)
        else:
            own = [] if phrase.quality is None else [phrase.quality]
            if own and gap == "join" and last is not None and self._is_free(last):
                for place in phrase.places:  # "tortuous and ectatic aorta"
                    self._draft.relate(last.head, "located_at", place)
            # "septal lines and cephalized vessels indicate": signs side by side
            beside = self._hosts if own and gap == "join" else []
            self._subjects, self._targets, self._hosts = list(phrase.places), own, [*beside, *own]
            self._attached, self._suggested = [], []

    def _places_of(self, observations: Sequence[int]) -> list[int]:
        return [place for key in observations for place in self._draft.places_of(key)]

    def _qualified(self, phrase: Phrase) -> list[int]:
        """Return what modifies a place."""
        nodes = self._draft.nodes.items()
        return [key for key, node in nodes if ("modify", phrase.head) in node.relations]

    def _say_size(self, quality: int, size: int) -> None:
        """Let "the heart is normal size" speak of the heart."""
        self._draft.nodes[quality].relations.clear()
        for place in self._subjects:
            self._draft.relate(quality, "located_at", place)
        self._draft.relate(size, "modify", self._subjects[-1])
        self._targets = self._hosts = [quality]

    def _is_free(self, phrase: Phrase) -> bool:
        return phrase.kind == "quality" and not self._draft.nodes[phrase.head].relations

    def _join_place(self, last: Phrase, phrase: Phrase) -> None:
        if self._names[phrase.head] in SIZES and last.head not in self._subjects:
            for relation, to in self._draft.nodes[last.head].relations:  # "in size and contour"
                self._draft.relate(phrase.head, relation, to)
            return
        if phrase.quality is None:
            for observation in self._attached:
                self._draft.relate(observation, "located_at", phrase.head)
        if last.head in self._subjects:
            self._subjects.append(phrase.head)
        if phrase.quality is None:
            phrase.quality = last.quality
            if last.quality is not None:
                self._draft.relate(last.quality, "located_at", phrase.head)
        else:
            self._subjects, self._targets = [phrase.head], [phrase.quality]
            self._hosts = [*self._hosts, phrase.quality]

    def _replace(self, part: int, whole: int) -> None:
        """Let the whole stand where its part stood."""
        for node in self._draft.nodes.values():
            node.relations = [
                (relation, whole if relation == "located_at" and to == part else to)
                for relation, to in node.relations
            ]
        self._subjects = [whole if place == part else place for place in self._subjects]

    def _link_finding(self, phrase: Phrase, gap: Gap, text: str) -> None:
        last, head = self._last, phrase.head
        name = self._names[head]
        before = last.head if last is not None and last.kind != "place" else None
        if gap == "suggests" and self._hosts:
            self._suggest(self._hosts, phrase)
            self._targets = [head]
        elif gap == "join" and self._suggested and not _DENIES.search(text):
            self._suggest(self._suggested, phrase)
            self._targets = [head]
        elif name in _TIPS and before is not None and gap in ("touch", "with"):
            self._draft.relate(head, "modify", before)
            self._targets = self._hosts = [head]
        elif gap == "of" and before is not None and last is not None and last.kind == "finding":
            self._link_of(before, phrase)
        elif gap == "with" and self._shares(text):
            self._link_with(phrase)
        elif gap == "verb" and self._subjects and not phrase.places:
            for place in self._subjects:
                self._draft.relate(head, "located_at", place)
            self._targets = self._hosts = [head]
        elif gap == "join" and before is not None and not self._draft.places_of(before):
            denied = _DENIES.search(text)
            self._targets = [head] if denied else [*self._targets, head]
            self._hosts = [*self._hosts, head]
        else:
            self._hosts = [*self._hosts, head] if gap == "join" else [head]
            self._targets = [head]
        if gap not in ("suggests", "join"):
            self._suggested = []

    def _suggest(self, signs: Sequence[int], phrase: Phrase) -> None:
        for sign in signs:
            self._draft.relate(sign, "suggestive_of", phrase.head)
        if not phrase.places and self._names[phrase.head] not in _SPREAD:
            for sign in signs[:1]:
                for place in self._draft.places_of(sign):
                    self._draft.relate(phrase.head, "located_at", place)
        self._suggested = list(signs)

    def _link_of(self, before: int, phrase: Phrase) -> None:
        head = phrase.head
        if self._names[before] in _TIPS:
            self._draft.relate(before, "modify", head)
            self._targets = self._hosts = [before]
        elif self._names[before] in _SIGNS:
            self._suggest([before], phrase)
            self._targets, self._hosts = [before, head], [before]
        else:
            self._draft.relate(before, "modify", head)
            self._targets = self._hosts = [head]

    def _shares(self, text: str) -> bool:
        """Tell whether what "with" brings belongs to the finding before it.

        Not so in "clear with no effusion", "low volumes with opacities".
        """
        if not self._hosts or _DENIES.search(text):
            return False
        name = self._names[self._hosts[-1]]
        return name in FINDINGS or name in _HAPPENED

    def _link_with(self, phrase: Phrase) -> None:
        host, head = self._hosts[-1], phrase.head
        if self._names[head] in _SHAPES:
            self._draft.relate(head, "suggestive_of", host)
            return
        if not phrase.places:
            for place in self._draft.places_of(host):
                self._draft.relate(head, "located_at", place)
        self._targets = [*self._hosts, head]

    def _link_quality(self, phrase: Phrase, gap: Gap, text: str) -> None:
        last, head = self._last, phrase.head
        if self._names[head].endswith(("_mm", "_cm")):
            if self._hosts:
                self._draft.relate(head, "modify", self._hosts[-1])
            else:
                self._draft.drop(head)
        elif gap == "join" and last is not None and last.kind == "quality":
            for relation, to in self._draft.nodes[last.head].relations:
                self._draft.relate(head, relation, to)
            self._hosts = [*self._hosts, head]
        elif self._subjects and gap != "at":
            for place in self._subjects:
                self._draft.relate(head, "located_at", place)
            self._targets = self._hosts = [head]
        elif self._hosts and gap not in ("of", "with", "join") and "otherwise" not in text:
            self._draft.relate(head, "modify", self._hosts[0])
        elif self._names[head] in VAIN:
            self._draft.drop(head)
        else:
            self._targets = self._hosts = [head]
