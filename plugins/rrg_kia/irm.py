"""Image-report matching: does this report belong to this image?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rrg_kia.identity import identify_reports
from rrgcore.api import (
    AlignmentObjective,
    Batch,
    Borrowed,
    Encoded,
    Features,
    JointSpace,
    Matches,
    ObjectiveOutput,
    Parts,
    Prepares,
    Study,
    TextGivenImage,
    Tokenizer,
    Tokens,
    UserError,
    full_precision,
    gather_padded,
    gather_rows,
    rows_before,
)

MATCH = "[MATCH]"
FLOOR = 1e-4
"""BLIP's: no candidate is quite impossible."""


@final
@dataclass(frozen=True, slots=True)
class Draws:
    """What decides a study's negatives: who says the same, and a place in the distribution."""

    reports: Int[Tensor, " b"]
    uniform: Float[Tensor, "b 2"]
    """For an image that is not the report's, and for a report that is not the image's."""


@final
class ImageReportMatching(AlignmentObjective, Matches, Prepares[Draws]):
    """L_IRM = E L_BCE(y, p(I, R)) (KIA, eq. 7): two-class cross-entropy on [MATCH]; class 1 is a
    match.

    [MATCH] stands at position 0 in place of [CLS], as BLIP's [ENC]. Each study gives a matching
    pair and two that do not match: its report with another image, its image with another report.
    With a `space`, others are drawn by softmax(s/τ) + 1e-4 over the batch, that of all processes,
    without gradients (ALBEF's hard negatives); without, any other row is as likely. A report of the
    very same words is never a negative; a study that has no negative in the batch gives its
    matching pair alone.

    Draws come from `prepare`, so that negatives of a batch depend neither on ranks nor on workers.
    """

    requires: ClassVar[Mapping[str, type]] = {"text_encoder": TextGivenImage}
    special_tokens: ClassVar[tuple[str, ...]] = (MATCH,)

    def __init__(
        self,
        *,
        text_dim: int,
        tokenizer: Tokenizer,
        space: JointSpace | None = None,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise UserError(f"irm's temperature is {temperature}; expected a number above 0")
        self.space = space
        self.temperature = temperature
        self.match_id = tokenizer.id_of(MATCH)
        self._pad_id = tokenizer.pad_id
        self.head = nn.Linear(text_dim, 2)

    def bind(self, parts: Parts) -> None:
        """Borrow the text encoder: `match` is asked outside a batch."""
        self._text_encoder = Borrowed(cast(TextGivenImage, parts.text_encoder))

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Generator]) -> Draws:
        """Draw two numbers a study."""
        uniform = np.stack([rng.random(2, dtype=np.float32) for rng in rngs])
        return Draws(identify_reports(studies), torch.from_numpy(uniform))

    def forward(self, features: Features, prepared: Draws | None = None) -> ObjectiveOutput:
        """Return the mean over all pairs: matching ones, wrong images, wrong reports."""
        assert prepared is not None, "irm needs the numbers that its prepare() drew"
        images, reports, labels = self._pairs(features, prepared)
        tokens = gather_tokens(features.batch.text, self._pad_id).with_first(self.match_id)
        encoder = self._text_encoder.module
        hidden = encoder.encode_text_given(
            tokens[reports], gather_encoded(features.image)[images]
        ).tokens[:, 0]
        logits = full_precision(self.head(hidden))
        accuracy = (logits.argmax(1) == labels).float().mean()
        return ObjectiveOutput(
            cross_entropy(logits, labels),
            torch.tensor(len(labels), device=labels.device),
            {"accuracy": accuracy},
        )

    def count(self, batch: Batch, prepared: Draws | None = None) -> int:
        """Count the pairs: a study without negatives has one, others three."""
        assert prepared is not None, "irm needs the numbers that its prepare() drew"
        same = prepared.reports[:, None] == gather_rows(prepared.reports)
        return len(same) + 2 * int((~same.all(1)).sum())

    def match(self, tokens: Tokens, image: Encoded) -> Float[Tensor, " b"]:
        """Return the log-odds that each text belongs to its image."""
        encoder = self._text_encoder.module
        hidden = encoder.encode_text_given(tokens.with_first(self.match_id), image).tokens[:, 0]
        logits = full_precision(self.head(hidden))
        return logits[:, 1] - logits[:, 0]

    @torch.no_grad()
    def _pairs(
        self, features: Features, draws: Draws
    ) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"], Int[Tensor, " m"]]:
        """Return each pair's image row, its report row, and whether they match."""
        same = draws.reports[:, None] == gather_rows(draws.reports)
        to_text, to_image = self.similarity(features)
        images = draw_rows(negative_weights(to_image, same), draws.uniform[:, 0])
        reports = draw_rows(negative_weights(to_text, same), draws.uniform[:, 1])
        own = rows_before(same) + torch.arange(len(same), device=same.device)
        # the same rows say the same whichever way one looks: a row lacks both negatives or neither
        some = ~same.all(1)
        return (
            torch.cat([own, images[some], own[some]]),
            torch.cat([own, own[some], reports[some]]),
            torch.cat([torch.ones_like(own), *(torch.zeros_like(own[some]),) * 2]),
        )

    def similarity(self, features: Features) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
        """Return s(I, R)/τ of each image with the reports of all processes, and of each report with
        their images; without a space all are alike.
        """
        if self.space is None:
            present = features.batch.present
            alike = torch.zeros(len(present), len(gather_rows(present)), device=present.device)
            return alike, alike
        image = self.space.project_image(features.image.pooled)
        text = self.space.project_text(features.text.pooled)
        with torch.autocast(image.device.type, enabled=False):
            image, text = full_precision(image), full_precision(text)
            return (
                image @ gather_rows(text).mT / self.temperature,
                text @ gather_rows(image).mT / self.temperature,
            )


def gather_tokens(text: Tokens, pad: int) -> Tokens:
    """Return the texts of all processes."""
    return Tokens(gather_padded(text.ids, pad), gather_padded(text.mask, False))


def gather_encoded(image: Encoded) -> Encoded:
    """Return the images of all processes; one process may have more views than another."""
    mask = image.mask
    if mask is None:
        mask = torch.ones(image.tokens.shape[:2], dtype=torch.bool, device=image.tokens.device)
    tokens = gather_padded(image.tokens, 0)
    if tokens is image.tokens:
        return image
    mask = gather_padded(mask, False)
    return Encoded(tokens, gather_rows(image.pooled), None if bool(mask.all()) else mask)


def negative_weights(
    similarity: Float[Tensor, "b c"], same: Bool[Tensor, "b c"]
) -> Float[Tensor, "b c"]:
    """Return how likely each column is a row's negative: softmax + 1e-4, 0 if it is the same."""
    return (similarity.softmax(1) + FLOOR).masked_fill(same, 0)


def draw_rows(weights: Float[Tensor, "b c"], uniform: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Draw a column for each row by its weights, at a place of [0, 1) in the distribution.

    A row without any weight gets column 0.
    """
    reached = weights.cumsum(1)
    total = reached[:, -1:]
    drawn = torch.searchsorted(reached, uniform[:, None].to(weights.dtype) * total, right=True)
    # rounding may put the place at the very end: the last column that has weight
    return torch.minimum(drawn, (reached < total).sum(1, keepdim=True))[:, 0]
