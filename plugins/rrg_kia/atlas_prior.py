"""An atlas laid on an image: the patches of what its report mentions."""

from typing import final

import numpy as np
from jaxtyping import Bool

from rrg_kia.atlas import Atlas
from rrg_kia.mentions import Mentions
from rrgcore.chest import View
from rrgcore.mirror import mirrored_text
from rrgcore.study import Study


def holds_for(view: View, image: int) -> bool:
    """Whether an atlas says anything of a study's image: a frontal one, or the first of unknown
    view.
    """
    return view == "frontal" or (view == "unknown" and image == 0)


@final
class AtlasPrior:
    """Finds key patches on any grid; each grid is laid out once."""

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self._mentions = Mentions(atlas)
        self._scaled: dict[tuple[int, int], dict[str, Bool[np.ndarray, " n"]]] = {}

    def key_patches(
        self, study: Study, image: int, grid: tuple[int, int]
    ) -> Bool[np.ndarray, " n"]:
        """Return the mentioned landmarks' patches; none where the atlas does not hold.

        Of a mirrored study they are those of the study as it was, turned over.
        """
        keys = np.zeros(grid[0] * grid[1], dtype=bool)
        if study.report is None or not holds_for(study.views[image], image):
            return keys
        if grid not in self._scaled:
            self._scaled[grid] = self.atlas.on_grid(grid)
        report = mirrored_text(study.report) if study.mirrored else study.report
        for name in self._mentions(report):
            keys |= self._scaled[grid][name]
        return keys.reshape(grid)[:, ::-1].ravel() if study.mirrored else keys
