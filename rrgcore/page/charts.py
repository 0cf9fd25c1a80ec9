"""Charts of a page: curves by step, a score with its interval, bars."""

import json
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from rrgcore.page.curves import TOTAL, Curve, Kind, Training
from rrgcore.page.svg import Number, element, line_through, picture, ticks

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 20, 28
"""Margins of a chart of curves: numbers on the left, stages above, steps below."""
GAUGE, THICK = 200, 22
"""Width and height of a score's chart."""
MARKS = ("diamond", "triangle", "square", "cross", "circle")
"""Of what stands beside a score, in order; the last is for all that follow."""

TITLES: Mapping[Kind, str] = {
    "objective": "Losses",
    "validation": "Validation",
    "log": "What objectives log",
    "optimizer": "Learning rate and gradient norm",
}
"""Of the kinds of curves, in the order in which they are shown."""


def curve_charts(training: Training) -> list[tuple[str, list[tuple[str, Markup]]]]:
    """Return the charts of each kind of number; the sum of losses only where there are several."""
    found = []
    for kind, title in TITLES.items():
        curves = [curve for curve in training.curves if curve.kind == kind]
        if kind == "objective" and len(curves) == 2:
            curves = [curve for curve in curves if curve.name != TOTAL]
        if curves:
            found.append((title, [(curve.name, curve_chart(curve, training)) for curve in curves]))
    return found


def curve_chart(curve: Curve, training: Training) -> Markup:
    """Draw one curve over all steps, its stages marked; what a script needs to tell a value of it
    is in `data-points`.
    """
    marks = ticks(
        min(point.low for point in curve.points), max(point.high for point in curve.points)
    )
    low, high = marks[0], marks[-1]
    inner, below = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM

    def x(at: int) -> float:
        return LEFT + inner * (at - 1) / max(1, training.steps - 1)

    def y(value: float) -> float:
        return below - (below - TOP) * (value - low) / (high - low)

    parts: list[Markup] = []
    for mark in marks:
        parts.append(_grid_line(y(mark), mark))
    parts += _stages(training, x)
    parts += [
        element("text", f"{step:,}", class_="tick", x=x(step), y=HEIGHT - 12, text_anchor=anchor)
        for step, anchor in {1: "start", training.steps: "end"}.items()
    ]
    parts.append(
        element(
            "text", "step", class_="tick", x=LEFT + inner / 2, y=HEIGHT - 12, text_anchor="middle"
        )
    )
    validation = curve.kind == "validation"
    for number in range(len(training.stages)):
        own = [point for point in curve.points if point.stage == number]
        if not own:
            continue
        upper = [(x(point.at), y(point.high)) for point in own]
        lower = [(x(point.at), y(point.low)) for point in reversed(own)]
        if not validation and len(own) > 1:
            parts.append(element("path", class_="spread", d=f"{line_through(upper + lower)}Z"))
        parts.append(
            element("path", class_="line", d=line_through([(x(p.at), y(p.mean)) for p in own]))
        )
        if validation or len(own) == 1:
            parts += [
                element(
                    "circle",
                    class_="best" if point.best else "dot",
                    cx=x(point.at),
                    cy=y(point.mean),
                    r=4 if point.best else 3,
                )
                for point in own
            ]
    points = [
        [round(x(p.at), 1), round(y(p.mean), 1), p.stage, p.step, float(f"{p.mean:.4g}")]
        for p in curve.points
    ]
    parts.append(
        element(
            "g",
            element("path", class_="cursor", d=""),
            element("circle", class_="cursor-dot", r=4),
            class_="pointer",
        )
    )
    return picture(
        WIDTH,
        HEIGHT,
        *parts,
        class_="curve",
        role="img",
        aria_label=f"{curve.name} by step, from {curve.points[0].mean:.4g} to "
        f"{curve.points[-1].mean:.4g}",
        data_points=json.dumps(points, separators=(",", ":")),
        data_stages=json.dumps([stage.name for stage in training.stages]),
    )


def _grid_line(y: float, value: float) -> Markup:
    return element(
        "g",
        element("path", class_="grid", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}"),
        element("text", f"{value:.4g}", class_="tick", x=LEFT - 6, y=y + 4, text_anchor="end"),
    )


