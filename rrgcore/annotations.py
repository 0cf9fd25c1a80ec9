"""Typed annotations of a study: looked up by class, read from JSON, never passed under a string."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol, final, runtime_checkable

from rrgcore.errors import DataError
from rrgcore.mirror import mirrored_name, mirrored_text

Affine = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Where a point goes, in fractions of an image: x' = a·x + b·y + c, and the same for y'."""


@runtime_checkable
class Annotation(Protocol):
    """What any annotation class offers; a third party adds its own the same way.

    Two more methods make it fit for augmented training images (`data.augment`), which are refused
    to a component that reads a class without them. `mirrored(flipped)` returns the annotation of
    the mirrored study: left and right exchanged in every text and name, places turned over on the
    images that are flipped (frontal ones; a bool an image); twice is the identity. `moved(matrix)`
    returns it with every place on an image moved by an `Affine`. What holds no places, or names no
    side, returns itself.
    """

    slug: ClassVar[str]
    """The name of its sidecar, `annotations/<slug>.jsonl`."""

    @classmethod
    def from_json(cls, data: Any) -> "Annotation":
        """Read one study's annotation; raises DataError."""
        ...

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Entity:
    """A stretch of words that RadGraph marked; `start` and `end` are inclusive word indices."""

    tokens: str
    label: str
    """ANAT-DP, OBS-DP, OBS-DA or OBS-U."""
    start: int
    end: int
    relations: tuple[tuple[str, str], ...] = ()
    """(located_at | modify | suggestive_of, key of the other entity)."""

    @property
    def is_anatomy(self) -> bool:
        """Whether this names a place rather than an observation."""
        return self.label.startswith("ANAT") or self.label.startswith("Anatomy")


@final
@dataclass(frozen=True, slots=True)
class RadGraph:
    """Entities and relations of one report, in RadGraph v1's form (Jain et al., 2021).

    Word indices count `words`, which must be the report that the model is fed, but for the spaces.
    """

    slug: ClassVar[str] = "radgraph"

    words: tuple[str, ...]
    entities: Mapping[str, Entity]

    @classmethod
    def from_json(cls, data: Any) -> "RadGraph":
        """Read one document of RadGraph v1 or radgraph-xl; relations to unknown entities are
        dropped.
        """
        try:
            words = tuple(data["text"].split(" "))
            raw = data["entities"]
            entities = {
                str(key): Entity(
                    tokens=entity["tokens"],
                    label=_short(entity["label"]),
                    start=int(entity["start_ix"]),
                    end=int(entity["end_ix"]),
                    relations=tuple(
                        (kind, str(target))
                        for kind, target in entity.get("relations", ())
                        if str(target) in raw
                    ),
                )
                for key, entity in raw.items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"not a RadGraph document ({type(error).__name__}: {error}); expected "
                '{"text": …, "entities": {"1": {"tokens", "label", "start_ix", "end_ix", '
                '"relations"}}}'
            ) from error
        for key, entity in entities.items():
            if not 0 <= entity.start <= entity.end < len(words):
                raise DataError(
                    f"RadGraph entity {key} spans words {entity.start} to {entity.end} of a text "
                    f"of {len(words)} words"
                )
        return cls(words, entities)

    def to_json(self) -> Any:
        """Return RadGraph v1's form."""
        return {
            "text": " ".join(self.words),
            "entities": {
                key: {
                    "tokens": entity.tokens,
                    "label": entity.label,
                    "start_ix": entity.start,
                    "end_ix": entity.end,
                    "relations": [list(relation) for relation in entity.relations],
                }
                for key, entity in self.entities.items()
            },
        }

    def mirrored(self, flipped: Sequence[bool]) -> "RadGraph":
        """Exchange left and right, word by word: the indices stay."""
        return RadGraph(
            tuple(map(mirrored_text, self.words)),
            {
                key: replace(entity, tokens=mirrored_text(entity.tokens))
                for key, entity in self.entities.items()
            },
        )

    def moved(self, matrix: Affine) -> "RadGraph":
        """Return itself: words have no place on the image."""
        return self


def _short(label: str) -> str:
    """Return v1's label for radgraph-xl's ("Observation::definitely absent" is OBS-DA)."""
    kind, _, certainty = label.partition("::")
    if not certainty:
        return label
    return (
        {
            "Anatomy": "ANAT",
            "Observation": "OBS",
        }.get(kind, kind)
        + "-"
        + {
            "definitely present": "DP",
            "definitely absent": "DA",
            "uncertain": "U",
        }.get(certainty.removeprefix("measurement::"), "DP")
    )


