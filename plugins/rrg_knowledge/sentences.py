"""Text to sentences, and sentences to words that remember where they stood."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, final

_END: Final = re.compile(
    r"""(?<!\bvs)(?<!\bdr)(?<!\bapprox)(?<!\be\.g)(?<!\bi\.e)\.(?!\d)   # no abbreviation, no 1.5
        | (?<=[a-z])\.(?=\d)
        | (?<=\w)\s?\?                    # "? pneumonia" asks, and goes on
        | [!\u2022]
        | \n\s*\n                        # a line may be broken anywhere: only an empty one,
        | \n(?=\s*\d{1,2}[.)]\s)          # or an item of a list, ends a sentence
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LETTER: Final = re.compile(r"[^\W\d_]")
_WORD: Final = re.compile(r"_+|[^\W_]+|[,;:()/?]|<br\s*/?>")
_GLUED: Final = re.compile(
    r"(\w*(?:scar|ing|ase|asis|rate|ion|ity|edema|onia|osis|dule))"
    r"((?:atelecta|infiltrat|effusion|pneumonia|edema|consolidat|opacit|scar|fibrosis|nodule|"
    r"thickening|mass|infection|airspace|granuloma)[a-z]*)"
)
"""What a rule of cleaning made of "scarring/atelectasis"."""
_GLUED_LENGTH: Final = 10
_MARKS: Final = {
    "(": ",",
    ")": ",",
    ":": ";",
    "?": "query",
    "andor": "or",
}


def split_sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield each sentence that holds a letter, with the place in the text where it begins."""
    start = 0
    for end in [*_END.finditer(text), None]:
        stop = len(text) if end is None else end.end() if end[0].endswith("?") else end.start()
        sentence = text[start:stop]
        if _LETTER.search(sentence):
            yield start, sentence
        if end:
            start = end.end()


@final
@dataclass(frozen=True, slots=True)
class Words:
    """A sentence's words in lower case, and commas, semicolons and slashes between them.

    Hyphens part words; brackets are commas, colons semicolons; a question mark is the word "query",
    and whatever hides a name ("XXXX", "___") is "xxxx".
    """

    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    """Where each word stood in the sentence."""
    line: str
    """The words with one space before, between and after: what phrases are looked for in."""
    starts: tuple[int, ...]
    """Where each word begins in `line`."""

    @classmethod
    def of(cls, sentence: str) -> "Words":
        """Take a sentence apart."""
        found = list(_find_words(sentence))
        words = tuple(word for word, _, _ in found)
        lengths = (len(word) + 1 for word in words[:-1])
        return cls(
            words=words,
            spans=tuple((start, end) for _, start, end in found),
            line=f" {' '.join(words)} ",
            starts=tuple(accumulate(lengths, initial=1)) if words else (),
        )


def _find_words(sentence: str) -> Iterator[tuple[str, int, int]]:
    """Yield each word, and where in the sentence it begins and ends."""
    for match in _WORD.finditer(sentence):
        start, end = match.span()
        word = match[0].lower()
        if word[0] == "<":
            continue
        if len(word) >= _GLUED_LENGTH and (glued := _GLUED.fullmatch(word)):
            middle = min(start + len(glued[1]), end)
            yield glued[1], start, middle
            yield glued[2], middle, end
        else:
            yield _MARKS.get(word) or ("xxxx" if word[0] == "_" else word), start, end
