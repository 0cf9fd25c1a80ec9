"""Sheets of text and pictures: blocks that know how tall they are, so that nothing overlaps.

Everything is in inches from the top left. The size of a figure follows from what is on it, however
long a report is and however many views there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from rrg_insight.canvas import FAINT, INK, Draw, Frame, Page, fit, measure

MARGIN: Final = 0.2
LINE: Final = 1.4
"""Height of a line, in font sizes."""
WIDE: Final = 99.0
"""Of a line that was cut to fit already."""

Plot = Callable[[Axes], None]


class Block(ABC):
    """Something on a sheet."""

    @abstractmethod
    def height(self, width: float) -> float:
        """Return how tall it is, so wide."""

    @abstractmethod
    def draw(self, page: Page, left: float, top: float, width: float) -> None:
        """Draw it."""


def render(blocks: Sequence[Block], caption: str, *, width: float = 9.0) -> Figure:
    """Put blocks one below the other, the caption last."""
    inner = width - 2 * MARGIN
    stack = Stack([*blocks, Text([Stretch(caption, ink=FAINT)], size=7.5)], gap=0.14)
    page = Page(width, stack.height(inner) + 2 * MARGIN)
    stack.draw(page, MARGIN, MARGIN, inner)
    return page.figure


@final
@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of text in one style."""

    text: str
    ground: str | None = None
    """Colour behind it."""
    ink: str = INK
    bold: bool = False
    underlined: str | None = None
    """Colour of a line below it."""


@final
class Text(Block):
    """Runs of text, folded at white space; a word that is longer than a line is cut."""

    def __init__(self, runs: Sequence[Stretch], *, size: float = 8.5) -> None:
        self.runs = [run for run in runs if run.text]
        self.size = size

    def height(self, width: float) -> float:
        """Return the height of all lines."""
        return max(1, len(list(self._lines(width)))) * self.size * LINE / 72

    def draw(self, page: Page, left: float, top: float, width: float) -> None:
        """Write the lines, grounds first."""
        step = self.size * LINE / 72
        for number, line in enumerate(self._lines(width)):
            y = top + number * step
            for at, wide, run in line:
                if run.ground is not None:
                    page.fill(left + at, y + 0.08 * step, wide, 0.9 * step, run.ground)
                if run.underlined is not None:
                    page.fill(left + at, y + 0.94 * step, wide, 0.018, run.underlined)
                page.write(
                    left + at, y + 0.76 * step, run.text, size=self.size, ink=run.ink, bold=run.bold
                )

    def _lines(self, width: float) -> Iterator[list[tuple[float, float, Stretch]]]:
        """Iterate over lines, each its stretches with where they begin and how wide they are."""
        line: list[tuple[float, float, Stretch]] = []
        at, before = 0.0, -1
        for number, run in enumerate(self.runs):
            for piece in _pieces(run.text):
                if piece == "\n":
                    yield line
                    line, at = [], 0.0
                    continue
                for part in self._cut(piece, width, run.bold):
                    wide = measure(part, self.size, run.bold)
                    if at + measure(part.rstrip(), self.size, run.bold) > width and line:
                        yield line
                        line, at = [], 0.0
                    if not line and part.isspace():
                        continue
                    if line and before == number:
                        first, sofar, same = line[-1]
                        line[-1] = (first, sofar + wide, _like(run, same.text + part))
                    else:
                        line.append((at, wide, _like(run, part)))
                    at, before = at + wide, number
        if line:
            yield line

    def _cut(self, word: str, width: float, bold: bool) -> Iterator[str]:
        while measure(word.rstrip(), self.size, bold) > width and len(word) > 1:
            count = max(1, int(len(word) * width / measure(word, self.size, bold)) - 1)
            yield word[:count]
            word = word[count:]
        yield word


@final
class Stack(Block):
    """Blocks one below the other."""

    def __init__(self, blocks: Sequence[Block], *, gap: float = 0.06) -> None:
        self.blocks, self.gap = blocks, gap

    def height(self, width: float) -> float:
        """Return the sum, gaps included."""
        heights = [block.height(width) for block in self.blocks]
        return sum(heights) + self.gap * max(0, len(heights) - 1)

    def draw(self, page: Page, left: float, top: float, width: float) -> None:
        """Draw each below the one before."""
        for block in self.blocks:
            block.draw(page, left, top, width)
            top += block.height(width) + self.gap


