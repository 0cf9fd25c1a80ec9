"""Typed annotations of a study: looked up by class, read from JSON, never passed under a string."""

from rrgcore.annotations.boxes import Box, Boxes, FindingBoxes
from rrgcore.annotations.labels import Labels, Probabilities
from rrgcore.annotations.nearest import NearestReport
from rrgcore.annotations.ngrams import NGrams
from rrgcore.annotations.protocol import Affine, Annotation
from rrgcore.annotations.radgraph import Entity, RadGraph

KINDS: tuple[type[Annotation], ...] = (
    RadGraph,
    Labels,
    Boxes,
    FindingBoxes,
    NGrams,
    Probabilities,
    NearestReport,
)
"""Core's own, which a dataset can be asked for by whoever knows no other class."""

__all__ = [
    "KINDS",
    "Affine",
    "Annotation",
    "Box",
    "Boxes",
    "Entity",
    "FindingBoxes",
    "Labels",
    "NGrams",
    "NearestReport",
    "Probabilities",
    "RadGraph",
]
