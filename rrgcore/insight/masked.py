"""A text of which some words are hidden, as words again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from rrgcore.insight.attending import words_of_tokens
from rrgcore.types import MaskedText

NOTHING = -100
"""The label of a token that is not asked for."""


@final
@dataclass(frozen=True, slots=True)
class MaskedWords:
    """The words of a text as it was, and which of them are hidden."""

    words: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    """Where each word's tokens stand."""
    hidden: tuple[int, ...]
    """The words that are asked for."""
    order: dict[int, int]
    """Position of a token that is asked for, to its number among them."""

    @classmethod
    def of(cls, text: MaskedText, decode: Callable[[Sequence[int]], str]) -> "MaskedWords":
        """Read one text, `[t]`; what is hidden is read from the labels."""
        count = int(text.mask.sum())
        labels = text.labels[:count].tolist()
        whole = [
            id if label == NOTHING else label
            for id, label in zip(text.ids[:count].tolist(), labels, strict=True)
        ]
        words, tokens = words_of_tokens(decode, whole)
        asked = [at for at, label in enumerate(labels) if label != NOTHING]
        hidden = [
            number for number, own in enumerate(tokens) if any(labels[at] != NOTHING for at in own)
        ]
        return cls(
            words,
            tuple(map(tuple, tokens)),
            tuple(hidden),
            {at: number for number, at in enumerate(asked)},
        )

    def asked(self) -> list[list[int]]:
        """Return the hidden tokens of each hidden word."""
        return [[at for at in self.tokens[word] if at in self.order] for word in self.hidden]

    def answered(
        self, guessed: Sequence[int], decode: Callable[[Sequence[int]], str]
    ) -> dict[int, str]:
        """Return what was guessed for each hidden word, of one guess an asked token in order."""
        return {
            word: decode([guessed[self.order[at]] for at in tokens]) or "[MASK]"
            for word, tokens in zip(self.hidden, self.asked(), strict=True)
        }

    def before(self, word: int) -> str:
        """Return what leads up to a word since the last mark, at most three words; hidden ones as
        [MASK].
        """
        first = word
        while first > 0 and word - first < 3 and any(map(str.isalnum, self.words[first - 1])):
            first -= 1
        hidden = set(self.hidden)
        return " ".join("[MASK]" if i in hidden else self.words[i] for i in range(first, word))
