"""The pieces of the patterns by which `ptb_rules` cuts text: characters, words, abbreviations."""

import unicodedata
from collections.abc import Callable

# ---- characters ---------------------------------------------------------------------------------


def _characters(belongs: Callable[[str], bool]) -> str:
    """Return a character class of what `belongs` accepts, beyond ASCII; without the brackets."""
    codes = [code for code in range(0x80, 0x10000) if belongs(unicodedata.category(chr(code)))]
    spans: list[list[int]] = []
    for code in codes:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in spans)


LETTER = "A-Za-z" + _characters(lambda category: category[0] == "L")
DIGIT = "0-9" + _characters(lambda category: category == "Nd")
# accents and signs that may stand in a word, though not in a compound
MARK = (
    "\xad\u02c2-\u02c5\u02d2-\u02df\u02e5-\u02eb\u02ed\u02ef-\u036f\u0375\u0384\u0385\u0483-\u0487"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0615-\u061a\u064b-\u065e\u0670"
    "\u0900-\u0903\u093c\u093e-\u094e\u0951-\u0955\u0962\u0963\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
)
SPACE = " \t\u00a0\u2000-\u200a\u3000"
SYMBOLS = (
    "!-/:-@\\[-`{-~\xa1-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u037e\u0387\u0589\u05be\u05c0\u05c3"
    "\u05c6\u05f3\u05f4\u0600-\u0603\u0606-\u060c\u0614\u061b\u061e\u061f\u066a\u066d\u06d4\u0700-\u070d"
    "\u07f6-\u07f8\u0964\u0965\u0e3f\u0e4f\u1fbd\u2016-\u2023\u2030-\u203b\u203e-\u2042\u2044\u2070"
    "\u2074-\u207e\u2080-\u208e\u20a4\u2100\u2101\u2103-\u2106\u2108\u2109\u2114\u2116-\u2118\u211e-\u2123"
    "\u2125\u2127\u2129\u212e\u213a\u213b\u2140-\u2144\u214a-\u214d\u214f\u2155-\u215e\u2190-\u2bff"
    "\u3001\u3002\u3012\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0\uffe1\uffe5\uffe6"
)  # what stands alone; any other character is dropped
APOSTROPHE = "(?:['\x92\u2019]|&apos;)"
ANY_APOSTROPHE = "(?:['`\x91\x92\u2018\u2019\u201b]|&apos;)"
QUOTES = {
    **dict.fromkeys("\x91\u2018\u201b\u2039", "`"),
    **dict.fromkeys("\x92\u2019\u203a", "'"),
    **dict.fromkeys("\x93\u201c\xab", "``"),
    **dict.fromkeys("\x94\u201d\xbb", "''"),
    **{"`": "`", "\u201a": "\u201a", "\u201e": "\u201e"},
}

# ---- words --------------------------------------------------------------------------------------

ACCENTED = "&[aeiouAEIOU](?:acute|grave|uml);"
WORD = (
    rf"(?:[{LETTER}{MARK}]|{ACCENTED})[{LETTER}{MARK}{DIGIT}]*"
    rf"(?:{ACCENTED}[{LETTER}{MARK}{DIGIT}]*)*"
)
WORD = rf"{WORD}(?:[.!?]{WORD})*"
ELIDED = rf"(?:[dDlLoO]{ANY_APOSTROPHE}[{LETTER}{DIGIT}])?"
COMPOUND = rf"{ELIDED}[{LETTER}{DIGIT}]+"
THING = rf"{COMPOUND}(?:[-_\u058a\u2010\u2011]{COMPOUND})*"
NUMBERED = r"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|[A-Za-z0-9\u00ad]+))+"
HYPHENATED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
NUMBER = rf"(?:[{DIGIT}]*(?:[.:,\u00ad\u066b\u066c][{DIGIT}]+)+|[{DIGIT}]+)"

# never the end of a sentence: the full stop stays
TITLES = (
    "adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr drs"
    " elec ens ft gen gov govs hon insp invt jos lieut lt maj messrs mlle mme mr mrs ms msgr mt"
    " natl pfc ph pres prof profs pvt rep reps rev sen sens sfc sgt spc st ste supt supts treas vs"
    " wm"
)
# may end a sentence: the full stop stays, whatever follows
SHORT = (
    "al ala apr ariz assn aug bhd bldg blvd bros calif co colo conn corp cos ct dak dec esq est etc"
    " ext feb fla fri ga inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn mo mon mont"
    " neb nev nov oct okla penn plc rd rt sep seq sept sq sr sys tel tenn thu thurs tue tues univ"
    " va vt wed wis wisc wyo"
)
CAPITALISED = "ark az del ill la mass miss ore pa tex wash"  # words too, unless they have a capital
BEFORE_NUMBERS = "art ca fig figs no nos op pp prop"

# written as one word, read as two
JOINED = {
    word[:cut] + word[cut:]: (word[:cut], word[cut:])
    for word, cut in (
        ("cannot", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("gimme", 3), ("wanna", 3),
    )
}  # fmt: skip


def any_of(words: str, *, capitalised: bool = False) -> str:
    """Return a pattern for any of the words, in any case or with a capital first letter."""
    # longest first: an alternation takes the first that fits
    ordered = sorted(words.split(), key=len, reverse=True)
    if capitalised:
        return "|".join(f"{word[0].upper()}(?i:{word[1:]})" for word in ordered)
    return f"(?i:{'|'.join(ordered)})"


ABBREVIATION = (
    rf"(?:(?i:ed|ph)\.(?i:d)|(?i:pp?t)[ey][sS]?|{any_of(SHORT)}"
    rf"|{any_of(CAPITALISED, capitalised=True)})"
)
FILE = (
    "bat|bmp|c|cgi|cpp|dll|docx?|exe|gif|gz|h|html?|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt|ps|py"
    "|sql|tar|txt|wav|x|xml|zip"
)
URL_END = r"(?:/[^ \t\n\f\r\"<>|()]+[^ \t\n\f\r\"<>|.!?(){},-])?"
NAME = "[A-Za-z][A-Za-z0-9_:.-]*"
VALUE = rf"'[^'\n]*'|\"[^\"\n]*\"|{NAME}"
TAG = rf"<(?:[!?][A-Za-z-][^>\r\n]*|/{NAME} *|{NAME}(?: +{NAME}(?: *= *(?:{VALUE}))?)* */? *)>"
_SENTENCE_STARTS = (
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last"
    " Many More Now Once One Other Our She Since So Some Such That The Their Then There These They"
    " This We What When While Yet You"
)
# a capital letter and a full stop before one of these is the end of a sentence: `type B. The`
STARTS = any_of(_SENTENCE_STARTS, capitalised=True)
