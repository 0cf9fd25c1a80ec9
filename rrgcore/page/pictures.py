"""Images of studies as they fit into a page: small JPEGs, written in the page itself."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from rrgcore.data import ImageCache
from rrgcore.errors import DataError
from rrgcore.page.lines import readable
from rrgcore.study import Study
from rrgcore.watch import Watcher

QUALITY = 88


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a study."""

    view: str
    uri: str


@final
@dataclass(frozen=True, slots=True)
class Pictures:
    """The images of a study, or why there are none."""

    views: Sequence[Picture] = ()
    absent: str = ""


def take_pictures(
    studies: Sequence[tuple[str, str]],
    there: Mapping[str, Study],
    references: Mapping[str, str],
    images: ImageCache,
    watcher: Watcher,
) -> list[Pictures]:
    """Return the pictures of studies, each an id and the reference that the run scored it against.

    A study that has another report now is not the one that the run saw: its images are not shown.
    """
    found = []
    for id, reference in watcher.track(studies, "reading images", len(studies)):
        if (study := there.get(id)) is None:
            found.append(Pictures(absent="the data has no such study any more"))
        elif readable(references.get(id, "")).split() != reference.split():
            found.append(Pictures(absent="the data has another report for it than the run saw"))
        else:
            found.append(_pictures(study, images))
    return found


def jpeg(pixels: UInt8[np.ndarray, "h w"]) -> str:
    """Return grey pixels as a data URI."""
    held = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(held, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(held.getvalue()).decode()}"


def _pictures(study: Study, images: ImageCache) -> Pictures:
    try:
        return Pictures(
            [
                Picture(view, jpeg(images[image]))
                for image, view in zip(study.images, study.views, strict=True)
            ]
        )
    except DataError as error:
        return Pictures(absent=str(error))
