"""Masked image modelling: paint what is hidden, with the report's help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from numpy.random import Generator
from torch import Tensor, nn

from rrgcore.api import (
    AlignmentObjective,
    Batch,
    Features,
    ImageGivenText,
    ImageMasking,
    ObjectiveOutput,
    Prepares,
    Reconstructs,
    Study,
    TextEncoder,
    UserError,
)


@final
@dataclass(frozen=True, slots=True)
class PatchMasks:
    """Which patches are hidden, and which knowledge singles out; False for absent views."""

    mask: Bool[Tensor, "b v n"]
    key: Bool[Tensor, "b v n"]


@final
class MaskedImageModeling(AlignmentObjective, Prepares[PatchMasks], Reconstructs):
    """L_MIM = E ‖I^M − f^M(I_m, ω)‖₁ (KIA, eq. 4), with SimMIM's mean over masked pixels and
    channels.

    The target is the image as the encoder gets it, normalised; no patch is normalised by itself.
    One linear layer paints a patch from its token, colour by colour and row by row (SimMIM's pixel
    shuffle).
    """

    requires: ClassVar[Mapping[str, type]] = {
        "encoder": ImageGivenText,
        "text_encoder": TextEncoder,
    }

    def __init__(
        self, *, masking: ImageMasking, image_dim: int, grid: tuple[int, int], image_size: int
    ) -> None:
        super().__init__()
        rows, columns = grid
        if image_size % rows or image_size % columns:
            raise UserError(
                f"an image of {image_size} pixels does not divide into the encoder's {rows} × "
                f"{columns} patches, which mim would paint: make data.image_size a multiple of both"
            )
        self.masking = masking
        self.grid = grid
        self.patch = (image_size // rows, image_size // columns)
        self.head = nn.Linear(image_dim, 3 * self.patch[0] * self.patch[1])

    def annotations_read(self) -> tuple[type, ...]:
        """Return what the masking reads."""
        return self.masking.reads

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Generator]) -> PatchMasks:
        """Mask every image of every study."""
        views = max(len(study.images) for study in studies)
        mask = np.zeros((len(studies), views, self.grid[0] * self.grid[1]), dtype=bool)
        key = np.zeros_like(mask)
        for row, (study, rng) in enumerate(zip(studies, rngs, strict=True)):
            for image in range(len(study.images)):
                mask[row, image] = self.masking.mask_image(study, image, self.grid, rng)
                key[row, image] = self.masking.key_patches(study, image, self.grid)
        return PatchMasks(torch.from_numpy(mask), torch.from_numpy(key))

    def forward(self, features: Features, prepared: PatchMasks | None = None) -> ObjectiveOutput:
        """Return the mean absolute error over all that is hidden in the batch; 0 if nothing is."""
        assert prepared is not None, "mim needs the masks that its prepare() drew"
        mask = prepared.mask & features.batch.present[..., None]
        painted = self.head(features.image_given_text(prepared.mask)[mask])
        hidden = self._patches(features.batch.images)[mask]
        pixels = len(hidden) * self.patch[0] * self.patch[1]
        # SimMIM's 1e-5: the mean over nothing is 0, and stays in the graph
        loss = (painted - hidden).abs().sum() / ((pixels + 1e-5) * 3)
        return ObjectiveOutput(loss, mask.sum())

    def count(self, batch: Batch, prepared: PatchMasks | None = None) -> int:
        """Count the hidden patches."""
        assert prepared is not None, "mim needs the masks that its prepare() drew"
        return int((prepared.mask & batch.present[..., None]).sum())

    @torch.no_grad()
    def reconstruct(self, features: Features, prepared: PatchMasks) -> Mapping[str, Tensor]:
        """Return "error" `[b]` at a study's hidden patches, 0 where there are none, and "key_error"
        `[b]` at its hidden key patches, NaN where there are none.

        "image" `[b v 3 h w]` is the normalised image with the hidden patches painted.
        """
        images, present = features.batch.images, features.batch.present
        mask = prepared.mask & present[..., None]
        painted = self.head(features.image_given_text(prepared.mask))
        true = self._patches(images)
        wrong = (painted - true).abs().mean(-1)
        key = mask & prepared.key
        return {
            "error": (wrong * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(1),
            "key_error": (wrong * key).sum((1, 2)) / key.sum((1, 2)),
            "image": self.paint(torch.where(mask[..., None], painted, true)),
        }

    def paint(self, patches: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b 3 h w"]:
        """Lay patches out as images: a patch holds colour, row and column in this order."""
        rows, columns = self.grid
        height, width = self.patch
        return rearrange(
            patches,
            "... (r q) (c i j) -> ... c (r i) (q j)",
            r=rows,
            q=columns,
            c=3,
            i=height,
            j=width,
        )

    def _patches(self, images: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b n p"]:
        """Return what `paint` takes."""
        height, width = self.patch
        return rearrange(images, "... c (r i) (q j) -> ... (r q) (c i j)", i=height, j=width)
