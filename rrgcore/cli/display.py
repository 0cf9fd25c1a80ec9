"""What a run looks like in a terminal, and in a log file."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar, final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from rrgcore.cli.cards import print_card
from rrgcore.cli.judged import judged_lines
from rrgcore.cli.options import is_main_process
from rrgcore.engine import Step
from rrgcore.page.scores import EXCHANGED
from rrgcore.plan import Plan
from rrgcore.run import Run
from rrgcore.scoring.significance import shown_figure
from rrgcore.watch import Watcher

T = TypeVar("T")
LOG_SECONDS = 20
"""Between two lines where the output is no terminal."""
USED = 0.02
"""Nats by which exchanged images must raise the report loss before the image counts as used."""


@final
class Display(Watcher):
    """A progress bar in a terminal, a line now and then in a file.

    The bar keeps to one line, of which the bar itself gives way first; losses are on a line of
    their own below it.
    """

    def __init__(self, *, quiet: bool = False, stderr: bool = False) -> None:
        quiet = quiet or not is_main_process()
        self.console = Console(quiet=quiet, highlight=False, stderr=stderr)
        self._quiet = quiet
        self._stage: _StageBar | None = None
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", style="progress.remaining", markup=False),
            console=self.console,
            expand=True,
        )
        self._live = (
            Live(
                get_renderable=self._render,
                console=self.console,
                refresh_per_second=4,
                redirect_stdout=not stderr,  # what is printed there is for another command
            )
            if self.console.is_terminal and not quiet
            else None
        )
        self._last_line = 0.0

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def _render(self) -> Group:
        below = [Text(line, style="dim") for line in self._stage.below()] if self._stage else []
        return Group(self._bars, *below)

    # ---- what a run tells -------------------------------------------------------------------

    def introduce(self, plan: Plan) -> None:
        """Say what is about to run, and what its numbers are worth."""
        name = " ".join([plan.recipe.name, *(f"--variant {v}" for v in plan.recipe.variants)])
        self.console.print(Text(name, style="bold"), soft_wrap=True)
        if about := plan.recipe.values.get("about"):
            self.note(" ".join(str(about).split()))
        for caution in plan.cautions:
            self.note(caution)

    def note(self, text: str) -> None:
        """Show a sentence: folded in a terminal, one line in a file."""
        self.console.print(Text(text), soft_wrap=not self.console.is_terminal)

    def stage(self, name: str, number: int, count: int, steps: int, done: int, epochs: int) -> None:
        """Start a bar."""
        self._finish_stage()
        task = self._bars.add_task("", total=steps, completed=done, left="")
        self._stage = _StageBar(task, f"{name} {number}/{count}", steps, done, epochs)
        self._bars.update(task, description=self._stage.title())
        self._last_line = 0.0  # a file is told of the first step

    def step(self, step: Step) -> None:
        """Move the bar, with smoothed losses."""
        bar = self._stage
        assert bar is not None, "a step belongs to a stage"
        bar.take(step)
        self._bars.update(
            bar.task, completed=step.position.step, description=bar.title(), left=bar.left()
        )
        if self._line_is_due():
            line = f"{bar.title()} · step {step.position.step}/{bar.steps} · {bar.left()}"
            self.note(" · ".join([line, *bar.below()]))

    def image_gap(self, gap: float) -> None:
        """Show whether the image is used yet."""
        if self._stage is not None:
            used = "used" if gap > USED else "not used yet"
            self._stage.image = f"image {used} (report loss {gap:+.2f} with another's)"

    def scored(self, title: str, scores: Mapping[str, float], *, best: bool) -> None:
        """Show a validation in one line."""
        figures = _in_a_line(scores)
        image = f" · {self._stage.image}" if self._stage and self._stage.image else ""
        self.note(f"{title}: {figures}{'  (best of this stage)' if best else ''}{image}")

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        """Show a second bar."""
        task = self._bars.add_task(title, total=total, left="")
        self._last_line = self._last_line or time.monotonic()  # as in `progress`
        try:
            for done, item in enumerate(items, start=1):
                yield item
                self._bars.advance(task)
                if self._line_is_due():
                    self.note(f"{title} {done}/{total}")
        finally:
            self._bars.remove_task(task)

    def progress(self, title: str) -> Callable[[int, int], None]:
        """Show a bar that is told how far it is."""
        task = self._bars.add_task(title, total=None, left="")
        self._last_line = time.monotonic()  # seconds of work are no news in a file

        def tell(done: int, total: int) -> None:
            self._bars.update(task, completed=done, total=total, visible=done < total)
            if self._line_is_due():
                self.note(f"{title} {done}/{total}")

        return tell

    def _line_is_due(self) -> bool:
        """Whether a file, which shows no bars, is to have a line now."""
        if self._live is not None or self._quiet:
            return False
        if due := time.monotonic() - self._last_line > LOG_SECONDS:
            self._last_line = time.monotonic()
        return due

    def _finish_stage(self) -> None:
        if self._stage is not None:
            self._bars.update(self._stage.task, visible=False)
            self._stage = None

    # ---- at the end -------------------------------------------------------------------------

    def scores(self, run: Run) -> None:
        """Show the scores of a finished run."""
        self._finish_stage()
        self.assessment(run.scores, run.plan)
        if best := run.folder.record.get("best"):
            self.note(
                f"best checkpoint: stage {best['stage']}, {run.path / 'checkpoints' / 'best'}"
            )
        self.note(f"run folder: {run.path}")

    def assessment(self, found: Mapping[str, Any], plan: Plan) -> None:
        """Show scores beside the baselines, and what the probes found."""
        title = f"{found['split']} split, {found['studies']} studies"
        if found.get("references", found["studies"]) < found["studies"]:
            title += f", {found['references']} of them with a report to compare with"
        self.console.print("", Text(title, style="bold"), sep="\n", soft_wrap=True)
        shuffled = found["shuffled images"]
        others = {EXCHANGED: shuffled} if shuffled else {}
        print_card(self.console, found, others=others)
        for name, probe in found["probes"].items():
            figures = ", ".join(
                f"{key} {shown_figure(value)}" for key, value in probe.items() if key != "stage"
            )
            self.note(f"{name} (best of stage {probe['stage']}): {figures}")
        for line in judged_lines(found.get("judged", {})):
            self.note(line)
        for caution in plan.cautions:
            self.note(caution)


@final
class _StageBar:
    """What is shown of the stage that runs."""

    def __init__(self, task: TaskID, name: str, steps: int, done: int, epochs: int) -> None:
        self.task = task
        self.steps = steps
        self.image = ""
        self._name = name
        self._epochs = epochs
        self._epoch = 0
        self._done, self._begun_with = done, done
        self._began = time.monotonic()
        self._smooth: dict[str, float] = {}

    def take(self, step: Step) -> None:
        """Follow a step."""
        self._epoch, self._done = step.epoch + 1, step.position.step
        for key, value in step.losses.items():
            self._smooth[key] = 0.95 * self._smooth.get(key, value) + 0.05 * value

    def title(self) -> str:
        """Name stage and epoch."""
        epoch = f" · epoch {self._epoch}/{self._epochs}" if self._epoch else ""
        return f"{self._name}{epoch}"

    def left(self) -> str:
        """Estimate the time left in the stage."""
        seconds = (time.monotonic() - self._began) / max(1, self._done - self._begun_with)
        whole = round(seconds * (self.steps - self._done))
        hours, minutes = divmod(whole // 60, 60)
        clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
        return f"{clock}:{whole % 60:02d} left"

    def below(self) -> list[str]:
        """Return the lines below the bar: losses, and whether the image is used."""
        losses = self._smooth if len(self._smooth) != 2 else {"total": self._smooth["total"]}
        shown = [f"{'loss' if k == 'total' else k} {value:.2f}" for k, value in losses.items()]
        return [line for line in (" · ".join(shown), self.image) if line]


def _in_a_line(scores: Mapping[str, float]) -> str:
    """Show the first protocol's scores, and those of the others that have no more than two."""
    of: dict[str, dict[str, float]] = {}
    for name, value in scores.items():
        protocol, _, key = name.partition(".")
        of.setdefault(protocol, {})[key] = value
    return "; ".join(
        f"{protocol} " + "  ".join(f"{key} {value:.3f}" for key, value in found.items())
        for number, (protocol, found) in enumerate(of.items())
        if number == 0 or len(found) <= 2
    )
