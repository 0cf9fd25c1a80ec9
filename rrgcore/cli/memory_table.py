"""What training needs in memory, as a table and as JSON."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rrgcore.memory import MARGIN, MOST, Memory


def print_memory(console: Console, found: Memory) -> None:
    """Show what is held, what a step adds, and the largest batch by card."""
    console.print(Text(f"stage {found.stage}, {_setting(found)}"), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("MB", justify="right")
    for heading, rows in _sections(found):
        table.add_section()
        table.add_row(Text(heading, style="bold"), "")
        for what, size in rows:
            table.add_row(f"  {what}", _megabytes(size))
    console.print(table)
    console.print(
        Text(
            f"expect {_megabytes(found.with_margin)} MB, {MARGIN:.0%} being lost between blocks; "
            f"each further study adds {_megabytes(found.a_study)} MB"
        ),
        soft_wrap=True,
    )
    fits = ", ".join(f"{_studies(size)} in {card}" for card, size in found.fits.items())
    console.print(Text(f"largest batch to train: {fits}"), soft_wrap=True)


def memory_json(found: Memory) -> dict[str, Any]:
    """Return the same, in bytes."""
    return {
        "stage": found.stage,
        "precision": found.precision,
        "optimizer": found.optimizer,
        "batch_size": found.batch_size,
        "views": found.views,
        "report_tokens": found.report_tokens,
        **{heading: dict(rows) for heading, rows in _sections(found)},
        "peak": found.peak,
        "with margin": found.with_margin,
        "a further study": found.a_study,
        "largest batch": dict(found.fits),
    }


def _sections(found: Memory) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    standing, step = found.standing, found.step
    held = [
        ("weights that learn", standing.trained),
        ("weights that stand still", standing.frozen),
        ("momentum twin", standing.twin),
        ("queues and buffers", standing.buffers),
        (f"state of {found.optimizer}", standing.optimizer),
    ]
    yield "always there", [(what, size) for what, size in held if size]
    yield (
        "for a step",
        [
            ("batch", step.batch),
            ("activations", step.activations),
            ("gradients", standing.gradients),
        ],
    )
    yield (
        "most at once",
        [
            ("forward and backward", step.peak),
            ("the optimizer's step", standing.peak),
            ("writing reports", found.writing),
        ],
    )


def _setting(found: Memory) -> str:
    images = "1 image" if found.views == 1 else f"{found.views} images"
    return (
        f"{found.precision}: batches of {found.batch_size} studies, each of {images} and "
        f"{found.report_tokens} tokens of report"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}" if size > 1e7 else f"{size / 1e6:.1f}"


def _studies(size: int) -> str:
    return f"{size:,} or more" if size == MOST else f"{size:,}" if size else "none"
