"""From a study's observations to the n-grams that its images are enhanced with, as token ids."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rrgcore.api import Tokenizer, pad_sequences

Observations = Literal["all", "positive"]


@final
@dataclass(frozen=True, slots=True)
class ObservationNGrams:
    """The n-grams of a batch, each of them once, and which study has which.

    Row 0 of the n-grams is none: `index` points there where `mask` is False.
    """

    ids: Int[Tensor, "u t"]
    real: Bool[Tensor, "u t"]
    """Which token ids are tokens."""
    index: Int[Tensor, "b g"]
    mask: Bool[Tensor, "b g"]


@final
class NGramChoice:
    """S_k^o of a study: the first `top` n-grams of each observation, each n-gram once, at most
    `most`.

    They come in the order of the observations, best first in each (CmEAA, §2.2; C6). Texts are
    tokenised once, without the frame of a report.
    """

    def __init__(
        self, *, tokenizer: Tokenizer, observations: Observations, top: int, most: int
    ) -> None:
        self.tokenizer = tokenizer
        self.observations = observations
        self.top, self.most = top, most
        self._ids: dict[str, tuple[int, ...]] = {}

    def phrases(self, ranked: Mapping[str, Sequence[str]]) -> list[str]:
        """Return a study's n-grams, of those that a study carries by observation."""
        found = dict.fromkeys(
            phrase
            for observation, phrases in ranked.items()
            if self.observations == "all" or observation.endswith("_True")
            for phrase in phrases[: self.top]
            if self._tokens(phrase)
        )
        return list(islice(found, self.most))

    def batch(self, studies: Iterable[Mapping[str, Sequence[str]]]) -> ObservationNGrams:
        """Return the n-grams of some studies."""
        chosen = [self.phrases(ranked) for ranked in studies]
        # sorted: which studies stand beside one another decides what is there, not their order
        unique = sorted({phrase for phrases in chosen for phrase in phrases})
        rows = {phrase: number for number, phrase in enumerate(unique, start=1)}
        tokens = [(self.tokenizer.pad_id,), *map(self._tokens, unique)]
        real = pad_sequences([[1] * len(ids) for ids in tokens], 0).bool()
        real[0] = False
        # one column at least, for what stands in where no study has any
        width = max(1, *map(len, chosen)) if chosen else 1
        index = torch.zeros(len(chosen), width, dtype=torch.long)
        for row, phrases in zip(index, chosen, strict=True):
            row[: len(phrases)] = torch.tensor([rows[p] for p in phrases], dtype=torch.long)
        return ObservationNGrams(
            pad_sequences(tokens, self.tokenizer.pad_id), real, index, index > 0
        )

    def read_back(self, ngrams: ObservationNGrams) -> tuple[tuple[str, ...], ...]:
        """Return the words of each study's n-grams, as its tokenizer spells them."""
        rows = zip(ngrams.ids.tolist(), ngrams.real.sum(1).tolist(), strict=True)
        unique = [self.tokenizer.decode(ids[:count]) for ids, count in rows]
        return tuple(
            tuple(unique[row] if row else "" for row in rows) for rows in ngrams.index.tolist()
        )

    def _tokens(self, phrase: str) -> tuple[int, ...]:
        if phrase not in self._ids:
            self._ids[phrase] = tuple(self.tokenizer.encode(phrase)[1:-1])
        return self._ids[phrase]
