"""Report generation as a term of the loss."""

from typing import final

from rrgcore.api import AlignmentObjective, Batch, Borrowed, Features, ObjectiveOutput, Parts


@final
class ReportGeneration(AlignmentObjective):
    """Cross-entropy of the report's words given the images: L_RG = -mean_t log p(y_t | y_<t, H).

    The decoder keeps the sum over its vocabulary to itself; here it becomes a term with a weight
    (KIA, eq. 8; CmEAA, eq. 5, both read as means over tokens).
    """

    def bind(self, parts: Parts) -> None:
        """Borrow the decoder, which knows what it counts."""
        self._decoder = Borrowed(parts.decoder)

    def forward(self, features: Features, prepared: None = None) -> ObjectiveOutput:
        """Take the decoder's own loss."""
        return ObjectiveOutput(features.decoded.loss, features.decoded.count)

    def count(self, batch: Batch, prepared: None = None) -> int:
        """Count the words that are asked for."""
        return self._decoder.module.count(batch.report)
