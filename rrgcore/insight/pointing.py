"""Whether attention points at what is named: the pointing game, beside what chance would do.

Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, §4.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float

from rrgcore.annotations import Box
from rrgcore.insight.attending import Heads

Map = Float[np.ndarray, "rows columns"]
Inside = Bool[np.ndarray, "rows columns"]


@final
@dataclass(frozen=True, slots=True)
class Case:
    """A finding that is there and is named."""

    study: str
    observation: str
    weights: Float[np.ndarray, "l heads rows columns"]
    """Of the words that name it, on the image that shows it."""
    around: Float[np.ndarray, "l heads rows columns"]
    """Of all words of the text: what would be found if it did not matter which is asked."""
    inside: Inside
    view: int = 0

    def beyond(self, usual: Mapping[int, Float[np.ndarray, "l heads rows columns"]]) -> "Case":
        """Return the case with what words usually look at on its view taken off the map: what is
        left is of these words.
        """
        own, all_words = (each - usual[self.view] for each in (self.weights, self.around))
        return replace(self, weights=own, around=all_words)

    def map(self, heads: Heads) -> Map:
        """Return the map that is asked for its maximum."""
        return _mean(self.weights, heads)

    def map_around(self, heads: Heads) -> Map:
        """Return that of all words."""
        return _mean(self.around, heads)


@final
@dataclass(frozen=True, slots=True)
class Rate:
    """A share of cases, with its 95 % interval over studies."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@final
