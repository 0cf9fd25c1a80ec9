"""What the Penn Treebank tokenization of the MS-COCO tool takes for a token; see `ptb`."""

import re
from collections.abc import Callable, Iterable

from .ptb_patterns import (
    ABBREVIATION,
    ANY_APOSTROPHE,
    APOSTROPHE,
    BEFORE_NUMBERS,
    DIGIT,
    FILE,
    HYPHENATED,
    JOINED,
    LETTER,
    MARK,
    NUMBER,
    NUMBERED,
    QUOTES,
    SPACE,
    STARTS,
    SYMBOLS,
    TAG,
    THING,
    TITLES,
    URL_END,
    WORD,
    any_of,
)

Written = str | Callable[[str], Iterable[str]] | None


def _split_joined(token: str) -> Iterable[str]:
    return JOINED[token.lower()]


def _shorten_dashes(token: str) -> Iterable[str]:
    return ("--",) if 3 <= len(token) <= 4 else (token,)


def _initial(token: str) -> Iterable[str]:
    """Give the stop to the sentence; an abbreviation (`u.s.`) keeps it too, a letter does not."""
    return (token.lower() + "." if len(token) > 1 else token.lower(),)


def _ascii_quotes(token: str) -> Iterable[str]:
    return ("".join(QUOTES.get(quote, quote) for quote in token),)


def _straighten(token: str) -> Iterable[str]:
    return (re.sub(APOSTROPHE, "'", token.lower()),)


def _ampersand(token: str) -> Iterable[str]:
    return (token.lower().replace("&amp;", "&"),)


