"""ROUGE-L of the caption tool, and the stemmed one of rouge-score."""

import re
from collections.abc import Callable, Hashable, Sequence
from functools import cache

_BETA = 1.2
_NOT_ALPHANUMERIC = re.compile("[^a-z0-9]+")


def caption_rouge(hypothesis: str, references: Sequence[str]) -> float:
    """Return (1 + β²)PR / (R + β²P), β = 1.2, of tokens between single spaces.

    P and R are each the best over the references. Split at a single space as the caption tool
    does: two spaces hold an empty token, and an empty text is one.
    """
    said = hypothesis.split(" ")
    wanted = [reference.split(" ") for reference in references]
    common = [longest_common(said, tokens) for tokens in wanted]
    if not any(common):
        return 0.0
    precision = max(common) / len(said)
    recall = max(length / len(tokens) for length, tokens in zip(common, wanted, strict=True))
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def stemmed_rouge(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """Return F1 of the longest common subsequence of stems, 0 where there is none."""
    common = longest_common(hypothesis, reference)
    if not common:
        return 0.0
    precision, recall = common / len(hypothesis), common / len(reference)
    return 2 * precision * recall / (precision + recall)


def make_stemmer() -> Callable[[str], list[str]]:
    """Return what makes stems of a text as rouge-score does with `use_stemmer=True`.

    Lower-cased runs of ASCII letters and digits; those of more than three lose their suffix by
    Porter's rules as NLTK has them.
    """
    from nltk.stem.porter import PorterStemmer  # a second to import, and few scores need it

    stem = cache(PorterStemmer().stem)

    def stems(text: str) -> list[str]:
        words = _NOT_ALPHANUMERIC.sub(" ", text.lower()).split()
        return [stem(word) if len(word) > 3 else word for word in words]

    return stems


def longest_common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence.

    Bit-parallel (Hyyrö, 2004): bit i of the state is off where the best match grows at one[i].
    """
    places: dict[Hashable, int] = {}
    for i, token in enumerate(one):
        places[token] = places.get(token, 0) | 1 << i
    every = (1 << len(one)) - 1
    state = every
    for token in other:
        matched = state & places.get(token, 0)
        state = (state + matched | state - matched) & every
    return len(one) - state.bit_count()
