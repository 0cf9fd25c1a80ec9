"""What a check found, whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from rrgcore.data_check.annotations import AnnotationCheck
from rrgcore.data_check.findings import Finding
from rrgcore.data_check.images import ImageCheck, Images
from rrgcore.data_check.listing import SPLITS
from rrgcore.data_check.raw import Marked, RawCheck
from rrgcore.data_check.texts import TextCheck, Texts, share

COLUMNS = (*SPLITS, "all")


@final
@dataclass(frozen=True, slots=True)
class Checked:
    """A data set's statistics and its problems."""

    fingerprint: Mapping[str, Any]
    caution: str
    studies: Mapping[str, int]
    """Of each split and of `all`, as everything here that has such names."""
    patients: Mapping[str, int] | None
    """None where the data does not tell whose a study is."""
    texts: TextCheck
    raw: RawCheck
    images: ImageCheck
    annotations: AnnotationCheck
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[str]:
        """Every sentence about what would corrupt a result."""
        return [text for each in self.findings if each.is_error for text in each.sentences]

    def texts_of(self, column: str) -> Texts:
        """Return what the reports of a split, or of `all`, are made of."""
        return self.texts.of.get(column, self.texts.all)

    def images_of(self, column: str) -> Images:
        """Return how many images a split has."""
        return self.images.of.get(column, self.images.all)

    def marks_of(self, column: str) -> Marked:
        """Return the marks of de-identification of a split."""
        return self.raw.of.get(column, self.raw.all)

    def distinct_of(self, column: str) -> int:
        """Return how many different reports a split has."""
        return self.texts.distinct(column if column in SPLITS else None)

    def to_json(self) -> dict[str, Any]:
        """Return everything, nothing shortened."""
        reading = self.texts.reading
        return {
            "good": not self.errors,
            "splits": {column: self._figures(column) for column in COLUMNS},
            "tokens": {
                "limit": reading.max_tokens,
                "tokenizer": reading.tokenizer_name,
                "min_count": reading.min_count,
            },
            "vocabulary": {
                str(threshold): self.texts.vocabulary(threshold) for threshold in reading.thresholds
            },
            "cleaning": self.raw.to_json(),
            "annotations": self.annotations.to_json(),
            "errors": [each.to_json() for each in self.findings if each.is_error],
            "warnings": [each.to_json() for each in self.findings if not each.is_error],
            "caution": self.caution,
            "fingerprint": dict(self.fingerprint),
        }

    def _figures(self, column: str) -> dict[str, Any]:
        texts = self.texts_of(column)
        figures = {
            "studies": self.studies[column],
            "patients": self.patients and self.patients[column],
            **self.images_of(column).to_json(),
            **texts.to_json(self.texts.reading),
            "distinct_reports": self.distinct_of(column),
            "deidentified": self.marks_of(column).to_json(),
        }
        if self.texts.can_copy(column):
            figures["copied_from_train"] = share(self.texts.copied(column), texts.reports)
        return figures
