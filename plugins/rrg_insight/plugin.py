"""What this plugin offers; imports neither torch nor matplotlib."""

from collections.abc import Iterable

from rrgcore import Component, hookimpl

_FIGURES = (
    ("attention", "Attention", "where the decoder looked as it wrote each word"),
    ("mask_attention", "MaskAttention", "where T-CMEnc looks for each [MASK]"),
    ("reconstruction", "Reconstruction", "masked patches painted under two reports"),
    ("masked_words", "WordsFilledIn", "masked words named with the image and without it"),
    ("retrieval", "Retrieval", "reports ranked for an image by [MATCH]"),
    ("matching", "MatchingDegree", "how well reference and written report match the image"),
    ("masking", "Masking", "what each masking strategy hides of a study"),
    ("landmarks", "Landmarks", "the key patches of each anatomical landmark"),
    ("reports", "Reports", "reports beside references, what they share coloured"),
    ("knowledge", "Knowledge", "the weights of an adapter's terms, and the n-grams read"),
    ("pointing", "PointingGame", "whether attention points at the findings that are named"),
)


@hookimpl
def rrg_components() -> Iterable[Component]:
    """Return the figures; nothing is imported until one is drawn."""
    return [
        Component("figure", name, f"rrg_insight.{name}:{cls}", summary)
        for name, cls, summary in _FIGURES
    ]
