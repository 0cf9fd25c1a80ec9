"""Phrases that compare with an earlier examination, where none was given: the model has learned
them from reports whose writers saw one, and makes them up.

The rules read English, raw or cleaned. A phrase counts where it says that there was something to
compare with; that there was nothing, that a comparison is advised, that two sides of one image
differ, or that a disease or operation is an old one, does not. How often they are right:
docs/predict.md.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

STUDIES: Final = (
    r"(?:stud(?:y|ies)|exam\w*|radiograph\w*|films?|images?|imaging|x-?rays?|x-?x{3,}|x{3,}|"
    r"cts?|scans?|cxrs?|mri|reports?)"
)
_SKIPPED: Final = r"(?:[\w-]+ ){0,3}?"
_VERY: Final = (
    r"(?:(?:not|also|again|slightly|mildly|minimally|significantly|markedly|somewhat|considerably|"
    r"further|partially|completely|largely|nearly|almost|substantially|otherwise|since|now|been|"
    r"clearly|appreciably|subsequently|essentially) )*"
)
_CHANGED: Final = (
    r"(?:changed|increased|decreased|enlarged|improved|worsened|progressed|resolved|cleared|"
    r"developed|grown|diminished|regressed|stabilized|re-?accumulated|re-?expanded)"
)
_DEVICE: Final = (
    r"(?:tubes?|catheters?|lines?|picc|pacemakers?|drains?|wires?|leads?|ports?|devices?|staples?|"
    r"cannulas?|swan|x{3,})"
)
_ONE_IMAGE: Final = (
    r"(?:the |that |those |of |on |its )*(?:left|right|contralateral|opposite|other|rest|remainder|"
    r"adjacent|normal|expected|ap|pa|frontal|lateral|size|thora\w+)\b"
)
"""What a part of the very same image is compared with."""

PHRASES: Final[Sequence[str]] = (
    # a comparison, or an earlier examination
    rf"\bcompar(?:ed|ing|ison) (?:is made )?(?:to|with)\b(?! {_ONE_IMAGE})(?! none\b)",
    r"\bcomparison is made\b(?! (?:to|with) none)",
    rf"\b(?:prior|previous|earlier|preceding|comparison|outside|recent) {_SKIPPED}{STUDIES}\b",
    r"\bold (?:\w+ )?(?:films?|stud(?:y|ies)|exam\w*|radiographs?|images?|x-?rays?)\b",
    r"\b(?:from|since|than|with|to|as|on) (?:the |a |most recent |last |seen |was )*"
    r"(?:prior|previously|previous|before|comparison|last)(?=[.,;:)]|$| and\b| with\b| in\b| of\b)",
    r"\bsince (?:the |that |her |his |most |a |an )*(?:prior|previous|last|comparison|earlier|exam|"
    rf"\d|x{{3,}}|yesterday|(?:\w+ )?{STUDIES}\b)",
    r"\b(?:since|from|than|on) yesterday\b|\b(?:hours?|days?|weeks?|months?|years?) "
    r"(?:ago|earlier|prior)\b",
    r"\b(?:previously|formerly) (?:\w+ly )?(?:seen|noted|described|identified|demonstrated|"
    r"visuali[sz]ed|reported|present|mentioned|questioned|imaged|visible|shown|observed)\b",
    r"\b(?:seen|noted|described|identified|present|demonstrated) previously\b",
    rf"\blast {_SKIPPED}{STUDIES}\b",
    # what is there once more, or still
    r"\bagain\b(?! (?:\w+ )?on (?:the )?(?:lateral|frontal|pa|ap)\b)",
    r"\bre-?(?:demonstrat|identif|visuali[sz])\w*",
    r"\bpersist(?:s|ed|ent|ently|ence|ing)?\b(?! (?:left )?(?:superior vena cava|svc|cough|fever|"
    r"pain|symptom|dyspnea|vomiting|hypox|tachy))",
    r"\bremain(?:s|ed)?\b(?! (?:of|from)\b)",
    r"\bcontinue(?:d|s)?\b(?! (?:to be )?(?:concern|clinical|follow|monitor|suspicion|observ))",
    r"\bno longer\b",
    # what has not changed
    r"\bunchanged\b",
    r"\bstable\b",
    r"\b(?:no|without|little|not) (?:(?:significant|interval|appreciable|substantial|definite|"
    r"obvious|gross|overall|real|much|marked|major|any|apparent|other) )*change\b(?! of)",
    r"(?:^|\b(?:grossly|overall|relatively|essentially|appears?|appearance is) )similar\b"
    r"(?! to (?:the )?(?:left|right|contralateral|opposite|other)\b)",
    r"\bsimilar (?:in \w+ )?(?:to|as|from) (?:the |that |those |on |of |a )*"
    r"(?:prior|previous|earlier|before|comparison|last|x{3,})",
    # what has
    r"\bin (?:the )?interval\b",
    r"(?<!appropriate )(?<!regular )(?<!short )(?<!term )(?<!pr )(?<!qt )(?<!week )(?<!month )"
    r"(?<!year )(?<!time )(?<!dental )\binterval(?:ly)? (?!follow|imaging|radiogr|study|exam)\w+",
    rf"\b(?:has|have|had) {_VERY}{_CHANGED}\b",
    rf"\b{_DEVICE} {_SKIPPED}(?:has|have) (?:\w+ )?been (?:\w+ )?(?:removed|withdrawn|placed|"
    r"repositioned|retracted|advanced|exchanged|pulled|inserted|discontinued)\b",
    r"\b(?:increas|decreas)(?:ed|e|ing) (?:\w+ )?in (?:the )?(?:size|number|extent|conspicuity|"
    r"prominence|volume|degree|density|amount|severity)\b",
    r"\b(?:increasing|decreasing|enlarging|worsening|improving|resolving)\b(?! (?:the )?(?:age|"
    r"inspiration|conspicuity of|visuali))",
    r"\b(?:worsened|improved|improvement)\b",
    r"\b(?:appears?|is|are|slightly|somewhat|mildly|markedly) worse\b"
    r"(?! (?:on|than|in|at|along|within) (?:the )?(?:left|right|that|upper|lower|bases?))",
    r"\bresolved\b|(?<!high )(?<!high-)(?<!to )\bresolution of\b",
    r"^cleared\b",
    r"\b(?:smaller|larger|bigger|more prominent|less prominent|more conspicuous|less conspicuous) "
    r"than (?:it was |was |were |seen |on )*(?:the )?(?:prior|previous|before|last|earlier|x{3,})",
    r"\bnew(?:ly)?\b(?! (?:york|england|zealand|orleans|jersey|mexico))",
    r"\b(?:is|are) now\b|\bnow (?:seen|measures|appears?|present|extends?|has|with)\b",
)  # fmt: skip
"""In the order in which a report is searched."""

NOTHING_THERE: Final = re.compile(
    r"\bno (?:[\w-]+ ){0,3}?(?:prior|previous|comparison|earlier|old|recent)s?\b"
    r"(?=.*\b(?:available|for comparison|on file|provided|at this time|in the)\b|[^.]{0,30}$)|"
    r"\bwithout (?:\w+ )?(?:prior|previous|comparison)s?\b|\bcomparisons?\s*:|"
    r"\b(?:not|un) ?available for comparison\b|\bcomparison is made (?:to|with) none\b",
    re.IGNORECASE,
)
"""A sentence that says that there is nothing to compare with."""
ADVICE: Final = re.compile(
    r"\b(?:recommend\w*|consider(?:ed|ation)?|advis\w+|correlat\w+|follow(?:ing|s|ed)?[- ]?up\w*|"
    r"(?:is|are|be) suggested|suggest (?:follow|clinical|comparison|correlation|repeat)|should be|"
    r"may be (?:helpful|useful|of (?:benefit|value))|(?:would|could) be (?:helpful|useful|obtained|"
    r"recommended|of)|if (?:the patient|there|clinical\w*|not|prior|previous|available|symptoms|"
    r"concern|pain|further|old|any)|until|repeat|"
    r"to (?:document|ensure|confirm|assess|exclude|establish|evaluate|verify))\b",
    re.IGNORECASE,
)
"""From here on a sentence says what is to be done."""
ADVISED: Final = re.compile(r"compar|prior|previous|earlier|old|outside|recent", re.IGNORECASE)
"""What is advised may stand before the advice: "comparison with prior films is recommended"."""

_SENTENCE: Final = re.compile(r"(?:[^.;:\n]|(?<=\d)\.(?=\d)|:(?=\d))+")
_PHRASES: Final = tuple(re.compile(phrase, re.IGNORECASE) for phrase in PHRASES)


def prior_phrases(report: str) -> list[str]:
    """Return the phrases of a report that compare with an earlier examination, as they stand in it;
    of phrases that overlap the first.
    """
    return [phrase for sentence in sentences(report) for phrase in _in(sentence)]


def sentences(text: str) -> Iterator[str]:
    """Yield sentences, cut at colons and semicolons too, their white space single."""
    for found in _SENTENCE.finditer(text):
        if sentence := " ".join(found[0].split()):
            yield sentence


def _in(sentence: str) -> Iterator[str]:
    if NOTHING_THERE.search(sentence):
        return
    advice = ADVICE.search(sentence)
    end = 0
    found = sorted((m.start(), -m.end()) for phrase in _PHRASES for m in phrase.finditer(sentence))
    for start, stop in found:
        phrase = sentence[start:-stop]
        advised = advice is not None and (start >= advice.start() or ADVISED.match(phrase))
        if start >= end and not advised:
            end = -stop
            yield phrase.strip()
