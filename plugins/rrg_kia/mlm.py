"""Masked language modelling: name the hidden words, with the images' help."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from rrgcore.api import (
    AlignmentObjective,
    Batch,
    Features,
    MaskedText,
    ObjectiveOutput,
    Prepares,
    Reconstructs,
    Study,
    TextGivenImage,
    TextMasking,
    Tokenizer,
    Tokens,
    full_precision,
)

NOTHING = -100
"""The label of a token that is not asked for."""


@final
class MaskedLanguageModeling(AlignmentObjective, Prepares[MaskedText], Reconstructs):
    """L_MLM = E L_CE(y_R^M, f^M(v, R_m)) (KIA, eq. 5), the mean over all hidden tokens of the
    batch.

    What R_m is, a corrupted report or a text of the labels, is the masking's choice.
    """

    requires: ClassVar[Mapping[str, type]] = {"text_encoder": TextGivenImage}

    def __init__(
        self, *, masking: TextMasking, tokenizer: Tokenizer, max_report_tokens: int
    ) -> None:
        super().__init__()
        self.masking = masking
        self.tokenizer = tokenizer
        self.max_report_tokens = max_report_tokens

    def annotations_read(self) -> tuple[type, ...]:
        """Return what the masking reads."""
        return self.masking.reads

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Generator]) -> MaskedText:
        """Mask a text of each study and pad them to the longest."""
        texts = [
            self.masking.mask_text(study, self.tokenizer, rng, max_tokens=self.max_report_tokens)
            for study, rng in zip(studies, rngs, strict=True)
        ]
        return MaskedText(
            _pad([text.ids for text in texts], self.tokenizer.pad_id),
            _pad([text.mask for text in texts], False),
            _pad([text.labels for text in texts], NOTHING),
        )

    def forward(self, features: Features, prepared: MaskedText | None = None) -> ObjectiveOutput:
        """Return the mean cross-entropy over all that is hidden in the batch; 0 if nothing is."""
        assert prepared is not None, "mlm needs the texts that its prepare() masked"
        asked, logits = self._answer(features, prepared)
        expected = prepared.labels[asked]
        loss = cross_entropy(logits, expected, reduction="sum") / max(len(expected), 1)
        correct = (logits.argmax(-1) == expected).sum() / max(len(expected), 1)
        return ObjectiveOutput(loss, asked.sum(), {"accuracy": correct})

    def count(self, batch: Batch, prepared: MaskedText | None = None) -> int:
        """Count the hidden tokens."""
        assert prepared is not None, "mlm needs the texts that its prepare() masked"
        return int((prepared.labels != NOTHING).sum())

    @torch.no_grad()
    def reconstruct(self, features: Features, prepared: MaskedText) -> Mapping[str, Tensor]:
        """Return "error" `[b]`; "study", "expected", "guessed" `[m]`, a row a hidden token."""
        asked, logits = self._answer(features, prepared)
        expected = prepared.labels[asked]
        study = asked.nonzero()[:, 0]
        surprise = cross_entropy(logits, expected, reduction="none")
        error = surprise.new_zeros(len(asked)).index_add(0, study, surprise)
        return {
            "error": error / asked.sum(1).clamp(1),
            "study": study,
            "expected": expected,
            "guessed": logits.argmax(-1),
        }

    def _answer(
        self, features: Features, text: MaskedText
    ) -> tuple[Bool[Tensor, "b t"], Float[Tensor, "m vocab"]]:
        """Return where something is asked, and the scores of every word there."""
        asked = text.labels != NOTHING
        hidden = features.text_given_image(Tokens(text.ids, text.mask)).tokens[asked]
        logits = features.token_logits(hidden)
        return asked, full_precision(logits)


def _pad(rows: Sequence[Int[Tensor, " _"] | Bool[Tensor, " _"]], value: int | bool) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
