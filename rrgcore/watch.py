"""What a run tells whoever watches it: core never prints."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from rrgcore.engine import Step
from rrgcore.supply import Track

T = TypeVar("T")


class Watcher:
    """Ignores everything; commands and notebooks override what they want to show."""

    def note(self, text: str) -> None:
        """Hear a sentence that the user should read."""

    def stage(self, name: str, number: int, count: int, steps: int, done: int, epochs: int) -> None:
        """Hear that a stage of so many steps begins, or goes on after `done` of them."""

    def step(self, step: Step) -> None:
        """Hear of an optimizer step."""

    def image_gap(self, gap: float) -> None:
        """Hear by how much the report loss rises when images are exchanged: above zero, the image
        is used.
        """

    def scored(self, title: str, scores: Mapping[str, float], *, best: bool) -> None:
        """Hear of a validation."""

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        """Pass items through, showing how far they are."""
        yield from items

    def progress(self, title: str) -> Callable[[int, int], None] | None:
        """Return what is told how many of how many are done, or None."""
        return None


def tracking(watcher: Watcher) -> Track:
    """Let what knows no watcher show how far it is."""

    def track(items: Iterable[Any], title: str, total: int) -> Iterator[Any]:
        return watcher.track(items, title, total)

    return track
