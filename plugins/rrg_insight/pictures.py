"""Radiographs in a panel, and what is laid over them: maps, patches, boxes."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.colors import Colormap, LinearSegmentedColormap

from rrg_insight.canvas import Draw, Frame
from rrg_insight.sheet import Panel, Stretch
from rrgcore.api import Box, OpenRun, Study

Grey = UInt8[np.ndarray, "h w"]
Map = Float[np.ndarray, "rows columns"]

HEAT: Final[Colormap] = LinearSegmentedColormap.from_list(
    "heat",
    [(1.0, 0.9, 0.1, 0.0), (1.0, 0.7, 0.0, 0.5), (0.95, 0.25, 0.0, 0.7), (0.7, 0.0, 0.1, 0.85)],
)
"""From nothing to dark red: a patch that got an even share, or less, is seen as it is."""
EVEN: Final = 1.0
UNLIKE: Final[Colormap] = LinearSegmentedColormap.from_list(
    "unlike", [(0.0, 0.0, 0.0), (0.35, 0.1, 0.45), (0.9, 0.35, 0.3), (1.0, 0.95, 0.6)]
)
"""For differences, which have no radiograph beneath."""
HIDDEN, KEY, TRUE = "#8c8c8c", "#ffb000", "#21d4fd"


def show(frame: Frame, image: Grey) -> None:
    """Show an image."""
    frame.image(image, cmap="gray", vmin=0, vmax=255)


def lay_map(frame: Frame, map: Map, high: float) -> None:
    """Lay a map over it, patch by patch: nothing is smoothed, since nothing finer is known."""
    frame.image(map, cmap=HEAT, vmin=EVEN, vmax=high, interpolation="nearest")


def mark_patches(
    frame: Frame, patches: Bool[np.ndarray, "rows columns"], colour: str, *, filled: bool
) -> None:
    """Cover patches, or draw their outlines."""
    rows, columns = patches.shape
    how = {
        "facecolor": colour if filled else "none",
        "edgecolor": "none" if filled else colour,
        "linewidth": 0 if filled else 0.7,
    }
    for row, column in np.argwhere(patches).tolist():
        corners = (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
        frame.rectangle(*corners, **how)


def mark_boxes(frame: Frame, boxes: Sequence[Box], colour: str = TRUE) -> None:
    """Draw the outlines of boxes."""
    for box in boxes:
        corners = (box.x1, box.y1, box.x2, box.y2)
        frame.rectangle(*corners, facecolor="none", edgecolor=colour, linewidth=1.2)


def radiographs(run: OpenRun, study: Study) -> list[Grey]:
    """Return a study's images, as they are shown."""
    return [run.grey(study, number) for number in range(len(study.images))]


def shown(image: Grey) -> Draw:
    """Return what shows an image."""
    return lambda frame: show(frame, image)


def with_boxes(image: Grey, boxes: Sequence[Box]) -> Draw:
    """Return what shows an image and where findings lie on it."""

    def draw(frame: Frame) -> None:
        show(frame, image)
        mark_boxes(frame, boxes)

    return draw


def with_maps(
    images: Sequence[Grey],
    maps: Float[np.ndarray, "views rows columns"],
    high: float,
    boxes: Sequence[Sequence[Box]] = (),
) -> Draw:
    """Return what shows all views side by side, each with its map."""

    def draw(frame: Frame) -> None:
        for number, (image, part) in enumerate(
            zip(images, frame.columns(len(images)), strict=True)
        ):
            show(part, image)
            lay_map(part, maps[number], high)
            if boxes:
                mark_boxes(part, boxes[number])

    return draw


def scale_of(maps: Float[np.ndarray, "words views rows columns"], views: int) -> float:
    """Return where a common scale of maps is to end, in multiples of an even map: what one patch in
    two hundred exceeds, so that a single one does not darken all others.
    """
    if not maps.size:
        return 2.0
    even = maps * maps.shape[-1] * maps.shape[-2] * views
    return max(2.0, float(np.quantile(even, 0.995)))


def view_panels(study: Study, images: Sequence[Grey]) -> list[Panel]:
    """Return a panel a view, named where there are several."""
    several = len(images) > 1
    return [
        Panel(shown(image), [Stretch(view)] if several else [])
        for view, image in zip(study.views, images, strict=True)
    ]
