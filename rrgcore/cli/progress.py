"""How far a command is: a bar in a terminal, a line now and then in a file. Imports no torch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_SECONDS = 20
"""Between two lines where the output is no terminal."""


@contextmanager
def shown_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Give a function that is told how much is done, of how much if that is known."""
    console = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn(title),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    last = time.monotonic()  # seconds of work are no news in a file

    with bar:
        task = bar.add_task(title, total=None)

        def tell(done: int, total: int | None) -> None:
            nonlocal last
            bar.update(task, completed=done, total=total)
            if bar.disable and time.monotonic() - last > LOG_SECONDS:
                last = time.monotonic()
                of = f" of {total:,}" if total is not None else ""
                console.print(f"{title}: {done:,}{of}", soft_wrap=True)

        yield tell
