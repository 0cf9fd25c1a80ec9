"""The key patches of each anatomical landmark."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, cast, final

import numpy as np
from jaxtyping import Bool

from rrg_insight.canvas import Draw, Frame
from rrg_insight.pictures import KEY, Grey, mark_boxes, mark_patches, show
from rrg_insight.sheet import Panel, Panels, Stretch, heading, render
from rrgcore.api import Box, Boxes, Drawn, Figure, OpenRun, ShowsLandmarks, Study, UserError

GRID = (14, 14)
"""The paper's: an image of 224 pixels in patches of 16."""


@final
class Landmarks(Figure):
    """The atlas that anatomy-guided masking goes by: 34 landmarks of 20 key patches on a 14 × 14
    grid, over the first frontal image that is drawn.

    KIA, Fig. 8 and appendix A.
    """

    shows: ClassVar[str] = "KIA, Fig. 8"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that no masking knows landmarks."""
        if _atlases(run):
            return None
        return "no masking strategy knows where landmarks lie (ShowsLandmarks)"

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet an atlas."""
        atlases = _atlases(run)
        ids = run.ids or [study.id for study in run.studies()[:1]]
        studies = [run.study(id) for id in ids]
        study, image = next(
            ((each, i) for each in studies for i, view in enumerate(each.views)
             if view != "lateral"),
            (studies[0], 0),
        )  # fmt: skip
        grey, boxes = run.grey(study, image), _boxes(run, study, image)
        for name, atlas in atlases.items():
            patches = {
                key: np.asarray(own).reshape(GRID) for key, own in atlas.landmarks(GRID).items()
            }
            yield self._sheet(name if len(atlases) > 1 else "", study, grey, patches, boxes)

    def _sheet(
        self,
        name: str,
        study: Study,
        grey: Grey,
        patches: Mapping[str, Bool[np.ndarray, "rows columns"]],
        boxes: Mapping[str, Box],
    ) -> Drawn:
        panels = [
            Panel(_marked(grey, own, boxes.get(key)), [Stretch(key)])
            for key, own in patches.items()
        ]
        counts = sorted({int(own.sum()) for own in patches.values()})
        blue = " Blue boxes: where they truly lie on this image." if boxes else ""
        caption = (
            f"Key patches of {len(patches)} anatomical landmarks on a {GRID[0]} × {GRID[1]} grid "
            f"({_range(counts)} patches each), over {study.id}. The atlas is the same "
            f"for every frontal image; the patient's right is on the left.{blue}"
        )
        numbers = {
            "grid": list(GRID),
            "over": study.id,
            "landmarks": {
                key: {
                    "patches": [int(i) for i in np.flatnonzero(own)],
                    **({"inside its box": _share(own, boxes[key])} if key in boxes else {}),
                }
                for key, own in patches.items()
            },
        }
        head = heading(f"Atlas of {len(patches)} landmarks")
        return Drawn(
            name, render([head, Panels(panels, tall=1.12, size=6.5)], caption), caption, numbers
        )


def _atlases(run: OpenRun) -> dict[str, ShowsLandmarks]:
    return {
        name: cast(ShowsLandmarks, strategy)
        for name, strategy in run.strategies().items()
        if isinstance(strategy, ShowsLandmarks)
    }


def _boxes(run: OpenRun, study: Study, image: int) -> dict[str, Box]:
    """Return where the data says that landmarks lie, if it does."""
    try:
        (known,) = run.knowing([study.id], (Boxes,))
    except UserError:
        return {}
    return {box.name: box for box in known[Boxes].images[image]}


def _share(patches: Bool[np.ndarray, "rows columns"], box: Box) -> float:
    """Return the share of patches whose centre lies in a box."""
    rows, columns = np.nonzero(patches)
    x, y = (columns + 0.5) / patches.shape[1], (rows + 0.5) / patches.shape[0]
    within = (box.x1 <= x) & (x <= box.x2) & (box.y1 <= y) & (y <= box.y2)
    return round(float(within.mean()), 3) if len(rows) else 0.0


def _marked(grey: Grey, patches: Bool[np.ndarray, "rows columns"], box: Box | None) -> Draw:
    def draw(frame: Frame) -> None:
        show(frame, grey)
        mark_patches(frame, patches, f"{KEY}99", filled=True)
        if box is not None:
            mark_boxes(frame, [box])

    return draw


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
