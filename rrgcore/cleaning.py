"""Report cleaning by named rule.

Scores depend on how the references were cleaned, so the rules of the field are kept to the letter,
quirks included, and have names. Those of the R2Gen lineage merge decimals ("3.5 cm" becomes
"35 cm"), eat "1. " wherever it stands ("T11. Old" becomes "t1old"), glue words that only a comma
or a slash held apart, and keep hyphens only because of a slip in a character range. `lossless` is
ours, for data that needs no comparison with published numbers.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from string import printable
from types import MappingProxyType
from typing import Final

from rrgcore.errors import DataError, did_you_mean

_RANGE: Final = re.compile(r"[!%&()*+,.:;<=>?@\[\]^_{}]")
"""What R2Gen's and ORGan's class deletes: written with the range `:` to `[`."""
_NO_RANGE: Final = re.compile(r"[!%&()*+,.;?\[\]^_{}]")
"""R2GenGPT's for MIMIC-CXR, where the range is gone."""
_EVERY_CASE: Final = (
    "",
    " .",
    "___",
    "1. The HEART is 3.5 cm, or 12.5 %. 2. No focal-consolidation/effusion; none.3. T11. Old",
    "FINDINGS:\n\n PA and lateral (AP) views of ___ [chest] at 10:30 a.m. p.m.\r\nRight > left.",
    "a..b...c....d.....e........f  g   h    i     j        k__l____m________n",
    "It's \"normal\" \\ clear? Yes! Dr. Smith's `quote’ “there” {x} <y> = @z ^ * + & | ~ # $ é ß µ",
    ". 1. one. 2. two. 3. three. 4. four. 5. five. 6. six 2. 3. 4. 5. seven. 10) ten. (b) eight",
    "no pneumothorax . no effusion . . stable cardiomegaly - unchanged -- see above.and below",
    "".join(f"{sign} a{sign}b 1{sign}2{sign} " for sign in printable),
)
"""What `digest_of` has rules clean."""
_QUOTES: Final = re.compile(r"[\"/\\']")


def clean(report: str, rule: str) -> str:
    """Clean a report; raises DataError for a rule that does not exist."""
    return cleaner(rule)(report)


def cleaner(rule: str) -> Callable[[str], str]:
    """Look up a rule by name; raises DataError with the nearest name."""
    if rule not in CLEANERS:
        raise DataError(
            f"no cleaning rule called '{rule}'.{did_you_mean(rule, CLEANERS)} "
            f"Known: {', '.join(CLEANERS)}"
        )
    return CLEANERS[rule]


def digest_of(rule: str) -> str:
    """Tell what a rule does from what one of that name did once; raises DataError.

    Of what it makes of texts with every character and construct that a rule knows, so that a
    comment in its code changes nothing, and a word that it leaves otherwise does.
    """
    made = map(cleaner(rule), _EVERY_CASE)
    return sha256("\0".join(made).encode()).hexdigest()


def is_empty(report: str) -> bool:
    """Tell whether nothing was said: the R2Gen rules turn an empty report into " ."."""
    return not any(character.isalnum() for character in report)


def half_pair(text: str) -> str | None:
    """Name half a surrogate pair, which JSON can spell and no UTF-8 file can hold."""
    if (found := re.search(r"[\ud800-\udfff]", text)) is None:
        return None
    return f"half a surrogate pair (U+{ord(found[0]):04X}), which no UTF-8 file can hold"


def _lossless(report: str) -> str:
    """Lower-case, one sentence after the other, each closed by " .".

    Kept: the decimal point and the per cent sign of a number, hyphens, every word. A full stop,
    question or exclamation mark ends a sentence, with or without a space behind it; initials
    ("a.p.") are joined. Dropped, as the other rules do: numbers of a list, quotes, apostrophes,
    brackets, underscores of de-identification; but commas, colons, slashes and the like leave a
    space, so that the words beside them stay two. Cleaning twice changes nothing.
    """
    text = re.sub(r"['’`\"“”]", "", report.lower())
    text = re.sub(r"\b(?:[a-z]\.){2,}", lambda initials: initials[0].replace(".", "") + " ", text)
    text = re.sub(r"(?:^|(?<=[.?!]))\s*(?:\d{1,2}[.)](?:\s+|(?=[^\W\d])))+", " ", text)
    text = re.sub(r"[^\w\s.?!%-]|[\s_]+", " ", text)
    # what is left of full stops after this is inside a number
    text = re.sub(r"\.(?!\d)|(?<=[^\W\d])\.|[?!]", "\n", text)
    sentences = (" ".join(sentence.split()) for sentence in text.split("\n"))
    return " ".join(f"{sentence} ." for sentence in sentences if not is_empty(sentence))


def _lineage(
    report: str,
    *,
    mimic: bool,
    deleted: re.Pattern[str] = _RANGE,
    spaced_colons: bool = False,
    drops_empty: bool = False,
) -> str:
    """Clean as R2Gen does, with the few switches in which its descendants differ."""
    if mimic:
        report = _collapse(report.replace("\n", " "), "_", passes=7)
        report = _collapse(report, " ", passes=6)
    report = _collapse(report, ".", passes=8 if mimic else 3).replace("1. ", "")
    for before in (". ", " "):
        for number in "2345":
            report = report.replace(f"{before}{number}. ", ". ")
    if spaced_colons:
        report = report.replace(":", " :")
    sentences = [
        deleted.sub("", _QUOTES.sub("", sentence).strip())
        for sentence in report.strip().lower().split(". ")
    ]
    if drops_empty:
        stripped = [sentence.strip() for sentence in sentences]
        return " ".join(f"{sentence} ." for sentence in stripped if sentence)
    return " . ".join(sentences) + " ."


def _collapse(text: str, character: str, *, passes: int) -> str:
    """Halve runs of a character so many times; a longer run survives in part."""
    for _ in range(passes):
        text = text.replace(2 * character, character)
    return text


CLEANERS: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "r2gen-iu": partial(_lineage, mimic=False),
        "r2gen-mimic": partial(_lineage, mimic=True),
        "r2gengpt-iu": partial(_lineage, mimic=False),
        "r2gengpt-mimic": partial(_lineage, mimic=True, deleted=_NO_RANGE, spaced_colons=True),
        "organ-iu": partial(_lineage, mimic=False, drops_empty=True),
        "organ-mimic": partial(_lineage, mimic=True, drops_empty=True),
        "lossless": _lossless,
        "none": str,
    }
)
"""Rules by name: R2Gen (Chen et al., 2020), R2GenGPT and ORGan (Wang, Hou et al., 2023), ours."""