@final
class Beside(Block):
    """A block of a fixed width, and another one to its right."""

    def __init__(self, first: Block, second: Block, *, width: float, gap: float = 0.2) -> None:
        self.first, self.second = first, second
        self.width, self.gap = width, gap

    def height(self, width: float) -> float:
        """Return the taller one's."""
        return max(self.first.height(self.width), self.second.height(width - self.width - self.gap))

    def draw(self, page: Page, left: float, top: float, width: float) -> None:
        """Draw both, aligned at the top."""
        self.first.draw(page, left, top, self.width)
        right = self.width + self.gap
        self.second.draw(page, left + right, top, width - right)


@final
@dataclass(frozen=True, slots=True)
class Panel:
    """A picture with lines of text above it, each cut to the picture's width."""

    draw: Draw
    title: Sequence[Stretch] = ()
    """A line each."""
    aspect: float = 1.0
    """Width by height."""


@final
@dataclass
class Panels(Block):
    """Pictures of one height, in as many rows as it takes."""

    panels: Sequence[Panel]
    tall: float = 1.6
    gap: float = 0.1
    size: float = 8.0
    _lines: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._lines = max((len(panel.title) for panel in self.panels), default=0)

    def height(self, width: float) -> float:
        """Return the height of all rows."""
        rows = len(list(self._rows(width)))
        return rows * self._row_height() + max(0, rows - 1) * self.gap

    def draw(self, page: Page, left: float, top: float, width: float) -> None:
        """Draw row by row."""
        above = self._lines * self.size * LINE / 72
        for row in self._rows(width):
            at = left
            for panel, wide in row:
                for number, run in enumerate(panel.title):
                    line = _like(run, fit(run.text, wide, self.size, run.bold))
                    Text([line], size=self.size).draw(
                        page, at, top + number * self.size * LINE / 72, WIDE
                    )
                panel.draw(Frame(page, at, top + above, wide, wide / panel.aspect))
                at += wide + self.gap
            top += self._row_height() + self.gap

    def _row_height(self) -> float:
        return self._lines * self.size * LINE / 72 + self.tall

    def _rows(self, width: float) -> Iterator[list[tuple[Panel, float]]]:
        row: list[tuple[Panel, float]] = []
        used = 0.0
        for panel in self.panels:
            wide = min(self.tall * panel.aspect, width)
            if row and used + wide > width + 1e-6:
                yield row
                row, used = [], 0.0
            row.append((panel, wide))
            used += wide + self.gap
        if row:
            yield row


@final
class Chart(Block):
    """One picture over the whole width, with room for ticks."""

    def __init__(self, draw: Plot, *, tall: float, left: float = 0.6, below: float = 0.45) -> None:
        self.paint, self.tall = draw, tall
        self.left, self.below = left, below

    def height(self, width: float) -> float:
        """Return the height, ticks included."""
        return self.tall + self.below

    def draw(self, page: Page, left: float, top: float, width: float) -> None:
        """Draw it."""
        axes = page.axes(left + self.left, top, width - self.left, self.tall)
        axes.tick_params(labelsize=8.0)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        self.paint(axes)


@final
class Scale(Block):
    """A colour scale, with what its numbers are."""

    def __init__(
        self, colours: Colormap, low: float, high: float, label: str, *, ground: str = "#777777"
    ) -> None:
        self.colours, self.low, self.high, self.label = colours, low, high, label
        self.ground = ground

    def height(self, width: float) -> float:
        """Return the height of bar and numbers."""
        return 0.34

    def draw(self, page: Page, left: float, top: float, width: float) -> None:
        """Draw the bar, and the label to its right."""
        wide = min(2.4, width / 2)
        axes = page.axes(left, top, wide, 0.13)
        axes.set_facecolor(self.ground)
        bar = page.figure.colorbar(
            ScalarMappable(Normalize(self.low, self.high), self.colours),
            cax=axes,
            orientation="horizontal",
        )
        bar.ax.tick_params(labelsize=7, length=2, pad=1)
        bar.outline.set_linewidth(0.4)  # type: ignore[operator]
        Text([Stretch(self.label, ink=FAINT)], size=8.0).draw(
            page, left + wide + 0.15, top - 0.02, WIDE
        )


def heading(text: str, *, size: float = 10.5) -> Text:
    """Return a line in bold."""
    return Text([Stretch(text, bold=True)], size=size)


def _pieces(text: str) -> Iterator[str]:
    """Cut a text into words with the space behind each, and line breaks."""
    word = ""
    for character in text:
        if character == "\n":
            if word:
                yield word
            yield "\n"
            word = ""
        elif word and word[-1].isspace() and not character.isspace():
            yield word
            word = character
        else:
            word += character
    if word:
        yield word


def _like(run: Stretch, text: str) -> Stretch:
    return Stretch(text, run.ground, run.ink, run.bold, run.underlined)
