"""A page to draw on, in inches from its top left, and how wide text is on it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

DPI: Final = 100
INK, FAINT, WRONG = "#1a1a1a", "#6b6b6b", "#c00000"
PAPER: Final = "white"


@final
class Page:
    """A figure to draw on, measured from its top left."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
        FigureCanvasAgg(self.figure)

    @cached_property
    def plane(self) -> Axes:
        """Axes over the whole page, in inches from the top left: one for all pictures, since each
        takes longer to make than what is drawn in it.
        """
        axes = self.axes(0.0, 0.0, self.width, self.height)
        axes.set_axis_off()
        axes.autoscale(False)
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        return axes

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Make axes at a place, for what has ticks."""
        return self.figure.add_axes(
            (
                left / self.width,
                1 - (top + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )

    def write(
        self, left: float, baseline: float, text: str, *, size: float, ink: str, bold: bool
    ) -> None:
        """Write one line."""
        self.figure.text(
            left / self.width,
            1 - baseline / self.height,
            text,
            size=size,
            color=ink,
            weight="bold" if bold else "normal",
            va="baseline",
            parse_math=False,
        )

    def fill(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        """Fill a rectangle behind what is written."""
        self.figure.add_artist(
            Rectangle(
                (left / self.width, 1 - (top + height) / self.height),
                width / self.width,
                height / self.height,
                transform=self.figure.transFigure,
                facecolor=colour,
                edgecolor="none",
                zorder=0,
            )
        )


@final
@dataclass(frozen=True, slots=True)
class Frame:
    """A place for a picture: its own coordinates go from 0 to 1, across and down."""

    page: Page
    left: float
    top: float
    width: float
    height: float

    def image(self, values: np.ndarray, **how: Any) -> None:
        """Fill it with an image, in matplotlib's words."""
        right, bottom = self.left + self.width, self.top + self.height
        extent = (self.left, right, bottom, self.top)
        self.page.plane.imshow(values, extent=extent, aspect="auto", **how)

    def rectangle(self, x1: float, y1: float, x2: float, y2: float, **how: Any) -> None:
        """Draw a rectangle, in matplotlib's words."""
        corner = (self.left + x1 * self.width, self.top + y1 * self.height)
        wide, tall = (x2 - x1) * self.width, (y2 - y1) * self.height
        self.page.plane.add_patch(Rectangle(corner, wide, tall, **how))

    def columns(self, count: int) -> "list[Frame]":
        """Cut it into equal ones, side by side."""
        wide = self.width / count
        return [
            Frame(self.page, self.left + number * wide, self.top, wide, self.height)
            for number in range(count)
        ]


Draw = Callable[[Frame], None]


@lru_cache(maxsize=20_000)
def measure(text: str, size: float, bold: bool = False) -> float:
    """Return how wide a line of text is."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width, _, _ = _renderer().get_text_width_height_descent(text, font, False)
    return float(width) / DPI


def fit(text: str, width: float, size: float, bold: bool = False) -> str:
    """Return a line cut to a width, with an ellipsis where something is missing."""
    if measure(text, size, bold) <= width:
        return text
    while text and measure(f"{text}…", size, bold) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


@lru_cache(maxsize=1)
def _renderer() -> RendererAgg:
    return RendererAgg(10, 10, DPI)
