"""Sentences again from cleaned text, for protocols that count capitals and attached full stops."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import final

from rrgcore.scoring import Pair


@final
@dataclass(frozen=True, slots=True)
class Written:
    """Pairs as they are scored, and how many of their predictions were written as sentences."""

    pairs: Sequence[Pair]
    predictions: int = 0
    capitals: bool = True

    @property
    def cleaning(self) -> str:
        """What a fingerprint says of it."""
        if not self.predictions:
            return "none"
        how = "sentences" if self.capitals else "sentences in lower case"
        return (
            f"none, but of {len(self.pairs):,} predictions, {self.predictions:,}, which are "
            f"cleaned text, written as {how}"
        )


def write_out(pairs: Sequence[Pair]) -> Written:
    """Write each prediction that is cleaned text as sentences, unless most references are so too.

    Sentences begin with a capital where most references have one. Neither another prediction nor
    a single reference changes how a prediction is written.
    """
    references = [pair.reference for pair in pairs if pair.reference.strip()]
    if not _most(references, lambda text: not is_cleaned(text)):
        return Written(pairs)
    capitals = _most(references, _has_capitals)
    cleaned = [is_cleaned(pair.prediction) for pair in pairs]
    written = [
        replace(pair, prediction=_sentences(pair.prediction, capitals=capitals)) if lower else pair
        for pair, lower in zip(pairs, cleaned, strict=True)
    ]
    return Written(written, sum(cleaned), capitals)


def is_cleaned(text: str) -> bool:
    """Tell whether it may come out of R2Gen's cleaning: no capitals, full stops standing alone.

    A model may stop before the last full stop, or be cut, so none is asked for.
    """
    tokens = text.split()
    return (
        bool(tokens)
        and not _has_capitals(text)
        and not any(token.endswith(".") for token in tokens if token != ".")
    )


def _has_capitals(text: str) -> bool:
    return text != text.lower()


def _most(texts: Sequence[str], holds: Callable[[str], bool]) -> bool:
    return 2 * sum(map(holds, texts)) > len(texts)


def _sentences(text: str, *, capitals: bool) -> str:
    tokens = text.split()
    spoken = (
        " ".join(words)
        for stop, words in groupby(tokens, key=lambda token: token == ".")
        if not stop
    )
    written = " ".join(
        f"{sentence[0].upper() if capitals else sentence[0]}{sentence[1:]}." for sentence in spoken
    )
    # a full stop that was not said is not given
    return written if tokens[-1] == "." else written.removesuffix(".")
