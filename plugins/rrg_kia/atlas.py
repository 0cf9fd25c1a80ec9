"""The anatomy prior: which patches show a landmark on a frontal image, and which words name it."""

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float, Int

from rrgcore.annotations import Box
from rrgcore.errors import DataError, shortened
from rrgcore.files import write_text
from rrgcore.json_text import parse_json
from rrgcore.provenance import Provenance

LARGEST_GRID = 1000
"""Rows or columns; of more patches, none would be a pixel."""
_BROKEN = (*(ValueError, KeyError, TypeError, AttributeError, IndexError), OverflowError, DataError)
"""What JSON that is no atlas raises on its way to be one."""
TIE = 12
"""Decimals at which two patches are equally covered, or equally far."""


@final
@dataclass(frozen=True, slots=True)
class Atlas:
    """Landmarks by name; patches count row by row, from the patient's right to the left."""

    grid: tuple[int, int]
    patches: Mapping[str, tuple[int, ...]]
    aliases: Mapping[str, tuple[str, ...]]
    """Landmark to the phrases that mean it, beside its own name."""
    sideless: Mapping[str, tuple[str, ...]]
    """A word that names no side to the landmarks it means."""
    about: str = ""
    boxes: Mapping[str, int] = field(default_factory=dict)
    """How many boxes of a landmark it was mined from; empty where it does not say."""
    learned_from: Provenance | None = None
    """The studies that it was mined from; None where it does not say, or was not mined."""

    def on_grid(self, grid: tuple[int, int]) -> dict[str, Bool[np.ndarray, " n"]]:
        """Return each landmark's patches on another grid."""
        return {
            name: scale_patches(patches, self.grid, grid) for name, patches in self.patches.items()
        }

    def to_json(self) -> Any:
        """Return what `load_atlas` reads."""
        keys = max(map(len, self.patches.values()), default=0)
        learned = self.learned_from
        return {
            "about": self.about,
            "grid": list(self.grid),
            "patch_index": f"row*{self.grid[1]}+column, row 0 = top, column 0 = patient's right",
            "keys_per_landmark": keys,
            "sideless_words": {word: list(names) for word, names in self.sideless.items()},
            "landmarks": {
                name: {
                    "aliases": list(self.aliases.get(name, ())),
                    **({"boxes": self.boxes[name]} if name in self.boxes else {}),
                    f"top{keys}": list(patches),
                }
                for name, patches in self.patches.items()
            },
            # last, since it names every study
            **({} if learned is None else {"learned_from": learned.to_json()}),
        }


def load_atlas(path: str | Path | None = None) -> Atlas:
    """Read an atlas, or the embedded one: KIA's 34 landmarks of 20 patches each (§3.2, appendix A).

    The embedded patches were estimated by hand from standard frontal anatomy, not measured. Raises
    DataError for a file that is not an atlas.
    """
    source = files("rrg_kia") / "atlas.json" if path is None else Path(path).expanduser()
    try:
        data = parse_json(source.read_text(encoding="utf-8"))
        landmarks, keys = data["landmarks"], f"top{data['keys_per_landmark']}"
        rows, columns = data["grid"]
        names = list(data.get("kia_34", landmarks))
        if not names or list(_words(names)) != names:
            raise ValueError("no landmarks, or one with odd spaces in its name")
        atlas = Atlas(
            grid=(int(rows), int(columns)),
            patches={name: tuple(map(int, landmarks[name][keys])) for name in names},
            aliases={name: _words(landmarks[name].get("aliases", [])) for name in names},
            sideless={
                _words([word])[0]: tuple(name for name in _words(meant) if name in names)
                for word, meant in data.get("sideless_words", {}).items()
            },
            about=str(data.get("about", "")),
            boxes={
                name: int(landmarks[name]["boxes"]) for name in names if "boxes" in landmarks[name]
            },
            learned_from=Provenance.from_json(data["learned_from"])
            if "learned_from" in data
            else None,
        )
    except FileNotFoundError as error:
        raise DataError(f"no atlas at {source}") from error
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error})") from error
    except _BROKEN as error:
        raise DataError(
            f"{source} is not an atlas ({type(error).__name__}: {shortened(str(error))}); expected "
            'JSON with grid, keys_per_landmark, landmarks: {name: {"aliases": […], "top20": […]}}'
        ) from error
    if not all(1 <= side <= LARGEST_GRID for side in atlas.grid):
        raise DataError(
            f"{source}: a grid of {atlas.grid}; expected 1 to {LARGEST_GRID} rows and columns"
        )
    for name, patches in atlas.patches.items():
        if any(not 0 <= patch < atlas.grid[0] * atlas.grid[1] for patch in patches):
            raise DataError(f"{source}: '{name}' has a patch outside the grid of {atlas.grid}")
    return atlas


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{shortened(repr(value))} is no list of texts")
    if not all(each.split() for each in value):
        raise ValueError("a name without a word")
    return tuple(" ".join(each.split()) for each in value)


