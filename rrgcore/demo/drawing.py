"""What was written of a study, as the page draws it."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

from rrgcore.demo.uploads import Grey
from rrgcore.insight.attending import Attended
from rrgcore.page.maps import packed
from rrgcore.page.pictures import jpeg
from rrgcore.prediction.written import Written

SIDE: Final = 768
"""Pixels: the longer side of a picture, at most."""


def draw(written: Written, attended: Attended | str, images: Sequence[Grey]) -> dict[str, Any]:
    """Return a report, its images and where each word looked, as JSON.

    Maps are laid over the whole of an image: what the model sees is resized, and never cropped.
    """
    if isinstance(attended, str):
        maps, absent = None, attended
    else:
        found = packed(attended.maps())
        absent = ""
        maps = {
            "data": found.data,
            "views": found.views,
            "rows": found.rows,
            "columns": found.columns,
        }
    return {
        "images": [picture(image) for image in images],
        "words": [list(word) for word in written.words],
        "confidence": written.confidence,
        "warnings": [notice.text for notice in written.warnings],
        "maps": maps,
        "absent": absent,
    }


def picture(image: Grey) -> dict[str, Any]:
    """Return a grey image as a data URI, in its own shape and no larger than a page can use."""
    small = Image.fromarray(image)
    small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return {"uri": jpeg(np.asarray(small)), "width": small.width, "height": small.height}