@final
@dataclass(frozen=True, slots=True)
class Labels:
    """CheXpert's 14 observations by name: 1 present, 0 denied, -1 uncertain; absent from the
    mapping when not mentioned.
    """

    slug: ClassVar[str] = "labels"

    values: Mapping[str, int]
    sources: Mapping[str, str] | None = None
    """Where each value came from (a labeler, a classifier, a retrieved report)."""

    @classmethod
    def from_json(cls, data: Any) -> "Labels":
        """Read `{"Edema": 1, …}`, or `{"values": {"Edema": 1, …}, "sources": …}`; null is "not
        mentioned".
        """
        if not isinstance(data, Mapping):
            raise DataError(
                f"not labels: {data!r}; expected a mapping of observation to 1, 0, -1 or null"
            )
        values = data.get("values", data)
        wrong = {k: v for k, v in values.items() if v not in (1, 0, -1, None)}
        if wrong:
            raise DataError(f"labels {wrong} are none of 1, 0, -1 and null")
        return cls({k: int(v) for k, v in values.items() if v is not None}, data.get("sources"))

    def to_json(self) -> Any:
        """Return what `from_json` reads, the bare mapping where no sources are known."""
        if self.sources is None:
            return dict(self.values)
        return {"values": dict(self.values), "sources": self.sources}

    def mirrored(self, flipped: Sequence[bool]) -> "Labels":
        """Return itself: no observation names a side."""
        return self

    def moved(self, matrix: Affine) -> "Labels":
        """Return itself: labels are of the whole study."""
        return self


@final
@dataclass(frozen=True, slots=True)
class Box:
    """A named rectangle, as fractions of the image's width and height; x grows to the image's
    right.
    """

    name: str
    x1: float
    y1: float
    x2: float
    y2: float


@final
@dataclass(frozen=True, slots=True)
class Boxes:
    """Landmark or finding boxes of each image of a study."""

    slug: ClassVar[str] = "boxes"

    images: tuple[tuple[Box, ...], ...]

    @classmethod
    def from_json(cls, data: Any) -> "Boxes":
        """Read a list of images, each a list of `{"name", "x1", "y1", "x2", "y2"}`."""
        try:
            return cls(tuple(tuple(Box(**box) for box in image) for image in data))
        except TypeError as error:
            raise DataError(
                f"not boxes ({error}); expected name, x1, y1, x2, y2 for each"
            ) from error

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        return [[asdict(box) for box in image] for image in self.images]

    def mirrored(self, flipped: Sequence[bool]) -> "Boxes":
        """Exchange left and right in names, and turn the boxes of flipped images over.

        What keeps its name wherever it lies ("right atrium") keeps it.
        """
        return Boxes(
            tuple(
                tuple(
                    replace(
                        box,
                        name=mirrored_name(box.name),
                        x1=1 - box.x2 if turned else box.x1,
                        x2=1 - box.x1 if turned else box.x2,
                    )
                    for box in image
                )
                for image, turned in zip(self.images, flipped, strict=True)
            )
        )

    def moved(self, matrix: Affine) -> "Boxes":
        """Return the upright boxes around the moved ones, cut at the image's edges; one that left
        the image is gone.
        """
        return Boxes(
            tuple(
                tuple(
                    moved
                    for box in image
                    if (moved := _moved(box, matrix)).x1 < moved.x2 and moved.y1 < moved.y2
                )
                for image in self.images
            )
        )


def _moved(box: Box, matrix: Affine) -> Box:
    corners = [(x, y) for x in (box.x1, box.x2) for y in (box.y1, box.y2)]
    xs, ys = ([min(max(a * x + b * y + c, 0.0), 1.0) for x, y in corners] for a, b, c in matrix)
    return Box(box.name, min(xs), min(ys), max(xs), max(ys))


@final
@dataclass(frozen=True, slots=True)
class NGrams:
    """Observation n-grams of a study, ranked (ORGan; CmEAA, eq. 6)."""

    slug: ClassVar[str] = "ngrams"

    values: Mapping[str, Sequence[str]]
    """ "Edema_True" to its n-grams, best first."""

    @classmethod
    def from_json(cls, data: Any) -> "NGrams":
        """Read ORGan's form."""
        if not isinstance(data, Mapping):
            raise DataError(f"not n-grams: {data!r}; expected a mapping of observation to a list")
        return cls({key: tuple(value) for key, value in data.items()})

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        return {key: list(value) for key, value in self.values.items()}

    def mirrored(self, flipped: Sequence[bool]) -> "NGrams":
        """Exchange left and right in every n-gram but those of what lies on one side only."""
        return NGrams(
            {key: tuple(map(mirrored_name, phrases)) for key, phrases in self.values.items()}
        )

    def moved(self, matrix: Affine) -> "NGrams":
        """Return itself: words have no place on the image."""
        return self


KINDS: tuple[type[Annotation], ...] = (RadGraph, Labels, Boxes, NGrams)
"""Core's own, which a dataset can be asked for by whoever knows no other class."""
