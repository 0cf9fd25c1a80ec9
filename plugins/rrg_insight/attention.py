"""Where the decoder looked as it wrote each word."""

from collections.abc import Iterator
from typing import ClassVar, final

import numpy as np

from rrg_insight.canvas import INK
from rrg_insight.pictures import EVEN, HEAT, radiographs, scale_of, with_boxes, with_maps
from rrg_insight.sheet import Beside, Panel, Panels, Scale, Stack, Stretch, Text, heading, render
from rrgcore.api import Box, Drawn, Figure, OpenRun, Study
from rrgcore.insight.attending import ALL, Attended, attend_writing, check_attends_writing
from rrgcore.insight.naming import Named
from rrgcore.interfaces import Lacks

NAMES = "#b35900"


@final
class Attention(Figure):
    """Cross-attention of each written word over the image's patches: the step that named it, the
    mean over all layers and heads, each word's map summing to one.

    KIA shows [MASK] tokens (Fig. 7, `mask_attention`); this is the same of T-Dec, or of a language
    model's attention to the image's tokens in its prompt.
    """

    shows: ClassVar[str] = "as KIA, Fig. 7, of the report decoder"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that the decoder does not tell, or that its tokens have no place."""
        try:
            check_attends_writing(run.model())
        except Lacks as error:
            return f"the decoder {error}"
        return None

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study."""
        for id, report in zip(run.ids, run.written(run.ids), strict=True):
            study, batch = run.study(id), run.batch([id])
            attended = attend_writing(run.model(), batch, [report.ids])[0]
            kept = [i for i, word in enumerate(attended.words) if any(map(str.isalnum, word))]
            yield self._sheet(run, study, attended, kept)

    def _sheet(self, run: OpenRun, study: Study, attended: Attended, kept: list[int]) -> Drawn:
        images, views = radiographs(run, study), len(study.images)
        maps, share = attended.maps()[:, :views], attended.share()
        even = maps * maps.shape[-1] * maps.shape[-2] * views
        high = scale_of(maps[kept], views)
        named = Named.of(attended.words, run.mentions)
        found = run.finding_boxes(study)
        naming = {w: name for name, ws in (named.naming if named else {}).items() for w in ws}

        def boxes(word: int) -> list[list[Box]]:
            if found is None or word not in naming:
                return []
            return [[box for box in image if box.name == naming[word]] for image in found.images]

        panels = [
            Panel(
                with_maps(images, even[word], high, boxes(word)),
                [Stretch(attended.words[word], ink=NAMES if word in naming else INK, bold=True)],
                aspect=float(views),
            )
            for word in kept
        ]
        first = [
            Panel(with_boxes(image, [] if found is None else found.images[number]))
            for number, image in enumerate(images)
        ]
        boxed = found is not None and any(found.images)
        caption = (
            f"Where the decoder looked as it wrote each word of its report of {study.id} ({ALL}). "
            "A word's map sums to one over all patches; colour says how many times an even share a "
            f"patch got, from 1, below which it has none, up to {high:.1f}, for all words alike. "
            f"{_fraction(share[kept])} of the attention falls on patches. "
            "Words in brown name an observation."
            + (" Blue boxes: where the findings truly are." if boxed else "")
        )
        text = Stack(
            [
                heading(f"{study.id}: attention as each word was written"),
                Text([Stretch("written: ", bold=True), Stretch(" ".join(attended.words))]),
                Text([Stretch("reference: ", bold=True), Stretch(run.reference(study.id))]),
            ]
        )
        picture = render(
            [
                Beside(Panels(first, tall=1.7), text, width=1.75 * views),
                Panels(panels, tall=0.86, size=7.0),
                Scale(HEAT, EVEN, high, "times an even share"),
            ],
            caption,
        )
        words = [
            {
                "word": attended.words[word],
                "on patches": round(float(share[word]), 4),
                "most": round(float(even[word].max()), 3),
                "at": [int(i) for i in np.unravel_index(even[word].argmax(), even[word].shape)],
                **({"names": naming[word]} if word in naming else {}),
            }
            for word in kept
        ]
        numbers = {"study": study.id, "over": str(ALL), "scale": high, "words": words}
        return Drawn(study.id, picture, caption, numbers)


def _fraction(share: np.ndarray) -> str:
    return f"{float(share.mean()):.0%}" if share.size else "nothing"
