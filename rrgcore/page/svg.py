"""SVG as text, every value escaped; colours are classes, so that a page's theme decides on them."""

from collections.abc import Iterable
from math import ceil, floor, log10

from markupsafe import Markup, escape

Number = int | float


def element(name: str, *children: str | Markup, **attributes: str | Number | None) -> Markup:
    """Return an element; `class_` is class, other underscores are hyphens, None leaves one away."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_said(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def picture(width: Number, height: Number, *children: str | Markup, **attributes: str) -> Markup:
    """Return an SVG picture that scales with its place."""
    return element("svg", *children, viewBox=f"0 0 {width:g} {height:g}", **attributes)


def line_through(points: Iterable[tuple[Number, Number]]) -> str:
    """Return path data through points."""
    return "M" + "L".join(f"{_said(x)} {_said(y)}" for x, y in points)


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """Return round numbers from at most `low` to at least `high`, about so many steps apart."""
    if low == high:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    size = 10.0 ** floor(log10(rough))
    step = next(size * each for each in (1, 2, 2.5, 5, 10) if size * each >= rough * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [float(f"{step * each:.12g}") for each in range(first, max(last, first + 1) + 1)]


def _said(value: str | Number) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".")