@dataclass(frozen=True, slots=True)
class Pointing:
    """How often the maximum lies in the box."""

    cases: int
    studies: int
    hits: Rate
    area: float
    """How often a random patch does."""
    centre: float
    """How often the image's centre does."""
    prior: float | None
    """How often the patch does that lies in most boxes of the same observation elsewhere."""
    any_word: float
    """How often the map of all words of the text does."""
    over_area: Rate
    """`hits` less `area`, case by case: above zero where attention points better than chance."""
    over_any: Rate
    """`hits` less `any_word`: above zero where it matters which words are asked."""
    mass: float
    """How much of the map, where it is above zero, lies in the box; a uniform one has `area`."""
    of: Mapping[str, Mapping[str, float]]
    """By observation: cases, hits, any word, area, centre, mass, prior."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "cases": self.cases,
            "studies": self.studies,
            "hits": self.hits.value,
            "hits, 95 % interval": [self.hits.low, self.hits.high],
            "chance by area": self.area,
            "centre prior": self.centre,
            "prior by observation": self.prior,
            "any word": self.any_word,
            "hits - any word": self.over_any.value,
            "hits - any word, 95 % interval": [self.over_any.low, self.over_any.high],
            "hits - chance by area": self.over_area.value,
            "hits - chance by area, 95 % interval": [self.over_area.low, self.over_area.high],
            "mass inside": self.mass,
            "by observation": {name: dict(each) for name, each in self.of.items()},
        }


def inside_boxes(boxes: Sequence[Box], grid: tuple[int, int]) -> Inside:
    """Return the patches whose centre lies in a box; of a box that holds no centre, the patch that
    holds its own.
    """
    rows, columns = grid
    y, x = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
    found = np.zeros(grid, dtype=bool)
    for box in boxes:
        own = np.outer((box.y1 <= y) & (y <= box.y2), (box.x1 <= x) & (x <= box.x2))
        if not own.any():
            row = min(int((box.y1 + box.y2) / 2 * rows), rows - 1)
            column = min(int((box.x1 + box.x2) / 2 * columns), columns - 1)
            own[row, column] = True
        found |= own
    return found


def hit(map: Map, inside: Inside) -> float:
    """Return 1 where the maximum lies inside, 0 where it does not; of several maxima the share."""
    return float(inside[map == map.max()].mean())


def centre_map(grid: tuple[int, int]) -> Map:
    """Return a map that is highest at the middle of the image."""
    y, x = ((np.arange(side) + 0.5) / side - 0.5 for side in grid)
    return -np.add.outer(y**2, x**2).round(12)


def priors(cases: Sequence[Case]) -> dict[str, Map]:
    """Return, for each observation, how often each patch lay in its box; under "" for all of them,
    which stands in for one that did not occur.
    """
    found: dict[str, list[Inside]] = {}
    for case in cases:
        found.setdefault(case.observation, []).append(case.inside)
    found[""] = [case.inside for case in cases]
    return {name: np.mean(each, axis=0) for name, each in found.items()}


def play(
    cases: Sequence[Case],
    heads: Heads,
    *,
    rng: np.random.Generator,
    elsewhere: Mapping[str, Map] | None = None,
    draws: int = 1000,
) -> Pointing:
    """Play the game over cases; intervals are over studies, by bootstrap.

    `elsewhere` are `priors` of other studies: a patch by observation that looks at no image.
    """
    assert cases, "there is nothing to point at"
    maps = [case.map(heads) for case in cases]
    centre = centre_map(cases[0].inside.shape)
    columns = {
        "hits": [hit(map, case.inside) for map, case in zip(maps, cases, strict=True)],
        "any word": [hit(case.map_around(heads), case.inside) for case in cases],
        "area": [float(case.inside.mean()) for case in cases],
        "centre": [hit(centre, case.inside) for case in cases],
        "mass": [
            float(positive[case.inside].sum() / max(positive.sum(), 1e-12))
            for positive, case in zip((map.clip(0) for map in maps), cases, strict=True)
        ],
    }
    if elsewhere is not None:
        columns["prior"] = [
            hit(elsewhere.get(case.observation, elsewhere[""]), case.inside) for case in cases
        ]
    table = {name: np.array(values) for name, values in columns.items()}
    studies = sorted({case.study for case in cases})
    row_of = {study: number for number, study in enumerate(studies)}
    rows = np.array([row_of[case.study] for case in cases])
    times = rng.multinomial(len(studies), np.full(len(studies), 1 / len(studies)), draws)[:, rows]
    names = [case.observation for case in cases]
    return Pointing(
        cases=len(cases),
        studies=len(studies),
        hits=_rate(table["hits"], times),
        area=float(table["area"].mean()),
        centre=float(table["centre"].mean()),
        prior=float(table["prior"].mean()) if "prior" in table else None,
        any_word=float(table["any word"].mean()),
        over_area=_rate(table["hits"] - table["area"], times),
        over_any=_rate(table["hits"] - table["any word"], times),
        mass=float(table["mass"].mean()),
        of={
            name: {
                "cases": float(own.sum()),
                **{key: float(column[own].mean()) for key, column in table.items()},
            }
            for name in sorted(set(names))
            for own in [np.array([each == name for each in names])]
        },
    )


def choices(layers: int, heads: int) -> list[Heads]:
    """List what a map may be a mean over: everything, one layer, one head."""
    found = [Heads(), *(Heads((layer,)) for layer in range(layers))]
    if heads > 1:
        found += [Heads((layer,), (head,)) for layer in range(layers) for head in range(heads)]
    return found


def choose(cases: Sequence[Case]) -> tuple[Heads, float]:
    """Return what points best, and how often it hits; of equals what is listed first.

    To be asked of other studies than those that are reported on.
    """
    assert cases, "there is nothing to choose by"
    layers, heads = cases[0].weights.shape[:2]
    rated = [
        (float(np.mean([hit(case.map(each), case.inside) for case in cases])), each)
        for each in choices(layers, heads)
    ]
    best, chosen = max(rated, key=lambda item: item[0])
    return chosen, best


def _mean(weights: Float[np.ndarray, "l heads rows columns"], heads: Heads) -> Map:
    chosen = weights if heads.layers is None else weights[list(heads.layers)]
    if heads.heads is not None:
        chosen = chosen[:, list(heads.heads)]
    mean: Map = chosen.mean((0, 1))
    return mean


def _rate(values: Float[np.ndarray, " n"], times: np.ndarray) -> Rate:
    drawn = (times * values).sum(1) / times.sum(1).clip(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Rate(float(values.mean()), float(low), float(high))
