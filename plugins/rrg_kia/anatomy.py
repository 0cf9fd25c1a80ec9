"""Anatomy-guided masking: hide the patches of the landmarks that a report mentions."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, final

import numpy as np
from jaxtyping import Bool
from numpy.random import Generator

from rrg_kia.atlas import Atlas, load_atlas, save_atlas
from rrg_kia.atlas_prior import AtlasPrior
from rrgcore.api import (
    Artefact,
    HoldsArtefacts,
    ImageMasking,
    ShowsLandmarks,
    Study,
    UserError,
)
from rrgcore.supply import ReadsGiven

KEPT: Final = "atlas.json"
"""What a run that was given an atlas calls it."""
Policy = Literal["keep_total", "keep_key"]


@final
class AnatomyMasking(ImageMasking, ShowsLandmarks, HoldsArtefacts, ReadsGiven):
    """p_i = p_key where patch i shows a landmark of the report, else p_other (KIA, eq. 2), such
    that N_key·p_key + (N − N_key)·p_other = N·p_total (eq. 3).

    Patches are hidden independently of each other; `exact` hides just the expected numbers instead.
    Where eq. 3 asks for a p_other outside [0, 1], "keep_total" moves p_key until it holds and
    "keep_key" lets the total go. The prior is of frontal images: on a lateral, and on a second
    image of unknown view, every patch has p_total. Of a mirrored study, whose heart is on the other
    side, the patches are those of the study as it was, turned over. `atlas` names a file in place
    of the embedded prior, such as `rrg annotate atlas` writes; one that does not say which studies
    it was mined from is refused unless it is `trusted`.
    """

    def __init__(
        self,
        *,
        p_key: float = 0.9,
        p_total: float = 0.6,
        atlas: str | None = None,
        trusted: bool = False,
        policy: Policy = "keep_total",
        exact: bool = False,
    ) -> None:
        for name, p in (("p_key", p_key), ("p_total", p_total)):
            if not 0 <= p <= 1:
                raise UserError(f"anatomy's {name} is {p}; a probability lies between 0 and 1")
        self.p_key = p_key
        self.p_total = p_total
        self.policy: Policy = policy
        self.exact = exact
        self.trusted = trusted
        self._named = atlas
        self._file = atlas
        """The same, or what a run has kept of it."""

    @cached_property
    def atlas(self) -> Atlas:
        """The prior; raises DataError for a file that holds none."""
        return load_atlas(self._file)

    @cached_property
    def _prior(self) -> AtlasPrior:
        return AtlasPrior(self.atlas)

    def read_given(self) -> None:
        """Read the atlas; raises DataError."""
        _ = self.atlas

    def keep_given(self, folder: Path) -> None:
        """Write the atlas that was named."""
        if self._named is not None:
            save_atlas(self.atlas, folder / KEPT)

    def load_given(self, folder: Path) -> None:
        """Read that one from now on."""
        self._file = str(folder / KEPT)

    def artefacts(self) -> Sequence[Artefact]:
        """Return the atlas that was named; the embedded one was learned from nobody."""
        if self._named is None:
            return []
        return [Artefact(f"the atlas {self._named}", self.atlas.learned_from, self.trusted)]

    def landmarks(self, grid: tuple[int, int]) -> Mapping[str, Bool[np.ndarray, " n"]]:
        """Return the key patches of each landmark (KIA, Fig. 8)."""
        return self.atlas.on_grid(grid)

    def key_patches(
        self, study: Study, image: int, grid: tuple[int, int]
    ) -> Bool[np.ndarray, " n"]:
        """Return the mentioned landmarks' patches; none where the prior does not hold."""
        return self._prior.key_patches(study, image, grid)

    def mask_image(
        self, study: Study, image: int, grid: tuple[int, int], rng: Generator
    ) -> Bool[np.ndarray, " n"]:
        """Hide key patches with p_key and the others with p_other."""
        keys = self.key_patches(study, image, grid)
        p_key, p_other = mask_probabilities(
            len(keys), int(keys.sum()), p_key=self.p_key, p_total=self.p_total, policy=self.policy
        )
        p = np.where(keys, p_key, p_other)
        return _hide_exactly(keys, p, rng) if self.exact else rng.random(len(keys)) < p


def mask_probabilities(
    patches: int, keys: int, *, p_key: float, p_total: float, policy: Policy
) -> tuple[float, float]:
    """Return the probabilities of a key patch and of another one (eq. 3)."""
    others = patches - keys
    if keys == 0:
        return p_key, p_total
    wanted = (patches * p_total - keys * p_key) / others if others else 0.0
    p_other = min(max(wanted, 0.0), 1.0)
    if (wanted != p_other or not others) and policy == "keep_total":
        p_key = (patches * p_total - others * p_other) / keys
    return p_key, p_other


def _hide_exactly(
    keys: Bool[np.ndarray, " n"], p: np.ndarray, rng: Generator
) -> Bool[np.ndarray, " n"]:
    """Hide the expected number of key patches and of all patches, rounded."""
    total, of_keys = round(float(p.sum())), round(float(p[keys].sum()))
    # in a random order, the first of each kind
    hidden = np.zeros(len(p), dtype=bool)
    order = rng.permutation(len(p))
    hidden[order[keys[order]][:of_keys]] = True
    hidden[order[~keys[order]][: total - of_keys]] = True
    return hidden
