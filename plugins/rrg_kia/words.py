"""Hiding whole words of a text, whatever pieces a tokenizer makes of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import final

import torch

from rrgcore.api import MaskedText, Tokenizer


@final
@dataclass(frozen=True, slots=True)
class WordPieces:
    """The tokens of some words, and the word that each is of (None for [CLS] and [SEP])."""

    ids: tuple[int, ...]
    word_of: tuple[int | None, ...]

    @classmethod
    def of_words(
        cls, words: Sequence[str], tokenizer: Tokenizer, *, max_tokens: int
    ) -> "WordPieces":
        """Tokenize words, cut as a report is: the [SEP] is kept."""
        if not words:
            return cls((tokenizer.cls_id, tokenizer.sep_id), (None, None))
        ids, word_of = tokenizer.encode_words(words)
        if len(ids) > max_tokens:
            ids = [*ids[: max_tokens - 1], tokenizer.sep_id]
            word_of = [*word_of[: max_tokens - 1], None]
        return cls(tuple(ids), tuple(word_of))

    @property
    def words(self) -> list[int]:
        """The words of which some token is left."""
        return sorted({word for word in self.word_of if word is not None})

    def hide(self, words: Collection[int], tokenizer: Tokenizer) -> MaskedText:
        """Replace every token of these words by [MASK], and ask for it."""
        ids = torch.tensor(self.ids)
        hidden = torch.tensor([word is not None and word in words for word in self.word_of])
        return MaskedText(
            ids.masked_fill(hidden, tokenizer.mask_id),
            torch.ones_like(hidden),
            ids.masked_fill(~hidden, -100),
        )
