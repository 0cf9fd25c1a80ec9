"""Sentences again from cleaned text, for protocols that count capitals and attached full stops."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from rrgcore.scoring import Pair


def write_out(pairs: Sequence[Pair]) -> Sequence[Pair]:
    """Write the predictions as sentences if all of them are cleaned text and the references not.

    Returns the pairs themselves otherwise.
    """
    said = [pair.prediction for pair in pairs if pair.prediction.strip()]
    if not said or not all(map(is_cleaned, said)):
        return pairs
    if all(is_cleaned(pair.reference) for pair in pairs if pair.reference.strip()):
        return pairs
    return [replace(pair, prediction=_sentences(pair.prediction)) for pair in pairs]


def is_cleaned(text: str) -> bool:
    """Tell whether it is as R2Gen's cleaning leaves it: no capitals, full stops standing alone."""
    tokens = text.split()
    return (
        tokens[-1:] == ["."]
        and text == text.lower()
        and not any(token.endswith(".") for token in tokens if token != ".")
    )


def _sentences(text: str) -> str:
    spoken = (
        " ".join(words)
        for stop, words in groupby(text.split(), key=lambda token: token == ".")
        if not stop
    )
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in spoken)
