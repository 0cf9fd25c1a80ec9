"""What is said of a mention: affirmed, denied or left open, by the cues whose scope reaches it.

From the mention, the sentence is read backward to the nearest cue that speaks of what follows, then
forward to the nearest that speaks of what precedes. Both ways end at a verb, at words like "but",
and where a list ends: "no pneumothorax, small effusion" denies one, "no pneumothorax, large
effusion, or edema" all three. Nothing rests on commas alone, because cleaned reports have none.
"""

from collections.abc import Iterator, Sequence
from typing import Final, final

from rrg_knowledge.aggregate import NEGATIVE, POSITIVE, UNCERTAIN
from rrg_knowledge.cues import Cue, find_cues
from rrg_knowledge.sentences import Words

_COORDINATORS: Final = frozenset(("or", "nor"))
_JOINS: Final = frozenset(("or", "nor", "and", ",", "/"))
_BEGINS: Final = frozenset(
    "mild mildly "  # noqa: SIM905  sixty words are better read than counted in quotes
    "minimal minimally moderate moderately small tiny trace slight slightly severe "
    "stable unchanged persistent persisting continued increased increasing decreased decreasing "
    "worsening improving improved interval again redemonstrated left right bilateral bibasilar "
    "basilar biapical lower upper chronic prominent old healed healing low status patchy streaky "
    "multiple scattered several numerous diffuse the this these".split()
)
"""A finding so described is a new one, not one more of a list of what is denied."""
_KEEPS: Final = frozenset(
    "no any of or nor without definite significant "  # noqa: SIM905
    "focal acute large in on at to for a an the over within into suspicious other".split()
)
"""After these words such a description is no beginning: "no small effusion", "in the left lung"."""
_ALTERNATIVES: Final = frozenset(
    "scar scars scarring fibrosis thickening artifact "  # noqa: SIM905
    "granuloma vessel vessels fat crowding changes overlap postsurgical superimposed overlapping "
    "technique".split()
)
"""No observation, but what one may be doubted against: "atelectasis or scar"."""
_PREDICATES: Final = frozenset(
    "enlarged widened dilated displaced shifted elevated clear normal".split()  # noqa: SIM905
)
"""After "not" they speak of one thing alone: "heart not enlarged, effusion present"."""
_DENIALS: Final = frozenset(("no", "not", "without"))
_REACH: Final = 4

_BACKWARD: Final = {
    Cue.CONDITION: None,
    Cue.CANNOT_DENY_NEXT: UNCERTAIN,
    Cue.DENIES_NEXT: NEGATIVE,
    Cue.DENIES_BOTH: NEGATIVE,
    Cue.OPENS_NEXT: UNCERTAIN,
    Cue.OPENS_BOTH: UNCERTAIN,
}
_FORWARD: Final = {
    Cue.CANNOT_SHOW: None,
    Cue.DENIES_LAST: NEGATIVE,
    Cue.DENIES_BOTH: NEGATIVE,
    Cue.OPENS_LAST: UNCERTAIN,
    Cue.OPENS_BOTH: UNCERTAIN,
}