def save_atlas(atlas: Atlas, path: str | Path) -> None:
    """Write an atlas that the option `atlas` of the masking can name."""
    write_text(Path(path), json.dumps(atlas.to_json(), indent=1, ensure_ascii=False) + "\n")


def make_atlas(
    images: Iterable[Sequence[Box]],
    *,
    words: Atlas,
    grid: tuple[int, int] = (14, 14),
    keys_per_landmark: int = 20,
    about: str = "",
    learned_from: Provenance | None = None,
) -> Atlas:
    """Summarise annotated frontal images: the patches a landmark covers most, on average (§3.2).

    Chest ImaGenome's scene graphs are the data the paper's numbers fit best (docs/papers/kia.md,
    K8). Aliases and side-less words are taken from another atlas, which also says which of the
    boxes are landmarks. Holds 32 bytes a box.
    """
    edges = {name: array("d") for name in words.patches}
    for image in images:
        for box in image:
            if box.name in edges:
                edges[box.name].extend((box.x1, box.y1, box.x2, box.y2))
    patches, counts = {}, {}
    for name, found in edges.items():
        clipped, kept = clip_boxes(np.array(found).reshape(-1, 4))
        if kept.any():
            ranked = rank_patches(clipped[kept], grid)
            patches[name] = tuple(sorted(int(patch) for patch in ranked[:keys_per_landmark]))
            counts[name] = int(kept.sum())
    if not patches:
        raise DataError(
            f"none of the boxes has one of the {len(words.patches)} landmarks' names, such as "
            f"'{next(iter(words.patches))}'"
        )
    return Atlas(
        grid=grid,
        patches=patches,
        aliases={name: words.aliases.get(name, ()) for name in patches},
        sideless={
            word: seen
            for word, names in words.sideless.items()
            if (seen := tuple(name for name in names if name in patches))
        },
        about=about,
        boxes=counts,
        learned_from=learned_from,
    )


def clip_boxes(
    boxes: Float[np.ndarray, "m 4"], sizes: Float[np.ndarray, "m 2"] | None = None
) -> tuple[Float[np.ndarray, "m 4"], Bool[np.ndarray, " m"]]:
    """Return boxes x1 y1 x2 y2 within the unit square, and which of them have an area.

    `sizes` are the widths and heights of the images, for boxes in pixels.
    """
    if sizes is not None:
        boxes = boxes / np.tile(sizes, 2)
    clipped = boxes.clip(0, 1)
    return clipped, (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])


def coverage(boxes: Float[np.ndarray, "m 4"], grid: tuple[int, int]) -> Float[np.ndarray, " n"]:
    """Return the share of each patch that lies in a box, the mean over boxes."""
    rows, columns = grid
    across = _overlap(boxes[:, 0] * columns, boxes[:, 2] * columns, columns)
    down = _overlap(boxes[:, 1] * rows, boxes[:, 3] * rows, rows)
    return np.einsum("mr,mc->rc", down, across).ravel() / len(boxes)


def rank_patches(boxes: Float[np.ndarray, "m 4"], grid: tuple[int, int]) -> Int[np.ndarray, " n"]:
    """Return patches by falling coverage; ties by distance to the mean box's centre, then index."""
    rows, columns = grid
    x1, y1, x2, y2 = boxes.mean(0)
    y, x = np.divmod(np.arange(rows * columns), columns)
    far = np.hypot((x + 0.5) / columns - (x1 + x2) / 2, (y + 0.5) / rows - (y1 + y2) / 2)
    return np.lexsort((far.round(TIE), -coverage(boxes, grid).round(TIE)))


def scale_patches(
    patches: Sequence[int], source: tuple[int, int], target: tuple[int, int]
) -> Bool[np.ndarray, " n"]:
    """Mark the patches of another grid that are at least half covered; one at any rate."""
    full = np.zeros(source)
    full.ravel()[list(patches)] = 1
    down, across = (
        _overlap(np.arange(new) * old / new, (np.arange(new) + 1) * old / new, old) * new / old
        for old, new in zip(source, target, strict=True)
    )
    covered = (down @ full @ across.T).ravel().round(TIE)
    return (covered >= 0.5) | ((covered > 0) & (covered == covered.max()) & (covered.max() < 0.5))


def _overlap(
    start: Float[np.ndarray, " m"], end: Float[np.ndarray, " m"], cells: int
) -> Float[np.ndarray, "m cells"]:
    """Return how much of each unit cell lies between start and end."""
    left = np.arange(cells)
    return (np.minimum(end[:, None], left + 1) - np.maximum(start[:, None], left)).clip(0, 1)