def _stages(training: Training, x: Callable[[int], float]) -> list[Markup]:
    parts: list[Markup] = []
    for number, stage in enumerate(training.stages):
        start, end = x(stage.start + 1), x(stage.start + stage.steps)
        if number:
            parts.append(
                element("path", class_="stage", d=f"M{start:.1f} {TOP - 8}V{HEIGHT - BOTTOM}")
            )
        room = int((end - start) / 6.5)
        name = stage.name if len(stage.name) <= room else f"{stage.name[: max(0, room - 1)]}…"
        if room > 2:
            parts.append(
                element(
                    "text",
                    name,
                    element("title", stage.name),
                    class_="tick",
                    x=start + (4 if number else 0),
                    y=TOP - 8,
                )
            )
    return parts


def gauge(
    value: float,
    interval: tuple[float, float] | None,
    others: Mapping[int, tuple[str, float]],
    label: str,
) -> Markup:
    """Draw a score with its interval, on a scale of its own; and by the number of its mark what
    stands beside it, a name and the same score.
    """
    low, high = interval or (value, value)
    there = [value, low, high, *(each for _, each in others.values())]
    scale = ticks(min(0.0, *there), max(there) or 1.0)
    first, last = scale[0], scale[-1]

    def x(number: float) -> float:
        return 6 + (GAUGE - 12) * (number - first) / (last - first)

    middle = THICK / 2
    parts = [element("path", class_="axis", d=f"M6 {middle}H{GAUGE - 6}")]
    parts += [
        element("path", class_="axis", d=f"M{x(mark):.1f} {middle - 3}V{middle + 3}")
        for mark in scale
    ]
    parts += [
        _mark(min(number, len(MARKS) - 1), x(each), middle, f"{name}: {each:.3f}")
        for number, (name, each) in others.items()
    ]
    if interval:
        parts.append(
            element(
                "path",
                class_="error",
                d=f"M{x(low):.1f} {middle}H{x(high):.1f}M{x(low):.1f} {middle - 5}v10"
                f"M{x(high):.1f} {middle - 5}v10",
            )
        )
    parts.append(
        element("circle", element("title", label), class_="own", cx=x(value), cy=middle, r=5)
    )
    return picture(GAUGE, THICK, *parts, class_="gauge", role="img", aria_label=label)


def legend_mark(number: int) -> Markup:
    """Draw the mark of what stands beside a score, for a column's head."""
    return picture(
        14, 14, _mark(min(number, len(MARKS) - 1), 7, 7, None), class_="legend", aria_hidden="true"
    )


def _mark(number: int, x: Number, y: Number, title: str | None) -> Markup:
    shapes = {
        "diamond": f"M{x:.1f} {y - 6}l5 6l-5 6l-5-6Z",
        "triangle": f"M{x:.1f} {y - 5}l5 9h-10Z",
        "square": f"M{x - 4:.1f} {y - 4}h8v8h-8Z",
        "cross": f"M{x - 4:.1f} {y - 4}l8 8m0-8l-8 8",
        "circle": f"M{x - 4:.1f} {y}a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
    }
    titles = [element("title", title)] if title else []
    return element("path", *titles, class_=f"other {MARKS[number]}", d=shapes[MARKS[number]])


def bars(values: Sequence[tuple[str, float]], label: str) -> Markup:
    """Draw shares from 0 to 1 as thin bars one above the other, each of a class of its own."""
    tall, width = 6, 160
    height = (tall + 2) * len(values)
    parts = [element("path", class_="axis", d=f"M{width / 2} 0V{height}M{width} 0V{height}")]
    for number, (name, value) in enumerate(values):
        shown = min(1.0, max(0.0, value))
        parts.append(
            element(
                "rect",
                element("title", f"{name} {value:.3f}"),
                class_=f"bar bar-{number}",
                x=0,
                y=number * (tall + 2) + 1,
                width=max(0.5, width * shown),
                height=tall,
            )
        )
    parts.append(element("path", class_="axis", d=f"M0 0V{height}"))
    return picture(width, height, *parts, class_="bars", role="img", aria_label=label)


def support_bar(count: int, most: int) -> Markup:
    """Draw how many there are, beside the most of any."""
    width = 60
    return picture(
        width,
        10,
        element(
            "rect", class_="bar support", x=0, y=2, width=max(0.5, width * count / most), height=6
        ),
        class_="support",
        aria_hidden="true",
    )
