"""Observations of a study: labels, and the probabilities that a classifier gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from rrgcore.annotations.protocol import Affine
from rrgcore.errors import DataError, shortened


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
        values = data.get("values", data) if isinstance(data, Mapping) else None
        if not isinstance(values, Mapping):
            raise DataError(
                f"not labels: {shortened(repr(data))}; expected a mapping of observation to 1, 0, "
                "-1 or null"
            )
        wrong = {k: v for k, v in values.items() if v not in (1, 0, -1, None)}
        if wrong:
            raise DataError(f"labels {shortened(repr(wrong))} are none of 1, 0, -1 and null")
        sources = data.get("sources") if values is not data else None
        if sources is not None and not _is_of_words(sources):
            raise DataError(
                f"sources of labels are {shortened(repr(sources))}; expected a mapping of "
                "observation to where its label is from"
            )
        return cls({k: int(v) for k, v in values.items() if v is not None}, sources)

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
class Probabilities:
    """How likely each observation is, as a classifier of images says: 0 to 1, by name.

    CheXpert's 14 (CmEAA, A.1), or those of them that a classifier knows.
    """

    slug: ClassVar[str] = "probabilities"

    values: Mapping[str, float]

    @classmethod
    def from_json(cls, data: Any) -> "Probabilities":
        """Read `{"Edema": 0.31, …}`."""
        if not isinstance(data, Mapping):
            raise DataError(
                f"not probabilities: {shortened(repr(data))}; expected a mapping of observation to "
                "a number"
            )
        try:
            values = {str(name): float(value) for name, value in data.items()}
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"not probabilities ({shortened(str(error))}); expected numbers from 0 to 1"
            ) from error
        if wrong := {name: value for name, value in values.items() if not 0 <= value <= 1}:
            raise DataError(f"probabilities {shortened(repr(wrong))} are outside 0 to 1")
        return cls(values)

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        return dict(self.values)

    def mirrored(self, flipped: Sequence[bool]) -> "Probabilities":
        """Return itself: no observation names a side."""
        return self

    def moved(self, matrix: Affine) -> "Probabilities":
        """Return itself: they are of the whole study."""
        return self


def _is_of_words(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())