# Where a rule starts (L letter, D digit, O anything else), what it matches, and what is written
# instead. A group named `t` is what the rule takes; the rest of its match it only looks at.
RULES: list[tuple[str, str, Written]] = [
    ("L", any_of(" ".join(JOINED)), _split_joined),
    ("O", "(?P<t>'[tT])(?i:is|was)", None),
    # mark-up
    ("O", TAG, None),
    ("O", "&(?i:md|mdash|ndash);|[\x96\x97\u2013\u2014\u2015]", "--"),
    ("O", "&(?i:amp);", "&"),
    ("O", "&(?i:quot);", "''"),
    ("O", "&(?i:apos);", "'"),
    ("O", "&(?i:lt);", "<"),
    ("O", "&(?i:gt);", ">"),
    ("O", "&(?i:nbsp);", lambda token: ()),
    ("O", "&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);", None),
    # words
    ("LO", rf"(?P<t>{WORD}){APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))", None),
    ("L", rf"(?P<t>[A-Za-z]*[A-MO-Za-mo-z])[nN]{ANY_APOSTROPHE}[tT]", None),
    ("LO", WORD, None),
    ("L", rf"[lLdDjJ]{APOSTROPHE}|(?i:somethin|dunkin|ol){APOSTROPHE}", None),
    ("L", rf"[oO]{ANY_APOSTROPHE}[oO]", None),
    ("L", rf"(?P<t>[yY]{APOSTROPHE})[A-Za-z]", None),
    ("L", rf"[A-HJ-XZn]{ANY_APOSTROPHE}[{LETTER}]{{2,}}", None),
    ("L", rf"[{LETTER}]+[aeiouyAEIOUY]{ANY_APOSTROPHE}[aeiouA-Z][{LETTER}]*", None),
    ("L", rf"(?i:c{APOSTROPHE}(?:mon|est)|e{APOSTROPHE}er|s{APOSTROPHE}mores)", None),
    ("L", rf"(?i:(?:li{APOSTROPHE}l|nat{APOSTROPHE}l|ev{APOSTROPHE}ry))", None),
    ("L", rf"(?i:nor{APOSTROPHE}easter|cap{APOSTROPHE}n)", None),
    ("O", rf"{APOSTROPHE}(?i:n{APOSTROPHE}|n|em|till|til|cause)", None),
    ("O", rf"{APOSTROPHE}[2-9]0s", None),
    ("O", rf"(?P<t>{APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll)))[^A-Za-z]", _straighten),
    ("L", rf"[nN]{ANY_APOSTROPHE}[tT]", _straighten),
    ("O", r"(?P<t>')[A-Za-z][^ \t\n\r\u00a0]", "'"),
    ("O", rf"{APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))", _straighten),
    ("O", rf"(?P<t>{APOSTROPHE}[0-9][0-9])[{SPACE}\n]", None),
    # addresses
    ("L", r"(?i:https?)://[^ \t\n\f\r\"<>|(){}]+[^ \t\n\f\r\"<>|.!?(){},-]", None),
    ("L", rf"(?i:www)\.(?:[^ \t\n\f\r\"<>|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}{URL_END}", None),
    ("L", rf"(?i:www)\.(?:[^/ \t\n\f\r\"<>|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}{URL_END}", None),
    ("LO", rf"(?:[^ \t\n\f\r\"'`|!(){{}}$,-_]+\.)+(?i:com|net|org|edu){URL_END}", None),
    (
        "LDO",
        r"(?:&lt;|<)?[A-Za-z0-9][^ \t\n\f\r\"<>|(){}\u00a0]*@"
        r"(?:[^ \t\n\f\r\"<>|(){}.\u00a0]+\.)*[^ \t\n\f\r\"<>|(){}.\u00a0]+(?:&gt;|>)?",
        None,
    ),
    ("O", rf"@[A-Za-z_][A-Za-z_0-9]*|#[{LETTER}{MARK}]+", None),
    # numbers
    ("DO", rf"[{DIGIT}]{{1,2}}[-/][{DIGIT}]{{1,2}}[-/][{DIGIT}]{{2,4}}", None),
    ("DO", rf"[-+]?{NUMBER}", None),
    ("DO", rf"(?:[{DIGIT}]{{1,4}}[- \u00a0])?[{DIGIT}]{{1,4}}\\?[/\u2044][{DIGIT}]{{1,4}}", None),
    ("O", r"\([0-9]{2,3}\)[ \u00a0]?[0-9]{3,4}[- \u00a0]?[0-9]{3,5}", None),
    (
        "DO",
        r"(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0][0-9]{3,4}[- \u00a0]?[0-9]{3,5}",
        None,
    ),
    ("DO", r"(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}", None),
    ("LO", r"[A-Z]*\$", None),
    ("O", "[\x80\xa4\u20a0\u20ac]", "$"),
    ("O", "\xa3", "#"),
    ("O", "\xa2", "cents"),
    ("O", "\xbc", "1/4"),
    ("O", "\xbd", "1/2"),
    ("O", "\xbe", "3/4"),
    ("O", "\u2153", "1/3"),
    ("O", "\u2154", "2/3"),
    ("O", "[\xb2\xb3\xb9\u2070\u2074-\u2079\u2080-\u2089]+", None),
    # compounds
    ("L", rf"(?P<t>{ABBREVIATION}\.)[\s\S][\s\S]", None),
    ("LD", THING, None),
    ("L", r"[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+", _ampersand),
    ("LD", rf"{HYPHENATED}(?:\\?/{HYPHENATED}){{1,2}}", None),
    ("LD", NUMBERED, None),
    ("L", r"(?i:pro-|anti-)|C\.D\.s|(?i:S(?:&|&amp;)P-500|S(?:&|&amp;)Ls)", None),
    ("O", "-(?i:[rl][rcs]b)-", None),
    # abbreviations
    ("L", rf"{any_of(TITLES)}\.|[mM](?:fg|tg)\.", None),
    ("L", r"[A-Za-z](?:\.[A-Za-z])*\.", None),
    ("L", rf"(?P<t>{any_of(BEFORE_NUMBERS)}\.)[{SPACE}]?[{DIGIT}]", None),
    ("LO", rf"(?P<t>{WORD}\.)[,;:\u3001]", None),
    ("LD", rf"(?P<t>{THING}\.)[,;:\u3001]", None),
    ("LD", rf"(?P<t>{NUMBERED}\.)[,;:\u3001]", None),
    ("L", r"(?P<t>[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+\.)[,;:\u3001]", _ampersand),
    (
        "LD",
        rf"(?P<t>[{LETTER}{DIGIT}]+(?:\.[{LETTER}{DIGIT}]+)*\.(?i:{FILE}))[{SPACE}\n.?!,]",
        None,
    ),
    (
        "L",
        rf"(?P<t>[A-Za-z](?:\.[A-Za-z])*)\.[{SPACE}\n]+(?:{STARTS}|M(?i:[rs])\.|{TAG})[{SPACE}\n]",
        _initial,
    ),
    ("L", r"[CcFf]#|[Cc]\+\+", None),
    # signs
    ("O", "(?P<t>[<>]?[:;=][-o*']?[()DPdpO\\\\{@|\\[\\]])[^A-Za-z0-9]", None),
    ("LO", "[-^x=~<>']_[-^x=~<>']", None),
    ("O", r"\((?:[-^x=~<>'][_.]?[-^x=~<>']|[\^x=~<>']-[\^x=~<>'`])\)", None),
    ("O", r"\.{3,5}|(?:\.[ \u00a0]){2,4}\.|[\x85\u2026]", "..."),
    ("O", "-+", _shorten_dashes),
    ("O", r"[?!]+|\*+|(?:\\\*){1,3}|_+|@+|#+|<<|>>", None),
    ("O", '"', "''"),
    ("O", "''?|[" + "".join(QUOTES) + "]{1,2}", _ascii_quotes),
    ("O", r"\[", "-lsb-"),
    ("O", r"\]", "-rsb-"),
    ("O", r"\{", "-lcb-"),
    ("O", r"\}", "-rcb-"),
    ("O", f"[{SYMBOLS}]", None),
]
