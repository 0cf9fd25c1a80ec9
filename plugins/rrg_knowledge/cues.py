"""The words that deny, leave open, or end what was said before them."""

from enum import Enum, auto
from typing import Final, final

from rrg_knowledge.phrases import Phrases
from rrg_knowledge.sentences import Words


@final
class Cue(Enum):
    """What a word, or the words of a phrase, does to the mentions around it."""

    DENIES_NEXT = auto()
    """no, without, free of"""
    DENIES_LAST = auto()
    """is not seen, has resolved"""
    DENIES_BOTH = auto()
    """resolved"""
    OPENS_NEXT = auto()
    """possible, may represent; a new statement: what was denied before ends here"""
    SUGGESTS_NEXT = auto()
    """suspicious for, to suggest: denied together with what it suggests"""
    OPENS_LAST = auto()
    """is possible, cannot be excluded"""
    OPENS_BOTH = auto()
    """versus"""
    CANNOT_DENY_NEXT = auto()
    """cannot exclude"""
    CONDITION = auto()
    """if there is concern for: nothing is said of what follows"""
    ENDS = auto()
    """but, which, with; "not seen on the prior" and other words that only look like a denial"""
    AFFIRMS_NEXT = auto()
    """no change in: what follows is there, though it looks denied"""
    CANNOT_SHOW = auto()
    """may not be demonstrated: nothing is said of what precedes"""
    VERB = auto()
    """is, has, shows: a statement made of what stands before it"""
    PASSES = auto()
    """consistent with: neither denies nor ends anything"""


_SEEN: Final = (
    "(seen|identified|visualized|visualised|visible|present|evident|apparent|appreciated|noted|"
    "demonstrated|detected|found|observed|suspected|shown|recognized|discernible)"
)
_BE: Final = "(is|are|was|were|be|been|has_been|have_been)"
_MEAN: Final = "(be|represent|reflect|indicate|suggest|have|relate|correspond|contain|mean|signify)"
_CANNOT: Final = (
    "(cannot|can_not|cant|can_t|could_not|couldnt|couldn_t|does_not|doesnt|doesn_t|do_not|dont|"
    "don_t|unable_to|difficult_to|hard_to|impossible_to|not)"
)
_NEARLY: Final = "(partially|partly|incompletely|nearly|almost|not)"
_TO: Final = "(to|with)"
_VIEW: Final = "(lateral|frontal|prior|previous|pa|ap|comparison|earlier|outside|other|this_view)"

