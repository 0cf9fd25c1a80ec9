"""Left and right that contradict each other inside a report.

A report is read sentence by sentence: which finding, on which side, affirmed or denied. What is
told is only what cannot both be so, since a finding on the left and another on the right is no
contradiction, and most reports with two sides are in order. The rules read English, raw or
cleaned; how often they are right: docs/predict.md.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

from rrgcore.prediction.priors import sentences

Side = Literal["left", "right"]
Value = Literal["affirmed", "denied", "open"]

FINDINGS: Final[Mapping[str, str]] = {
    "pneumothorax": r"(?:hydro)?pneumothora(?:x|ces)",
    "pleural effusion": r"(?:pleural )?effusions?|pleural fluid|hemothorax|hydrothorax",
    "pleural thickening": r"pleural thickening|pleural plaques?",
    "consolidation": r"consolidations?",
    "pneumonia": r"(?:broncho)?pneumonia",
    "atelectasis": r"atelectas[ie]s|atelectatic changes?",
    "opacity": r"(?:opacit(?:y|ies)|opacification|infiltrates?|airspace disease)",
    "nodule": r"nodul(?:es?|ar densit(?:y|ies)|ar opacit(?:y|ies))",
    "mass": r"mass(?:es)?",
    "granuloma": r"granulomas?",
    "scarring": r"scar(?:s|ring)?",
    "fracture": r"fractures?",
    "edema": r"edema",
}
"""What is looked for, by the name that a warning gives it."""
IN_THE_LUNG: Final = ("consolidation", "pneumonia", "atelectasis", "opacity", "nodule", "mass")
"""What a lung that is clear does not have."""
ONE: Final = ("pneumothorax", "pleural effusion", "pneumonia", "mass", "edema")
"""What a report that says "the" speaks of as one: of opacities or nodules there may be others."""

_BOTH: Final = r"bilateral(?:ly)?|both|bi-?basilar|bi-?basal|bi-?apical|either"
_ONE: Final = r"left|right|left-sided|right-sided|l[ul]l|r[uml]l"
_SIDE: Final = re.compile(rf"\b(?:(?P<both>{_BOTH})|(?P<one>{_ONE}))\b(?! ventric| atri| heart)")
_FINDING: Final = re.compile(
    "|".join(rf"(?P<f{i}>\b(?:{words})\b)" for i, words in enumerate(FINDINGS.values()))
)
_NAMES: Final = tuple(FINDINGS)

_DENIED: Final = re.compile(
    r"\b(?:no|not|without|negative for|free of|absence of|rather than|(?P<gone>resolved|cleared|"
    r"removed|resolution of|no longer))\b"
)
_GONE: Final = re.compile(r"\b(?:resolved|cleared|excluded|no longer|not seen|removed)\b")
_LIMITED: Final = re.compile(
    r"\b(?:large|larger|significant|siz(?:e)?able|other|additional|further|new|residual|recurrent|"
    r"tension|loculated|acute|displaced|suspicious|focal|discrete|definite|obvious|gross|"
    r"increas\w*|enlarging|underlying|superimposed|associated|layering|dominant|frank|overt|more|"
    r"moderate|massive|lobar|confluent|evidence|convincing|measurable|visible|change|changes|"
    r"interval|progression|worsening|remaining|else|right greater|left greater|non-?calcified|"
    r"calcified|pulmonary|spiculated|active|dense|infectious|cause|source|rib|x{3,}|_+)\b"
)
"""What makes a denial less than one: no large effusion leaves room for a small one."""
_OPEN: Final = re.compile(
    r"\b(?:possibl[ey]|probabl[ey]|likely|may|might|could|question\w*|suspect\w*|versus|vs|cannot|"
    r"suggest\w*|if|exclude\w*|rule out|concern\w*|potential\w*|previous\w*|prior|history|"
    r"healed|remote|old|chronic)\b"
)
_CLAUSE: Final = re.compile(
    r",|\b(?:but|while|whereas|although|though|however|with|which|and there|and no|except|"
    r"as well as|in addition|compared|than|relative to)\b"
)
_JOINED: Final = re.compile(
    r"[,/&()]|\b(?:and|or|with|than|but|while|to|from|as|versus|vs|also|plus|greater|more|less|"
    r"worse|larger|smaller|tip|end\w*|terminat\w*|extend\w*|cross\w*|shift\w*|deviat\w*|displac\w*|"
    r"obscur\w*|silhouett\w*|behind|near|adjacent|which|there|bilateral\w*|both|of)\b"
)
"""What may stand between two sides that are meant to be two."""
_PLACE: Final = re.compile(
    r"\b(?:on|in|at|within|involving|along|over|overlying) the (?:\w+ ){0,2}?(?P<side>left|right)\b"
    r"(?! lateral| oblique| decubitus| view| atri| ventric| heart| anterior oblique)"
)
_IMPOSSIBLE: Final = re.compile(
    r"\bleft (?:middle lobe|minor fissure|horizontal fissure)\b|\bright lingul\w*"
)
_CLEAR: Final = re.compile(
    r"\b(?P<side>left|right) lung(?: field)?(?: is| appears| remains)? (?:completely |entirely )?"
    r"clear\b(?! of)"
)


@final
@dataclass(frozen=True, slots=True)
class Statement:
    """What a sentence says of one finding."""

    finding: str
    sides: frozenset[Side]
    """Empty where it names none."""
    word: str
    """How what the sentence calls it begins."""
    value: Value
    limited: bool
    """Whether a denial leaves room: "no large", "no other"."""
    text: str
    """The sentence."""


def contradictions(report: str) -> list[str]:
    """Return a sentence for each contradiction of sides in a report."""
    texts = [sentence.lower() for sentence in sentences(report)]
    said = [statement for text in texts for statement in statements(text)]
    found = [
        *_denied_and_affirmed(said),
        *(one for text in texts for one in _two_sides(text)),
        *_moved(texts),
        *(f"says “{m[0]}”, which there is not" for t in texts for m in _IMPOSSIBLE.finditer(t)),
        *_clear_and_not(texts, said),
    ]
    return list(dict.fromkeys(found))


def statements(sentence: str) -> Iterator[Statement]:
    """Read a sentence in lower case: each finding with the sides that are said of it."""
    for clause in _clauses(sentence):
        found = list(_FINDING.finditer(clause))
        for at, match in enumerate(found):
            start = found[at - 1].end() if at else 0
            end = found[at + 1].start() if at + 1 < len(found) else len(clause)
            before, after = clause[start : match.start()], clause[match.end() : end]
            own = _sides(before) or _sides(after)
            # "right effusion and atelectasis": the side before holds for what is joined to it
            joined = at and re.fullmatch(r"[\w -]{0,20}\b(?:and|or) (?:[\w-]+ ){0,2}", before)
            if not own and joined:
                own = _sides(clause[: found[at - 1].start()])
            denial = _DENIED.search(clause[: match.start()])
            gone = _GONE.search(after) or (denial and denial["gone"])
            value: Value = "affirmed"
            if denial or gone:
                value = "denied"
            elif _OPEN.search(clause) or re.search(r"\bor\b", clause):
                value = "open"
            between = clause[denial.end() : match.start()] if denial else ""
            limited = bool(gone or _LIMITED.search(between) or _OPEN.search(after))
            yield Statement(_name(match), own, match[0].split()[-1][:6], value, limited, sentence)


def _clauses(sentence: str) -> Iterator[str]:
    yield from (part for part in _CLAUSE.split(sentence) if part.strip())


def _name(match: re.Match[str]) -> str:
    assert match.lastgroup is not None, "every alternative has a name"
    return _NAMES[int(match.lastgroup[1:])]


def _sides(text: str) -> frozenset[Side]:
    found: set[Side] = set()
    for match in _SIDE.finditer(text):
        if match["both"]:
            return frozenset(("left", "right"))
        found.add(_side(match["one"]))
    return frozenset(found)


def _side(word: str) -> Side:
    return "left" if word.startswith("l") else "right"


def _denied_and_affirmed(said: Sequence[Statement]) -> Iterator[str]:
    """Find what is affirmed on a side, and denied there, or altogether."""
    for yes in said:
        if yes.value != "affirmed" or not yes.sides:
            continue
        for no in said:
            same = no.value == "denied" and not no.limited and no.finding == yes.finding
            if not same or no.text == yes.text:
                continue
            # none on both sides may mean not on both at once
            if len(no.sides) == 1 and no.sides <= yes.sides:
                (side,) = no.sides
                yield f"says “{yes.text}” and “{no.text}”: {yes.finding} on the {side}, and none"
            elif not no.sides and no.word == yes.word:
                where = " and ".join(sorted(yes.sides))
                yield f"says “{yes.text}” and “{no.text}”: {yes.finding} on the {where}, and none"


def _two_sides(sentence: str) -> Iterator[str]:
    """Find a finding that one clause puts on both sides without saying that there are two."""
    for match in _FINDING.finditer(sentence):
        place = _PLACE.search(sentence, match.end())
        if place is None or _FINDING.search(sentence, match.end(), place.start()):
            continue
        before = sentence[: match.start()]
        sides = [m for m in _SIDE.finditer(before) if m["one"]]
        if sides:
            first, between = _side(sides[-1]["one"]), before[sides[-1].end() :]
            between += sentence[match.end() : place.start()]
        else:
            inner = _PLACE.search(sentence, place.end())
            if inner is None or _FINDING.search(sentence, place.end(), inner.start()):
                continue
            first, between = _side(place["side"]), sentence[place.end() : inner.start()]
            place = inner
        second = _side(place["side"])
        if first != second and not _JOINED.search(between) and not _SIDE.search(between):
            yield f"says “{sentence}”: {_name(match)} on the {first}, and on the {second}"


def _moved(texts: Sequence[str]) -> Iterator[str]:
    """Find a finding that was on one side, and is taken up again on the other."""
    where: dict[str, set[Side]] = {}
    for text in texts:
        said = list(statements(text))
        denied = {statement.finding for statement in said if statement.value == "denied"}
        for name in (name for name in ONE if name not in denied):  # what is gone was there
            words = FINDINGS[name]
            known, side = where.get(name, set()), _taken_up(text, words)
            if side is not None and len(known) == 1 and side not in known:
                (other,) = known
                yield f"says “{text}”: {name} on the {side}, and before on the {other}"
        for statement in said:
            if statement.value != "denied":
                sides = statement.sides or frozenset(("left", "right"))
                where.setdefault(statement.finding, set()).update(sides)


def _taken_up(text: str, words: str) -> Side | None:
    """Return the side on which a sentence puts "the effusion" of one before, if it does."""
    again = re.search(rf"\b(?:the|this|that|these|those|said) (?:{words})\b", text)
    if again is None:
        return None
    place = _PLACE.search(text, again.end(), again.end() + 60)
    if place is None or _sides(text[: place.start()]):
        return None
    joined = _JOINED.search(text, again.end(), place.start())
    return None if joined else _side(place["side"])


def _clear_and_not(texts: Sequence[str], said: Sequence[Statement]) -> Iterator[str]:
    """Find a lung that is clear, and has something in it."""
    for text in texts:
        if not (clear := _CLEAR.search(text)) or re.search(r"\b(?:otherwise|remain\w*)\b", text):
            continue
        side = _side(clear["side"])
        for yes in said:
            in_it = yes.finding in IN_THE_LUNG and yes.value == "affirmed" and side in yes.sides
            if in_it and yes.text != text:
                yield f"says “{clear[0]}” and “{yes.text}”"
