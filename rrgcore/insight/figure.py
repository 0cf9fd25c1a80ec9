"""What a figure is: a picture of what a run's model does, with its numbers and its caption."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from rrgcore.insight.opened import OpenRun


@final
@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture."""

    name: str
    """Of its file, in its figure: a study's id, or nothing where there is one for all."""
    picture: Any
    """A matplotlib Figure."""
    caption: str
    """What is shown, in the paper's terms, and how it is to be read."""
    numbers: Mapping[str, Any]
    """What is drawn, as JSON."""
    said: tuple[str, ...] = ()
    """Sentences and rows worth printing."""


class Figure(ABC):
    """Draws one thing about a run, of any model that has the parts: it asks for capabilities.

    Made without options, or with options that all have defaults. All chance comes from
    `OpenRun.rng`, so that the same run and studies give the same figure.
    """

    shows: ClassVar[str]
    """The paper's own figure: "KIA, Fig. 7"."""

    @abstractmethod
    def why_not(self, run: OpenRun) -> str | None:
        """Return why this run cannot be drawn so, or None; without a pass through the model."""

    @abstractmethod
    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw the studies of `run.ids`, or what is one picture for all of them; raises DataError
        for a study that lacks what is drawn.
        """
