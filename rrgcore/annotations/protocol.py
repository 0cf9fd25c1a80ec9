"""What any annotation class offers."""

from typing import Any, ClassVar, Protocol, runtime_checkable

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
