"""Entities and relations of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import Any, ClassVar, final

from rrgcore.annotations.protocol import Affine
from rrgcore.errors import DataError, shortened
from rrgcore.mirror import mirrored_text


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

        Equal words are one string: a run holds the documents of all its studies.
        """
        try:
            words = tuple(map(intern, data["text"].split(" ")))
            raw = data["entities"]
            entities = {
                intern(str(key)): Entity(
                    tokens=intern(_text(entity["tokens"])),
                    label=_short(entity["label"]),
                    start=int(entity["start_ix"]),
                    end=int(entity["end_ix"]),
                    relations=tuple(
                        (intern(_text(kind)), intern(str(target)))
                        for kind, target in entity.get("relations", ())
                        if str(target) in raw
                    ),
                )
                for key, entity in raw.items()
            }
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise DataError(
                f"not a RadGraph document ({type(error).__name__}: {shortened(str(error))}); "
                "expected "
                '{"text": …, "entities": {"1": {"tokens", "label", "start_ix", "end_ix", '
                '"relations"}}}'
            ) from error
        for key, entity in entities.items():
            if not 0 <= entity.start <= entity.end < len(words):
                raise DataError(
                    f"RadGraph entity {shortened(key)} spans words {entity.start} to {entity.end} "
                    f"of a text of {len(words)} words"
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


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


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
