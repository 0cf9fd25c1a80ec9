"""The report that stands in for a study's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from rrgcore.annotations.protocol import Affine
from rrgcore.errors import DataError, shortened
from rrgcore.mirror import mirrored_text


@final
@dataclass(frozen=True, slots=True)
class NearestReport:
    """What may be read in place of a study's report: its own in training, elsewhere that of the
    training study most like it (CmEAA, A.1).
    """

    slug: ClassVar[str] = "nearest_report"

    text: str
    study: str
    """Whose report it is."""
    similarity: float | None = None
    """As the retriever measures it; None for a study's own report."""

    @classmethod
    def from_json(cls, data: Any) -> "NearestReport":
        """Read `{"text", "study", "similarity"}`."""
        try:
            similarity = data.get("similarity")
            return cls(
                str(data["text"]),
                str(data["study"]),
                None if similarity is None else float(similarity),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise DataError(
                f"not a nearest report ({type(error).__name__}: {shortened(str(error))}); expected "
                "text, study, similarity"
            ) from error

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        return {"text": self.text, "study": self.study, "similarity": self.similarity}

    def mirrored(self, flipped: Sequence[bool]) -> "NearestReport":
        """Exchange left and right."""
        return NearestReport(mirrored_text(self.text), self.study, self.similarity)

    def moved(self, matrix: Affine) -> "NearestReport":
        """Return itself: words have no place on the image."""
        return self
