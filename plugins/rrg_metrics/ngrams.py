"""The n-grams of a whole corpus, counted at once: what BLEU sums, and CIDEr-D."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import final

import numpy as np
from jaxtyping import Float, Int

ORDERS = 4
"""BLEU-1 to BLEU-4; CIDEr-D takes the mean over the same four."""

Segment = tuple[str, Sequence[str]]
"""A hypothesis and its references, one or more, as tokens between spaces."""


@final
@dataclass(frozen=True, slots=True)
class NGrams:
    """How often each text of a corpus has each of its n-grams, of one n.

    A row is a text and an n-gram that it has. Texts are numbered: first the hypotheses, in order,
    then the references; `owner` is the hypothesis that a text belongs to.
    """

    text: Int[np.ndarray, " rows"]
    gram: Int[np.ndarray, " rows"]
    count: Int[np.ndarray, " rows"]
    grams: int
    """How many different ones there are."""


@final
class Corpus:
    """The n-grams of all segments, n = 1 to 4, with what BLEU and CIDEr-D make of them."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        texts = [hypothesis.split() for hypothesis, _ in segments]
        texts += [reference.split() for _, references in segments for reference in references]
        self.size = len(segments)
        self.owner = np.concatenate(
            [
                np.arange(self.size),
                np.repeat(np.arange(self.size), [len(references) for _, references in segments]),
            ]
        )
        self.lengths = np.array([len(words) for words in texts], dtype=np.int64)
        self.ngrams = _count(texts, self.lengths)

    def bleu_rows(self) -> Float[np.ndarray, "segments terms"]:
        """Return what BLEU sums: matches and guesses of each n, both lengths.

        Matches are clipped to the reference that has the n-gram most often; of several references
        the length that counts is the closest, and the shorter of two as close.
        """
        hypotheses = self.lengths[: self.size]
        matches = [self._matches(ngrams) for ngrams in self.ngrams]
        guesses = [np.maximum(hypotheses - n, 0) for n in range(ORDERS)]
        rows = np.stack([*matches, *guesses, hypotheses, self._closest()], axis=1)
        return rows.astype(np.float64)

    def _matches(self, ngrams: NGrams) -> Int[np.ndarray, " segments"]:
        said = ngrams.text < self.size
        key = self.owner[ngrams.text] * ngrams.grams + ngrams.gram
        wanted, place = np.unique(key[~said], return_inverse=True)
        most = np.zeros(len(wanted), dtype=np.int64)
        np.maximum.at(most, place, ngrams.count[~said])
        found, clipped = _look_up(key[said], wanted, most)
        matches = np.minimum(clipped, ngrams.count[said][found])
        owners = self.owner[ngrams.text[said][found]]
        return np.bincount(owners, matches, self.size).astype(np.int64)

    def _closest(self) -> Int[np.ndarray, " segments"]:
        owner = self.owner[self.size :]
        lengths = self.lengths[self.size :]
        off = np.abs(lengths - self.lengths[owner])
        order = np.lexsort((lengths, off, owner))
        _, first = np.unique(owner[order], return_index=True)
        closest: Int[np.ndarray, " segments"] = lengths[order][first]
        return closest

    def cider(self) -> Float[np.ndarray, " segments"]:
        """Return each segment's CIDEr-D: σ = 6, n ≤ 4, times 10.

        Document frequencies are of these references, so a corpus of one segment scores 0.
        """
        total = np.zeros(len(self.lengths) - self.size)
        owner = self.owner[self.size :]
        # lengths in bigrams, as the original has them
        bigrams = np.maximum(self.lengths - 1, 0)
        gap = (bigrams[owner] - bigrams[self.size :]).astype(np.float64)
        for ngrams in self.ngrams:
            total += self._cosine(ngrams) * np.exp(-(gap**2) / (2 * 6.0**2))
        mean = np.bincount(owner, total, self.size) / ORDERS / np.bincount(owner)
        return 10 * mean

    def _cosine(self, ngrams: NGrams) -> Float[np.ndarray, " references"]:
        """Compare each reference's weights with its hypothesis's, clipped to the reference's."""
        text, gram = ngrams.text, ngrams.gram
        said = text < self.size
        key = self.owner[text] * ngrams.grams + gram
        documents = np.bincount(np.unique(key[~said]) % ngrams.grams, minlength=ngrams.grams)
        rarity = np.log(self.size) - np.log(np.maximum(1.0, documents))
        weight = ngrams.count * rarity[gram]
        norm = np.sqrt(np.bincount(text, weight**2, len(self.lengths)))
        found, other = _look_up(key[~said], key[said], weight[said])
        ours = weight[~said][found]
        dots = np.bincount(
            text[~said][found] - self.size,
            np.minimum(ours, other) * ours,
            len(self.lengths) - self.size,
        )
        norms = norm[self.size :] * norm[self.owner[self.size :]]
        cosine: Float[np.ndarray, " references"] = np.zeros(len(norms))
        return np.divide(dots, norms, out=cosine, where=norms != 0)


def _count(texts: Sequence[Sequence[str]], lengths: Int[np.ndarray, " texts"]) -> list[NGrams]:
    words: dict[str, int] = {}
    flat = np.fromiter(
        (words.setdefault(word, len(words)) for word in chain.from_iterable(texts)),
        dtype=np.int64,
        count=int(lengths.sum()),
    )
    text = np.repeat(np.arange(len(texts)), lengths)
    # how many words a text still has, from each of its words on
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(flat))
    gram, begins, found = flat, np.arange(len(flat)), []
    for n in range(1, ORDERS + 1):
        if n > 1:
            begins = begins[left[begins] >= n]
            longer = gram[begins] * max(1, len(words)) + flat[begins + n - 1]
            named = np.unique(longer, return_inverse=True)[1]
            gram = np.zeros(len(flat), dtype=np.int64)
            gram[begins] = named
        grams = int(gram[begins].max(initial=0)) + 1
        key, count = np.unique(text[begins] * grams + gram[begins], return_counts=True)
        found.append(NGrams(key // grams, key % grams, count, grams))
    return found


def _look_up(
    keys: Int[np.ndarray, " rows"], among: Int[np.ndarray, " sorted"], values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which keys are among the others, which are sorted, and the values of those."""
    if not len(among):
        return np.zeros(len(keys), dtype=bool), values
    place = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    found = among[place] == keys
    return found, values[place[found]]
