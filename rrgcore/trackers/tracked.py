"""A watcher that trackers hear too."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar, final

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker

from rrgcore.engine import Step
from rrgcore.errors import UserError, WriteError
from rrgcore.folder import METRICS, SCORES, RunFolder
from rrgcore.trackers.backends import PROJECT, close_tracker, id_of, make_tracker, send
from rrgcore.trackers.curves import Curves, final_curves, flat
from rrgcore.trackers.sent import Sent
from rrgcore.watch import Watcher

T = TypeVar("T")
FOLDER: Final = "trackers"
"""In the run folder: TensorBoard's events, and what each tracker was sent."""


@final
class Tracked(Watcher):
    """Passes on to a watcher what a run tells it, and to trackers what becomes a curve.

    Only the main process, which writes, has trackers. One that fails while the run runs is left
    out from there, and said to be: the run goes on.
    """

    def __init__(
        self, watcher: Watcher, folder: RunFolder, accelerator: Accelerator, names: Sequence[str]
    ) -> None:
        self.watcher = watcher
        self.folder = folder
        self.accelerator = accelerator
        self.names = tuple(names) if folder.writes else ()
        self._sent: dict[str, Sent] = {}
        self._curves = Curves(folder.path / METRICS)

    def begin(self, title: str, recipe: Mapping[str, Any]) -> None:
        """Open the trackers, with the recipe as configuration; raises UserError where one refuses.

        The run folder is there.
        """
        if not self.names:
            return
        place = self.folder.path / FOLDER
        place.mkdir(exist_ok=True)
        sent = {name: Sent(place / f"{name}.jsonl") for name in self.names}
        self.accelerator.log_with = [
            make_tracker(name, place, title, sent[name].id) for name in self.names
        ]
        try:
            self.accelerator.init_trackers(PROJECT)
            for name, each in sent.items():
                if each.id is None:
                    self._tracker(name).store_init_configuration(dict(flat(recipe)))
                    each.begin(id_of(name, self._tracker(name)))
        except Exception as error:
            for tracker in self.accelerator.trackers:
                with suppress(Exception):  # some were started, some were not
                    tracker.finish()
            raise UserError(
                f"--track {','.join(self.names)}: cannot be started: {_in_a_line(error)}\n"
                "Mend that, or run without it; the run itself needs no tracker"
            ) from error
        self._sent = sent

    def end(self) -> None:
        """Send what is left, the scores of the test split included, and close the trackers."""
        self._follow()
        if self._sent and (self.folder.path / SCORES).is_file():
            self._send("test", self._curves.step, final_curves(self.folder.path / SCORES))
        self.close()

    def close(self, *, failed: bool = False) -> None:
        """Close the trackers, where any is open."""
        for name in list(self._sent):
            self._guarded(name, partial(close_tracker, name, self._tracker(name), failed))
        self._sent = {}
        self.accelerator.trackers = []

    # ---- what a run tells -------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Pass it on."""
        self.watcher.note(text)

    def stage(self, name: str, number: int, count: int, steps: int, done: int, epochs: int) -> None:
        """Pass it on; metrics.jsonl is then cut to what the run goes on from."""
        self.watcher.stage(name, number, count, steps, done, epochs)
        self._follow()

    def step(self, step: Step) -> None:
        """Pass it on, and send its line of metrics.jsonl."""
        self.watcher.step(step)
        self._follow()

    def image_gap(self, gap: float) -> None:
        """Pass it on."""
        self.watcher.image_gap(gap)

    def scored(self, title: str, scores: Mapping[str, float], *, best: bool) -> None:
        """Pass it on, and send the validation's line."""
        self.watcher.scored(title, scores, best=best)
        self._follow()

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        """Pass it on."""
        return self.watcher.track(items, title, total)

    def progress(self, title: str) -> Callable[[int, int], None] | None:
        """Pass it on."""
        return self.watcher.progress(title)

    # ---- sending ----------------------------------------------------------------------------

    def _follow(self) -> None:
        if self._sent:
            for split, step, values in self._curves.new():
                self._send(split, step, values)

    def _send(self, split: str, step: int, values: Mapping[str, float]) -> None:
        for name, sent in list(self._sent.items()):
            if sent.is_new(split, step):
                # noted first: killed in between, a point is lost rather than there twice
                self._guarded(name, partial(sent.add, split, step))
                self._guarded(name, partial(self._log, name, step, values))

    def _log(self, name: str, step: int, values: Mapping[str, float]) -> None:
        if name not in self._sent:
            return
        send(name, self._tracker(name), step, values)

    def _tracker(self, name: str) -> GeneralTracker:
        found: GeneralTracker = self.accelerator.get_tracker(name)
        return found

    def _guarded(self, name: str, do: Callable[[], None]) -> None:
        try:
            do()
        except WriteError:
            raise
        except Exception as error:
            self._sent.pop(name, None)
            self.watcher.note(
                f"{name} failed and is left out from here ({_in_a_line(error)}). Going on with the "
                f"run by --track {name} sends what is missing"
            )


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
