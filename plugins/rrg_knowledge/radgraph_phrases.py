"""Words of a sentence to phrases: a place, a finding where it is, an adjective said of either."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, final

from rrg_knowledge.radgraph_draft import Draft
from rrg_knowledge.radgraph_tokens import Token
from rrg_knowledge.radgraph_words import ALONE, DEVICES, SIZES, STRICT, Part

Kind = Literal["place", "finding", "quality"]

_LATE: Final = SIZES - {"contour"} | {"volume", "volumes"}
"""Of the place before it, not its head: "heart size"."""
_BARE: Final = frozenset("border borders margin margins contour contours".split())  # noqa: SIM905
"""No place by itself: "the aorta has smooth borders"."""
_WHICH: Final = frozenset("left right bilateral both left-sided right-sided".split())  # noqa: SIM905
_FIRST_OF_TWO: Final = frozenset(
    "air gas volume compression pacemaker callus fluid bone mass scar".split()  # noqa: SIM905
)
_SECOND_OF_TWO: Final = frozenset(
    "formation generator loss disease diseases process processes change changes lesion lesions "  # noqa: SIM905
    "fragments deformity deformities trapping tubing placement pattern".split()
)
"""Nouns that make the noun before them an adjective: "callus formation"."""
_PREPOSITIONS: Final = frozenset("of in at over within along on to near".split())  # noqa: SIM905


@final
@dataclass(slots=True)
class Phrase:
    """What one run of known words says. Numbers are keys of the draft."""

    kind: Kind
    head: int
    first: int
    """Its first and last token."""
    last: int
    places: list[int] = field(default_factory=list)
    """Where a finding is, or what an adjective is said of."""
    quality: int | None = None
    """What stands before a place and is said of it: "enlarged heart"."""


@final
class PhraseReader:
    """Reads the runs of known words of one sentence into a draft."""

    def __init__(self, tokens: Sequence[Token], draft: Draft) -> None:
        self._tokens = tokens
        self._draft = draft
        self._phrases: list[Phrase] = []
        self._places: list[int] = []
        self._before: list[int] = []
        self._after: list[int] = []

    def read(self) -> list[Phrase]:
        """Return the phrases, from left to right."""
        for i, token in enumerate(self._tokens):
            match token.part:
                case None:
                    self._close()
                case Part.SILENT:
                    pass
                case Part.SIDE if token.text in ALONE:
                    self._close()
                    self._places = [i]
                    self._close()
                case Part.SIDE | Part.REGION | Part.PLACE:
                    self._take_place(i)
                case Part.FINDING:
                    self._take_finding(i)
                case _:
                    (self._after if self._places else self._before).append(i)
                    if token.text == "clear" and not self._place_follows(i):
                        self._close()  # "clear airspace disease" has none
        self._close()
        return self._phrases

    def _place_follows(self, i: int) -> bool:
        parts = [token.part for token in self._tokens[i + 1 : i + 2]]
        return bool(parts) and parts[0] in (Part.PLACE, Part.REGION, Part.SIDE)

    def _take_place(self, i: int) -> None:
        told = any(self._tokens[at].part is Part.QUALITY for at in self._after)
        if told and not self._is_side(self._places):
            ahead = self._next_adjective()
            self._close()  # "heart normal lungs clear"
            self._before = ahead
        self._before += self._after
        self._after = []
        self._places.append(i)

    def _next_adjective(self) -> list[int]:
        """Take away the last of several adjectives: "heart enlarged stable mediastinum"."""
        told = [i for i in self._after if self._tokens[i].part is Part.QUALITY]
        if len(told) < 2:
            if not self._is_behind_preposition():
                return []
            told = [-1, *told]  # "changes of the spine clear lungs"
        ahead = [i for i in self._after if i > told[-2]]
        self._after = [i for i in self._after if i <= told[-2]]
        return ahead

    def _is_behind_preposition(self) -> bool:
        first = min([*self._before, *self._places])
        return any(token.text in _PREPOSITIONS for token in self._tokens[max(first - 2, 0) : first])

    def _take_finding(self, i: int) -> None:
        text = self._tokens[i].text
        after = self._tokens[i + 1] if i + 1 < len(self._tokens) else None
        if (
            after is not None
            and after.part is Part.FINDING
            and (text in _FIRST_OF_TWO or after.text in _SECOND_OF_TWO)
        ):
            (self._after if self._places else self._before).append(i)
            return
        if text in DEVICES:
            self._take_device_words()
        head = self._observe(i)
        self._describe([*self._before, *self._after], head)
        places = self._name_places()
        for place in places:
            self._draft.relate(head, "located_at", place)
        self._add("finding", head, i, places=places)

    def _take_device_words(self) -> None:
        """Make "chest" the tube's where the side stands for itself: "left-sided chest tube"."""
        sided = [i for i in self._places if self._tokens[i].text.endswith("sided")]
        if sided:
            self._before += [i for i in self._places if i > sided[0]]
            self._before.sort()
            self._places = [i for i in self._places if i <= sided[0]]

    def _close(self) -> None:
        """End a run that no finding ended."""
        if self._places:
            self._close_places()
        elif any(self._tokens[i].part is not Part.DEGREE for i in self._before):
            while self._tokens[self._before[-1]].part is Part.DEGREE:
                self._before.pop()
            head = self._observe(self._before[-1])
            self._describe(self._before[:-1], head)
            self._add("quality", head, self._before[-1])
        self._places, self._before, self._after = [], [], []

    def _close_places(self) -> None:
        texts = {self._tokens[i].text for i in self._places}
        if texts <= _BARE and self._before:
            self._places = []  # "smooth borders"
            self._close()
            return
        if texts <= _LATE and not self._before and not self._after and not self._follows_in():
            return
        last = self._places[-1]
        before = [i for i in self._before if self._tokens[i].part is not Part.DEGREE]
        after = self._after
        quality = None
        places = self._name_places()
        if before and self._tokens[before[-1]].text not in STRICT:
            quality = self._observe(before[-1])
            self._describe([i for i in self._before if i < before[-1]], quality)
            for place in places:
                self._draft.relate(quality, "located_at", place)
        first = min(self._before[0] if self._before else last, *self._places)
        head = places[-1]
        self._phrases.append(Phrase("place", head, first, last, places, quality))
        while after and self._tokens[after[-1]].part is Part.DEGREE:
            after = after[:-1]
        if after:
            told = self._observe(after[-1])
            self._describe(after[:-1], told)
            self._before = after
            self._places = []
            self._add("quality", told, after[-1])

    def _follows_in(self) -> bool:
        first = self._places[0]
        return first > 0 and self._tokens[first - 1].text in ("in", "for", "and", ",", "or")

    def _add(self, kind: Kind, head: int, last: int, *, places: Sequence[int] = ()) -> None:
        first = min([last, *self._before, *self._after, *self._places])
        self._phrases.append(Phrase(kind, head, first, last, list(places)))
        self._places, self._before, self._after = [], [], []

    def _is_side(self, places: Sequence[int]) -> bool:
        return all(self._tokens[i].part is Part.SIDE for i in places)

    def _observe(self, i: int) -> int:
        token = self._tokens[i]
        return self._draft.add(token.start, token.end, anatomy=False)

    def _describe(self, qualities: Sequence[int], head: int) -> None:
        """Let adjectives modify a head, and an adverb the adjective behind it."""
        target = head
        for i in reversed(qualities):
            token = self._tokens[i]
            if token.part is Part.DEGREE:
                self._draft.relate(self._observe(i), "modify", target)
            else:
                target = self._observe(i)
                self._draft.relate(target, "modify", head)

    def _is_another(self, before: Token, token: Token) -> bool:
        """Tell whether a word begins another place than the one before it: "right base pleural"."""
        if before.part is not Part.PLACE or token.text in _LATE:
            return False
        plural = before.text.endswith("s") and before.text != "pancreas"
        return plural or token.part is Part.REGION or token.text in _WHICH

    def _is_late(self, i: int) -> bool:
        token = self._tokens[i]
        return token.part is Part.SIDE or token.text in _LATE

    def _name_places(self) -> list[int]:
        """Add the places of a run, and return the head of each."""
        groups: list[list[int]] = []
        for i in self._places:
            token = self._tokens[i]
            if groups and not self._is_another(self._tokens[groups[-1][-1]], token):
                groups[-1].append(i)
            else:
                groups.append([i])
        heads = []
        for group in groups:
            keys = [
                self._draft.add(self._tokens[i].start, self._tokens[i].end, anatomy=True)
                for i in group
            ]
            at = len(group) - 1
            while at and self._is_late(group[at]):
                at -= 1
            if self._is_late(group[at]):
                at = len(group) - 1
            for key in keys:
                if key != keys[at]:
                    self._draft.relate(key, "modify", keys[at])
            heads.append(keys[at])
        return heads