@final
class Scopes:
    """The cues of one sentence, ready to be asked about any stretch of its words."""

    def __init__(self, words: Words, mentions: Sequence[tuple[int, int]] = ()) -> None:
        self._words = words.words
        self._cue_at: list[tuple[int, int, Cue] | None] = [None] * len(self._words)
        self._inside = [False] * len(self._words)
        for start, end in mentions:
            self._inside[start:end] = [True] * (end - start)
        for found in find_cues(words):
            for cue in self._part(found):
                self._cue_at[cue[0] : cue[1]] = [cue] * (cue[1] - cue[0])

    def value(self, start: int, end: int, *, alone: bool = False) -> int | None:
        """Return what is said of the words from `start` to `end`; None where nothing is.

        `alone`: they are no finding of a list, so that nothing beyond a comma or an "and" speaks
        of them.
        """
        before, certain = self._before(start, end)
        if certain:
            return before
        after = self._after(end, alone)
        if after != POSITIVE and before != UNCERTAIN:
            return after
        if after == NEGATIVE:  # "the questionable nodule is not seen"
            return NEGATIVE
        return UNCERTAIN if before == UNCERTAIN or self._is_one_of_two(start, end) else POSITIVE

    def statement_end(self, i: int) -> int:
        """Return the word at which what is said from word `i` on ends."""
        for j in range(i, len(self._words)):
            cue = self._cue_at[j]
            # "are otherwise within normal limits": a word between a verb and what it says
            ends = cue is not None and cue[2] is Cue.ENDS and self._words[j] != "otherwise"
            if ends or self._words[j] in (";", "no", "without"):
                return j
        return len(self._words)

    def _part(self, cue: tuple[int, int, Cue]) -> Iterator[tuple[int, int, Cue]]:
        """Yield the cue; or, where it stretched over a finding, its "no" and what ends its scope.

        "No pneumothorax with improvement in edema" denies one and affirms the other.
        """
        first, after, kind = cue
        inside = [i for i in range(first, after) if self._inside[i]]
        denials = [i for i in range(first, after) if self._words[i] in _DENIALS]
        if inside and denials and kind in (Cue.AFFIRMS_NEXT, Cue.DENIES_LAST):
            yield denials[0], denials[0] + 1, Cue.DENIES_NEXT
            yield inside[-1] + 1, after, Cue.ENDS
        else:
            yield cue

    def _before(self, start: int, end: int) -> tuple[int | None, bool]:
        """Read backward: what is said, and whether nothing that follows can change it."""
        said = POSITIVE
        open_list, after_comma = self._list_goes_on(end), False
        i = start - 1
        while i >= 0:
            cue = self._cue_at[i]
            if cue is None:
                word = self._words[i]
                if word == ";" or (self._begins(i) and not open_list):
                    break
                if word in _COORDINATORS:
                    if after_comma and not open_list:
                        break  # "no pneumothorax or effusion, degenerative changes"
                    open_list = True
                after_comma = after_comma or word == ","
                i -= 1
                continue
            first, after, kind = cue
            if self._words[i] == "not" and after < start and self._words[after] in _PREDICATES:
                break
            if first == 0 and kind is Cue.DENIES_LAST:  # "absent pneumothorax"
                return NEGATIVE, True
            if kind in _BACKWARD:
                return _BACKWARD[kind], kind not in (Cue.OPENS_NEXT, Cue.OPENS_BOTH)
            if kind is Cue.AFFIRMS_NEXT:
                return said, True
            if kind is Cue.SUGGESTS_NEXT:
                said = UNCERTAIN
            elif kind is not Cue.PASSES:
                break
            i = first - 1
        return said, False

    def _begins(self, i: int) -> bool:
        """Tell whether word `i` opens the description of a new finding."""
        if self._words[i] not in _BEGINS or i == 0 or self._words[i - 1] in _KEEPS:
            return False
        return self._words[i - 1] in (",", "and") or self._inside[i - 1]

    def _list_goes_on(self, i: int) -> bool:
        """Tell whether an "or" is to come before the statement ends."""
        for j in range(i, len(self._words)):
            if self._words[j] in _COORDINATORS:
                return True
            if self._words[j] == ";" or self._cue_at[j] is not None:
                return False
        return False

    def _after(self, end: int, alone: bool) -> int | None:
        """Read forward."""
        joined = ended = passed = False
        i = end
        while i < len(self._words):
            cue, word = self._cue_at[i], self._words[i]
            if cue is not None:
                _, after, kind = cue
                if kind is Cue.PASSES:
                    i = after
                    continue
                if passed and kind in (Cue.OPENS_BOTH, Cue.DENIES_BOTH):
                    return POSITIVE
                if ended and self._words[i - 1] != ",":
                    return POSITIVE
                return _FORWARD.get(kind, POSITIVE)
            if word in _JOINS:
                if alone:
                    return POSITIVE
                joined = True
                ended = word == ","  # unless an "and" or "or" shows that the list goes on
                passed = passed or word in (",", "and")
            elif word == ";" or (self._inside[i] and not joined):
                return POSITIVE
            i += 1
        return POSITIVE

    def _is_one_of_two(self, start: int, end: int) -> bool:
        """Tell whether it is affirmed only as "this or that"."""
        for i in range(end, min(end + _REACH, len(self._words))):
            if self._words[i] == "or":
                return self._names_something(i + 1, 1)
            if self._words[i] not in ("and", "/"):
                break
        for i in range(start - 1, max(start - 1 - _REACH, -1), -1):
            if self._words[i] == "or":
                return self._names_something(i - 1, -1)
            if self._words[i] in (",", ";") or self._inside[i]:
                break
        return False

    def _names_something(self, i: int, step: int) -> bool:
        """Tell whether a finding is named within reach of word `i`."""
        for _ in range(_REACH):
            if not 0 <= i < len(self._words) or self._words[i] in (",", ";"):
                return False
            if self._inside[i] or self._words[i] in _ALTERNATIVES:
                return True
            i += step
        return False
