"""Random masking: what the knowledge-guided maskings are compared with."""

from math import ceil
from typing import final

import numpy as np
import torch
from jaxtyping import Bool
from numpy.random import Generator

from rrgcore.api import ImageMasking, MaskedText, Study, TextMasking, Tokenizer, UserError


@final
class RandomPatches(ImageMasking):
    """⌈ratio · U⌉ of the image's U square units, drawn without knowledge (SimMIM).

    A unit is `unit` patches a side: 2 with patches of 16 pixels are SimMIM's 32 pixels. Units at
    the lower and right edge are cut where the grid does not divide.
    """

    def __init__(self, *, ratio: float = 0.6, unit: int = 2) -> None:
        _check_share("random_patches", "ratio", ratio)
        if unit < 1:
            raise UserError(f"random_patches' unit is {unit}; expected at least 1 patch a side")
        self.ratio = ratio
        self.unit = unit

    def mask_image(
        self, study: Study, image: int, grid: tuple[int, int], rng: Generator
    ) -> Bool[np.ndarray, " n"]:
        """Hide units, in any view alike."""
        rows, columns = (ceil(side / self.unit) for side in grid)
        units = np.zeros(rows * columns, dtype=bool)
        units[rng.permutation(len(units))[: ceil(self.ratio * len(units))]] = True
        patches = units.reshape(rows, columns).repeat(self.unit, 0).repeat(self.unit, 1)
        return patches[: grid[0], : grid[1]].ravel()


@final
class RandomWords(TextMasking):
    """A share `rate` of the tokens: 80 % become [MASK], 10 % any token, 10 % stay, all are asked
    for (BERT).

    Each token is drawn by itself, [CLS] and [SEP] excepted; one is drawn at any rate.
    """

    def __init__(self, *, rate: float = 0.15) -> None:
        _check_share("random_words", "rate", rate)
        self.rate = rate

    def mask_text(
        self, study: Study, tokenizer: Tokenizer, rng: Generator, *, max_tokens: int
    ) -> MaskedText:
        """Corrupt the report."""
        ids = np.array(tokenizer.encode(study.report or "", max_tokens=max_tokens))
        drawn = rng.random(len(ids) - 2)
        asked = np.zeros(len(ids), dtype=bool)
        asked[1:-1] = drawn < self.rate
        if len(drawn) and not asked.any():
            asked[1 + drawn.argmin()] = True
        fate = rng.random(len(ids))
        others = rng.integers(len(tokenizer), size=len(ids))
        seen = np.where(fate < 0.8, tokenizer.mask_id, np.where(fate < 0.9, others, ids))
        return MaskedText(
            torch.from_numpy(np.where(asked, seen, ids)),
            torch.ones(len(ids), dtype=torch.bool),
            torch.from_numpy(np.where(asked, ids, -100)),
        )


def _check_share(masking: str, option: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{masking}'s {option} is {value}; expected a share between 0 and 1")