PHRASES: Final = {
    Cue.DENIES_NEXT: (
        "(no|not|without|w_o|never|neither|nor|denies|denied|none)",
        "(neither|no) ~3 (shows|demonstrates|reveals|contains)",
        "nothing",
        "(negative|unremarkable) for",
        "; negative for",
        "(free|clear|clearing|cleared|absence|lack|devoid|absent) of",
        "clear (focal|acute|airspace|infiltrat*|consolidat*)",
        "(resolution|removal) of",
        "rather than",
        "(instead|exclusive) of",
        "(exclude|excludes|excluding|excluded)",
        "(ruled|rules) out",
        "(do|does|did) not ~1 (show|demonstrate|reveal|have|see|suggest|identify)",
    ),
    Cue.DENIES_LAST: (
        f"{_BE}? not ~2 {_SEEN}",
        f"{_BE}? (no|not_any) longer ~2 {_SEEN}?",
        f"{_BE}? (absent|negative)",
        "; (none|absent|negative|not_seen)",
        "(now|since) (resolved|cleared|gone|normalized|normalised)",
        "(has|have) (now|since|essentially|completely)? (resolved|cleared|normalized|normalised)",
        f"{_BE} ~1 (resolved|cleared|removed|excluded|ruled_out|normalized|normalised)",
    ),
    Cue.DENIES_BOTH: ("(resolved|removed)",),
    Cue.OPENS_NEXT: (
        "(possible|possibly|probable|probably|perhaps|maybe|presumed|presumably|questionable)",
        "(likely|suspected|suspect|suspicion|equivocal|question|questioned|potential|potentially)",
        "(may|might|could)",
        f"(may|might|could|would|can) ~2 {_MEAN}",
        "(may|might|could|would|can) ~2 be ~1 (secondary|due|related|attributable|compatible) "
        f"{_TO}",
        "(possibly|probably|likely|perhaps) ~1 (secondary|due|related|representing|reflecting) to?",
        "differential ~3 (include|includes|of|for|is)?",
        "(consideration|considerations) ~2 (include|includes)",
        "xxxx (representing|reflecting|represents|represent|reflects|reflect)",
        "borderline",
        "(favor|favors|favored|favoring|favour|favoured)",
        "(consider|considered|considering|differential|either|unclear|uncertain)",
        "(correlate|correlation|evaluate|evaluated|evaluation|assess|assessment) ~3 for",
        "rule out",
        "r / o",
        "to exclude",
    ),
    Cue.SUGGESTS_NEXT: (
        "(suggest|suggests|suggesting|suggestive|suggested|suggestion)",
        "(suspicious|suspicion|worrisome|worry|concern|concerning|question) (for|of|about)?",
        "compatible with?",
        "indicative",
        "probability of",
    ),
    Cue.OPENS_LAST: (
        f"{_BE} ~1 (unlikely|doubtful|questioned|considered|equivocal)",
        "(is|are|remains|remain|as) ~2 (consideration|considerations|concern|possibility)",
        "(in|on) the differential",
        f"{_BE}? never ~3 (excluded|ruled_out)",
        "(could|can) not be ~2 (excluded|ruled_out)",
        f"{_BE}? {_CANNOT} ~3 (excluded|ruled_out)",
    ),
    Cue.OPENS_BOTH: (
        "(versus|vs|query)",
        "(less|more|not|felt|thought) (likely|unlikely)",
        "(unlikely|doubtful)",
        f"{_BE} ~1 (possible|probable|likely|suspected|questionable|suggested)",
    ),
    Cue.CANNOT_DENY_NEXT: (
        f"{_CANNOT} ~2 (exclude|rule_out|excluding)",
        "(not|without) ~1 (excluding|ruling_out)",
    ),
    Cue.CONDITION: (
        "if ~6 (for|of|to)",
        "(could|may|might|can) ~1 (obscure|mask|hide|miss)",
        "(history|h_o|symptoms) of",
        "(evaluation|assessment) ~2 of",
        "(to|until) ~2 (resolution|clearing) of",
        "(indication|evaluate|evaluation) for",
    ),
    Cue.ENDS: (
        "(but|however|except|although|though|otherwise|besides|yet|which|who|whereas|while|where|"
        "because|since|given|therefore|with|there|status_post|nevertheless|despite)",
        "(aside|apart) from",
        "other than",
        "(secondary|due) to",
        "not (only|just|necessarily|entirely|completely)",
        f"{_BE}? not ~2 {_SEEN} ~1 (on|in|at|by) ~2 {_VIEW}",
        f"{_BE}? not ~1 (well|clearly|fully|completely|adequately|optimally) ~1 "
        "(seen|visualized|evaluated|assessed|demonstrated|characterized|defined|imaged)",
        f"{_NEARLY} ~1 (resolved|cleared|gone|normalized|normalised)",
        f"{_BE} {_NEARLY} ~1 (resolved|cleared|gone|normalized|normalised)",
    ),
    Cue.AFFIRMS_NEXT: (
        "(no|without|not) ~4 (change|changes|changed|increase|decrease|worsening|progression|"
        "improvement) (in|of|from|since|to)?",
        "no (further|interval) (increase|decrease|change|enlargement)",
        "(no|without) (significant|interval|further|definite|evidence_of)? (interval|further)? "
        "(resolution|clearing|regression) of",
    ),
    Cue.CANNOT_SHOW: (
        "(may|might|could|can) not be",
        f"(may|might|could|can) not be ~1 {_SEEN}",
    ),
    Cue.PASSES: (
        "(representing|reflecting|indicating)",
        "(consistent|keeping|with_evidence) with?",
        "associated with",
    ),
    Cue.VERB: (
        "(is|are|was|were|has|have|had|remains|remain|appears|appear|shows|show|demonstrates|"
        "reveals|represents|represent|measures|measure|overlies|overlie|contains|lies|became|"
        "projects|obscures|causes|indicates|persists|seems|reflects|reflect)",
    ),
}

_FOUND: Final = Phrases({cue.name: phrases for cue, phrases in PHRASES.items()})


def find_cues(words: Words) -> list[tuple[int, int, Cue]]:
    """Return the cues of a sentence: first word, the word after the last, and what it does."""
    return [(start, end, Cue[name]) for start, end, name in _FOUND.find(words)]
