"""The Penn Treebank tokenization of the MS-COCO caption tool, without Java.

The tool runs Stanford's PTBTokenizer (CoreNLP 3.4.1, `-preserveLines -lowerCase`) and drops a list
of punctuation tokens. This is an implementation of what that program does to a line, found by
observing its output: the longest match wins, and among equals the earlier rule. Text that a rule
looks at but does not take counts towards its length, as it does there: `al.` before two more
characters outweighs the word `al.x`, so `al.x` is two tokens while `dr.x` is one.

Reading surprises, all of them the original's: `clear.no` is one token; brackets become `-lrb-`,
and since only `-LRB-` is on the list of dropped tokens, the lower-cased bracket stays; a full stop
before a comma sticks to its word (`apex.,` is `apex.` and `,`); `3 1/2` and `120 130 1400` (a
telephone number) are single tokens with a no-break space inside.
"""

import re
from collections.abc import Iterable
from string import ascii_lowercase

from .ptb_patterns import CAPITALISED, DIGIT, JOINED, LETTER, SHORT, TITLES
from .ptb_rules import RULES, Written

_DROPPED = "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;"
PUNCTUATION = frozenset(_DROPPED.split())
"""The tokens that the MS-COCO tool drops, as it spells them."""


def tokenize(report: str) -> list[str]:
    """Return the tokens of one report, lower-cased, without punctuation."""
    return [token for token in lex(report) if token not in PUNCTUATION]


def lex(report: str) -> list[str]:
    """Return all tokens of one report, lower-cased, punctuation included.

    Line breaks of any kind count as spaces: the tool feeds one report a line.
    """
    # a line ends in a line break, and rules may look at what follows it
    text = _LINE_BREAK.sub(" ", report) + "\n\n"
    tokens: list[str] = []
    position, end = 0, len(text) - 2
    while position < end:
        plain = _PLAIN_WORD.match(text, position)
        word, sign = (plain[1].lower(), plain[2]) if plain else ("", "")
        if plain and not (sign == "." and word in _KEEPS_STOP):
            tokens += JOINED.get(word, (word,))
            if sign:
                tokens.append(sign)
            position = plain.end()
            continue
        character = text[position]
        if character in _SPACES:
            position += 1
            continue
        taken, written = _longest(text, position, character)
        tokens += written
        position += taken
    return tokens


_SPACES = frozenset(" \t\u00a0\u3000\n") | {chr(code) for code in range(0x2000, 0x200B)}
_LINE_BREAK = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_COMPILED: dict[str, list[tuple[re.Pattern[str], Written]]] = {
    first: [(re.compile(p), written) for starts, p, written in RULES if first in starts]
    for first in "LDO"
}
_IS_LETTER = re.compile(f"[{LETTER}]")
_IS_DIGIT = re.compile(f"[{DIGIT}]")


def _longest(text: str, position: int, character: str) -> tuple[int, Iterable[str]]:
    first = "L" if _IS_LETTER.match(character) else "D" if _IS_DIGIT.match(character) else "O"
    best, found, written = -1, None, None
    for pattern, writes in _COMPILED[first]:
        match = pattern.match(text, position)
        if match and match.end() > best:
            best, found, written = match.end(), match, writes
    if found is None:
        return 1, ()
    token = found["t"] if "t" in found.re.groupindex else found[0]
    if written is None:
        return len(token), (_spell(token),)
    return len(token), (written,) if isinstance(written, str) else written(token)


def _spell(token: str) -> str:
    token = token.lower().replace("(", "-lrb-").replace(")", "-rrb-").replace(" ", "\u00a0")
    return token.replace("\u00ad", "") or "-"


# most of a report: words that no rule would read otherwise, whose signs stand alone
_PLAIN_WORD = re.compile(r"([A-Za-z]+)([,;](?= )|\.(?= [A-Za-z]|\n)|)(?=[ \n])")
_KEEPS_STOP = frozenset(
    f"{TITLES} {SHORT} {CAPITALISED} mfg mtg pte ptes pty ptys ppte pptes ppty pptys".split()
) | frozenset(ascii_lowercase)
