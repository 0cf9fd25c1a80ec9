"""Draws docs/images/concepts.svg: `python docs/images/make_concepts.py`.

All text stands in filled shapes, so that the picture reads the same on a light and on a dark page.
"""

from html import escape
from pathlib import Path
from typing import Final

WIDTH: Final = 580
CORE, DATA, MODEL, LEARN, SCORE = "#546e7a", "#00796b", "#3949ab", "#b23c00", "#6a1b9a"
LINE: Final = "#78909c"
PALE, INK = "#eceff1", "#263238"


def box(x: float, y: float, w: float, fill: str, name: str, *lines: str, h: float = 0) -> str:
    """A box: a name, and below it what it is."""
    h = h or 30 + 17 * len(lines)
    said = text(x + w / 2, y + 20, name, size=15, bold=True)
    said += "".join(text(x + w / 2, y + 38 + 17 * n, line) for n, line in enumerate(lines))
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{fill}"/>{said}'


def text(x: float, y: float, said: str, *, size: float = 12.5, bold: bool = False) -> str:
    """White text about a middle."""
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" text-anchor="middle" font-size="{size}" fill="#fff"{weight}>'
        f"{escape(said)}</text>"
    )


def pill(x: float, y: float, w: float, said: str) -> str:
    """A remark beside an arrow, about a middle."""
    return (
        f'<rect x="{x - w / 2}" y="{y - 12}" width="{w}" height="22" rx="11" fill="{PALE}" '
        f'stroke="{LINE}"/><text x="{x}" y="{y + 3.5}" text-anchor="middle" font-size="12" '
        f'fill="{INK}">{escape(said)}</text>'
    )


def arrow(*points: tuple[float, float], dashed: bool = False) -> str:
    """An arrow through points."""
    path = "M" + " L".join(f"{x} {y}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="2.2" '
        f'marker-end="url(#tip)"{dash}/>'
    )


def make_picture() -> str:
    """Return the picture: from files to a report and its scores, and where a plugin comes in."""
    left, wide, side, narrow = 14, 300, 366, 200
    middle, far = left + wide / 2, side + narrow / 2
    parts = [
        # data
        box(left, 12, wide, CORE, "files", "an archive, a table, a folder of DICOM"),
        box(side, 12, narrow, DATA, "source", "Source: reads an archive"),
        arrow((side, 36), (left + wide + 4, 36)),
        arrow((middle, 59), (middle, 79)),
        box(left, 82, wide, DATA, "dataset", "Dataset: lists studies, opens images"),
        arrow((middle, 129), (middle, 149)),
        box(left, 152, wide, CORE, "study", "images and views · report · annotations"),
        box(side, 152, narrow, DATA, "annotator", "Annotator: labels, graphs, …"),
        arrow((side, 176), (left + wide + 4, 176)),
        arrow((middle, 199), (middle, 219)),
        box(left, 222, wide, CORE, "batch", "images [b v 3 h w] · report [b t] · prepared"),
        box(side, 222, narrow, LEARN, "masking", "MaskingStrategy: hides some"),
        arrow((side, 246), (left + wide + 4, 246)),
        # the model
        arrow((middle, 269), (middle, 299)),
        box(left, 302, wide, MODEL, "encoder", "VisualEncoder: images → visual tokens"),
        arrow((middle, 349), (middle, 379)),
        box(left, 382, wide, MODEL, "adapter", "Adapter: → what the decoder reads"),
        arrow((middle, 429), (middle, 459)),
        box(left, 462, wide, MODEL, "decoder", "Decoder: the report's loss, and reports"),
        box(left, 526, wide, MODEL, "text encoder", "reads reports; the decoder, unless named"),
        box(side, 302, narrow, LEARN, "objective", "AlignmentObjective: a loss", h=207),
        *(
            f'<rect x="{x}" y="{y}" width="84" height="26" rx="6" fill="#fff" '
            f'fill-opacity="0.2"/>{text(x + 42, y + 17.5, name, size=13)}'
            for n, name in enumerate(("mim", "mlm", "irc", "irm", "report", "mine"))
            for x, y in [(side + 11 + 94 * (n % 2), 352 + 32 * (n // 2))]
        ),
        text(far, 466, "asks for the features that"),
        text(far, 483, "it wants; each is computed"),
        text(far, 500, "once a batch"),
        *(arrow((left + wide, y), (side - 4, y), dashed=True) for y in (326, 406, 486)),
        arrow((left + wide, 550), (far - 60, 550), (far - 60, 512), dashed=True),
        arrow((far + 40, 509), (far + 40, 527)),
        box(side + 90, 530, narrow - 90, CORE, "step", "Σ weight · loss"),
        box(left, 590, wide, MODEL, "part", "Part, Trunk, JointSpace: what several share"),
        # what comes out
        arrow((left + 20, 509), (left + 20, 518), (6, 518), (6, 654), (middle, 654), (middle, 671)),
        box(left, 674, wide, CORE, "report", "rrg run, evaluate, predict, demo"),
        arrow((middle, 721), (middle, 741)),
        box(left, 744, wide, SCORE, "metric", "Metric: a protocol, beside baselines"),
        box(side, 674, narrow, SCORE, "figure", "Figure: where it looked, …"),
        box(side, 744, narrow, SCORE, "published", "Published: papers' own"),
        arrow((left + wide, 698), (side - 4, 698)),
        arrow((side, 768), (left + wide + 4, 768)),
        # a plugin
        f'<rect x="{left}" y="814" width="{side + narrow - left}" height="112" rx="10" '
        f'fill="{INK}" stroke="{LINE}"/>',
        text(
            WIDTH / 2, 838, "a plugin: a Python package that offers components", size=15, bold=True
        ),
        pill(
            WIDTH / 2, 862, 500, 'Component("adapter", "hello.pool", "rrg_hello.pool:PoolAdapter")'
        ),
        pill(WIDTH / 2, 890, 330, "rrg run kia_graph model.adapter=hello.pool"),
        text(
            WIDTH / 2,
            916,
            "Every coloured box is a place for one, by its kind; grey is rrg's core.",
        ),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 938" width="{WIDTH}" '
        'height="938" font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, '
        'sans-serif" role="img" aria-label="From files to a report and its scores">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker>'
        "</defs>\n"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


if __name__ == "__main__":
    Path(__file__).with_name("concepts.svg").write_text(make_picture(), encoding="utf-8")
