"""Grounds for what is to be told apart, all light enough for black ink."""

from typing import Final

PHRASES: Final = (
    *("#cdeccd", "#cfe2f7", "#fde3b8", "#e8d3f1", "#d3f0ee", "#f9d0de", "#e9efb8", "#dccfc2"),
    *("#c9d3f5", "#f3cdb9"),
)
"""Of phrases, in turn."""


def of_phrase(number: int) -> str:
    """Return the colour of a phrase; they come round again."""
    return PHRASES[number % len(PHRASES)]
