"""The table of an ablation as a picture; importing this imports no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from rrgcore.ablation.table import Line, Table
from rrgcore.errors import UserError
from rrgcore.figure_file import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR, SEED, REFERENCE = "#2f6fb2", "#9db9d6", "#4c4c4c"
IN_A_ROW: Final = 4
"""Panels beside each other."""


def draw_table(table: Table, path: Path, *, caution: str = "") -> None:
    """Draw a panel a score into a PNG or SVG: each row's mean, its seeds, and the 95 % interval of
    its difference from the reference row, whose mean is a line. Raises UserError for a table
    without a score.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not table.metrics:
        raise UserError("--figure has nothing to draw: no finished run has a score of the columns")
    count = len(table.metrics)
    columns = min(IN_A_ROW, count)
    down = -(-count // columns)
    longest = max(len(line.label) for line in table.lines)
    size = (0.075 * longest + 2.3 * columns + 0.3, (0.26 * len(table.lines) + 0.75) * down + 0.75)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(down, columns, sharey=True, squeeze=False)
    for place, axes in enumerate(panels.flat):
        if place < count:
            _panel(axes, table, table.metrics[place])
        else:
            axes.set_visible(False)
    caption = [
        f"Bars: 95 % intervals of the difference from {table.reference} (dashed), its mean added.",
        "A filled mark can be told apart from it; light marks are single seeds.",
        caution,
    ]
    figure.supxlabel("\n".join(caption).strip(), size=7, color="#6b6b6b", parse_math=False)
    write_figure(figure, path)


def _panel(axes: "Axes", table: Table, metric: str) -> None:
    reference = next(line for line in table.lines if line.label == table.reference)
    middle = reference.figures.get(metric)
    if middle is not None:
        axes.axvline(middle.value, color=REFERENCE, linewidth=0.9, linestyle="--", zorder=1)
    for place, line in enumerate(table.lines):
        _row(axes, line, metric, place, middle.value if middle is not None else None)
    axes.set_title(table.short(metric), size=9, parse_math=False)
    axes.set_ylim(len(table.lines) - 0.4, -0.6)
    labels = [line.label for line in table.lines]
    axes.set_yticks(range(len(labels)), labels, size=8, parse_math=False)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _row(axes: "Axes", line: Line, metric: str, place: int, middle: float | None) -> None:
    found, change = line.figures.get(metric), line.changes.get(metric)
    if found is None:
        return
    if len(found.values) > 1:
        axes.plot(found.values, [place] * len(found.values), ".", color=SEED, ms=4, zorder=2)
    if change is not None and middle is not None:
        ends = (middle + change.low, middle + change.high)
        axes.plot(ends, (place, place), color=COLOUR, linewidth=1.6, zorder=3)
    colour = REFERENCE if change is None else COLOUR
    filled = change is None or change.distinguishable
    face = colour if filled else "white"
    axes.plot([found.value], [place], "o", color=colour, mfc=face, ms=5, zorder=4)
