"""What a run looks like in a terminal, and in a log file."""

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar, final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from rrgcore.engine import Step
from rrgcore.plan import Plan
from rrgcore.session import Run
from rrgcore.watch import Watcher

T = TypeVar("T")
LOG_SECONDS = 20
"""Between two lines where the output is no terminal."""
USED = 0.02
"""Nats by which exchanged images must raise the report loss before the image counts as used."""


@final
class Display(Watcher):
    """A progress bar in a terminal, a line now and then in a file."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=False)
        self._live = self.console.is_terminal and not quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[text]}"),
            console=self.console,
            disable=not self._live,
            transient=False,
        )
        self._task: TaskID | None = None
        self._title = ""
        self._epochs = 0.0
        self._total = 0
        self._gap = ""
        self._smooth: dict[str, float] = {}
        self._last_line = 0.0
        self._began: tuple[float, int] = (0.0, 0)

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    # ---- what a run tells -------------------------------------------------------------------

    def introduce(self, plan: Plan) -> None:
        """Say what is about to run."""
        name = " ".join([plan.recipe.name, *(f"--variant {v}" for v in plan.recipe.variants)])
        self.console.print(f"[bold]{name}[/bold]")
        if about := plan.recipe.values.get("about"):
            self.console.print(" ".join(str(about).split()), style="dim", markup=False)

    def note(self, text: str) -> None:
        """Show a sentence."""
        self.console.print(text, markup=False)

    def stage(self, name: str, number: int, count: int, steps: int, done: int, epochs: float) -> None:
        """Start a bar."""
        self._title = f"{name} ({number}/{count})"
        self._epochs, self._total, self._gap, self._smooth = epochs, steps, "", {}
        self._began = (time.monotonic(), done)
        if self._task is not None:
            self._progress.update(self._task, visible=False)
        self._task = self._progress.add_task(
            self._title, total=steps, completed=done, text="waiting for the first step"
        )

    def step(self, step: Step) -> None:
        """Move the bar, with smoothed losses."""
        for key, value in step.losses.items():
            self._smooth[key] = 0.95 * self._smooth.get(key, value) + 0.05 * value
        losses = " ".join(
            f"{'loss' if key == 'total' else key} {value:.2f}"
            for key, value in self._smooth.items()
            if key != "total" or len(self._smooth) != 2
        )
        text = f"epoch {step.epoch + 1}/{self._epochs:g} · {losses}{self._gap}"
        if self._task is not None:
            self._progress.update(self._task, completed=step.position.step, text=text)
        if not self._live and time.monotonic() - self._last_line > LOG_SECONDS:
            self._last_line = time.monotonic()
            self.note(f"{self._title} {step.position.step}/{self._total} · {self._left(step)} · {text}")

    def image_gap(self, gap: float) -> None:
        """Show whether the image is used yet."""
        self._gap = f" · image {'used' if gap > USED else 'not used yet'} ({gap:+.2f})"

    def scored(self, title: str, scores: Mapping[str, float], *, best: bool) -> None:
        """Show a validation."""
        values = "  ".join(f"{key} {value:.3f}" for key, value in scores.items())
        self.note(f"{title}: {values}{'  (best)' if best else ''}{self._gap}")

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        """Show a second bar."""
        task = self._progress.add_task(title, total=total, text="")
        try:
            for item in items:
                yield item
                self._progress.advance(task)
        finally:
            self._progress.remove_task(task)

    def _left(self, step: Step) -> str:
        began, done = self._began
        taken = step.position.step - done
        seconds = (time.monotonic() - began) / max(1, taken) * (self._total - step.position.step)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d} left"

    # ---- at the end -------------------------------------------------------------------------

    def scores(self, run: Run) -> None:
        """Show the scores of a finished run."""
        self.assessment(run.scores, run.plan)
        best = run.folder.record.get("best") or {}
        if best:
            self.note(f"best checkpoint: stage {best['stage']}, {run.path / 'checkpoints' / 'best'}")
        self.note(f"run folder: {run.path}")

    def assessment(self, found: Mapping[str, Any], plan: Plan) -> None:
        """Show scores beside the baselines, and what the probes found."""
        rows: dict[str, dict[str, float]] = {"this model": _flat(found["protocols"])}
        if found["shuffled images"]:
            rows["… images exchanged"] = _flat(found["shuffled images"])
        for name, scores in found["baselines"].items():
            rows[name] = _flat(scores)
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        table = Table(title=f"{found['split']} split, {found['studies']} studies", title_justify="left")
        table.add_column("")
        for column in columns:
            table.add_column(column, justify="right")
        for name, row in rows.items():
            table.add_row(name, *(f"{row[c]:.3f}" if c in row else "–" for c in columns))
        self.console.print(table)
        self.note(f"distinct reports: {found['distinct']:.0%}")
        for name, probe in found["probes"].items():
            figures = ", ".join(
                f"{key} {_figure(value)}" for key, value in probe.items() if key != "stage"
            )
            self.note(f"{name} (best of stage {probe['stage']}): {figures}")
        for key, why in found["missing"].items():
            self.note(f"{key} was not computed: {why}")
        for protocol, fingerprint in found["fingerprint"].items():
            self.note(f"{protocol}: {fingerprint}")
        if caution := plan.dataset.cls.caution:  # type: ignore[attr-defined]
            self.note(caution)


def _flat(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {key: value for values in scores.values() for key, value in values.items()}


def _figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value:.3f}"
