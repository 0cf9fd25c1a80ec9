"""Mining an atlas from the boxes of training images, and what it makes of a report."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, final

import numpy as np

from rrg_kia.atlas import Atlas, load_atlas, make_atlas, save_atlas
from rrg_kia.atlas_prior import AtlasPrior, holds_for
from rrgcore.annotations import Box, Boxes
from rrgcore.errors import DataError
from rrgcore.provenance import Provenance
from rrgcore.study import Study
from rrgcore.supply import Annotator

FILE: Final = "atlas.json"


@final
@dataclass(frozen=True, slots=True)
class KeyPatches:
    """The patches of each image of a study that show what its report mentions (KIA, §3.2)."""

    slug: ClassVar[str] = "key_patches"

    grid: tuple[int, int]
    """Rows and columns."""
    images: tuple[tuple[int, ...], ...]
    """Counted row by row."""

    @classmethod
    def from_json(cls, data: Any) -> "KeyPatches":
        """Read `{"grid": [14, 14], "images": [[…], …]}`."""
        try:
            rows, columns = map(int, data["grid"])
            images = tuple(tuple(map(int, patches)) for patches in data["images"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"not key patches ({type(error).__name__}: {error}); expected grid and images"
            ) from error
        return cls((rows, columns), images)

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        return {"grid": list(self.grid), "images": [list(patches) for patches in self.images]}


@final
class AtlasAnnotator(Annotator):
    """Key patches of a landmark: the `keys` patches of a `patches` grid that its boxes cover most,
    the mean over frontal training images; ties by distance to the mean box's centre, then by index
    (KIA, §3.2).

    What it learned is the file that the option `atlas` of the masking `anatomy` names. Landmarks,
    and the phrases that mean them, are those of the embedded atlas, or of the file `words`. It
    tells which key patches the study's own report mentions.
    """

    writes: ClassVar[type] = KeyPatches
    reads: ClassVar[tuple[type, ...]] = (Boxes,)
    from_report = True
    kept: ClassVar[bool] = False

    def __init__(
        self, *, keys: int = 20, patches: tuple[int, int] = (14, 14), words: str | None = None
    ) -> None:
        if min(patches) < 1 or not 1 <= keys <= patches[0] * patches[1]:
            raise ValueError(
                f"{keys} keys of {patches[0]} × {patches[1]} patches; expected at least one key, "
                "and no more than there are patches"
            )
        self.keys = keys
        self.patches = patches
        self._words = words
        self._prior: AtlasPrior | None = None

    @cached_property
    def words(self) -> Atlas:
        """Whose landmarks and names it uses; raises DataError for a file that holds none."""
        return load_atlas(self._words)

    def read_given(self) -> None:
        """Read them."""
        _ = self.words

    @property
    def atlas(self) -> Atlas:
        """What it learned."""
        assert self._prior is not None, "an atlas is mined, or loaded, before it is used"
        return self._prior.atlas

    def fit(self, studies: Sequence[Study]) -> None:
        """Average the boxes; raises DataError where no frontal image has one of a landmark."""
        images = [boxes for study in studies for boxes in _frontal_boxes(study)]
        boxed = sum(map(bool, images))
        if not boxed:
            raise DataError(
                f"no frontal image of the {len(studies):,} training studies has a box, so that "
                "there is nothing to mine an atlas from. Say who knows boxes: "
                "data.annotations.boxes"
            )
        atlas = make_atlas(
            images,
            words=self.words,
            grid=self.patches,
            keys_per_landmark=self.keys,
            about=f"Mined from the boxes of {boxed:,} frontal images.",
            learned_from=Provenance.of(studies),
        )
        self._prior = AtlasPrior(atlas)

    def save(self, folder: Path) -> None:
        """Write `atlas.json`."""
        save_atlas(self.atlas, folder / FILE)

    def load(self, folder: Path) -> None:
        """Read `atlas.json`."""
        self._prior = AtlasPrior(load_atlas(folder / FILE))

    def annotate(self, studies: Iterable[Study]) -> Iterator[KeyPatches]:
        """Yield the key patches of each study's images; none of a study without a report."""
        assert self._prior is not None, "an atlas is mined, or loaded, before it is used"
        for study in studies:
            keys = (
                self._prior.key_patches(study, image, self.patches)
                for image in range(len(study.images))
            )
            yield KeyPatches(self.patches, tuple(tuple(np.flatnonzero(k).tolist()) for k in keys))

    def fingerprint(self) -> str:
        """Return the grid and how many patches a landmark has."""
        return f"atlas: {self.keys} of {self.patches[0]} × {self.patches[1]} patches a landmark"

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Return for each landmark how many boxes it was mined from, and the share of its patches
        that are also those of the embedded atlas, or of `words`.
        """
        before = self.words.on_grid(self.patches)
        return {
            name: {
                "boxes": float(self.atlas.boxes.get(name, 0)),
                "shared": float(before[name][list(patches)].mean()),
            }
            for name, patches in self.atlas.patches.items()
        }


def _frontal_boxes(study: Study) -> Iterator[Sequence[Box]]:
    boxes = study[Boxes].images
    if len(boxes) != len(study.images):
        raise DataError(
            f"study '{study.id}' has boxes of {len(boxes)} images, and {len(study.images)} images"
        )
    for image, view in enumerate(study.views):
        if holds_for(view, image):
            yield boxes[image]
