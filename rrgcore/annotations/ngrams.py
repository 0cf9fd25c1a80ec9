"""Phrases that go with the observations of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from rrgcore.annotations.protocol import Affine
from rrgcore.errors import DataError, shortened
from rrgcore.mirror import mirrored_name


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
            raise DataError(
                f"not n-grams: {shortened(repr(data))}; expected a mapping of observation to a list"
            )
        for key, value in data.items():
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise DataError(
                    f"not n-grams: {shortened(repr(value))} for '{shortened(key)}'; expected a "
                    "list of texts"
                )
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
