"""What is wrong with a data set: sentences by kind, and which kinds would corrupt a result."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, final

ERRORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rows": "rows of the index that are wrong",
        "no_studies": "no studies",
        "no_train": "no training studies",
        "ids": "ids that are there twice",
        "annotation_files": "files of annotations that are wrong",
        "annotations": "annotations that cannot be read",
        "radgraph_words": "RadGraph of another text than the report",
        "label_names": "labels of observations that nobody knows",
        "images_in_two_splits": "images in two splits",
        "patients_in_two_splits": "patients in two splits",
        "images": "images that are missing or cannot be read",
        "no_image": "studies without an image",
        "empty_reports": "reports that are empty",
        "not_unicode": "texts that cannot be written to a file",
        "unknown_words": "nothing but unknown words",
    }
)
"""Kinds of problems that would corrupt a result, and their headings."""
WARNINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no_split": "splits without studies",
        "no_report": "test studies without a report, which are left out of the scores",
        "same_images": "images that are there twice in a split",
        "blank_images": "images of one grey",
        "small_images": "images smaller than 64 pixels",
        "short_reports": "reports of one or two words",
        "long_reports": "reports of more than 500 words",
        "control_characters": "reports with control characters",
        "lost_characters": "reports with characters that were lost in another encoding",
        "other_studies": "annotations of studies that the data does not hold",
        "unread_files": "files of annotations that no component reads",
        "boxes": "boxes that do not fit their images",
    }
)
"""Kinds of problems that are worth a look."""


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """Everything of one kind."""

    kind: str
    sentences: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        """Whether it would corrupt a result."""
        return self.kind in ERRORS

    @property
    def title(self) -> str:
        """Its heading."""
        return ERRORS.get(self.kind) or WARNINGS[self.kind]

    def to_json(self) -> dict[str, Any]:
        """Return it whole."""
        return {
            "kind": self.kind,
            "title": self.title,
            "count": len(self.sentences),
            "sentences": list(self.sentences),
        }


@final
class Findings:
    """Collects sentences by kind, each once."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, None]] = {kind: {} for kind in (*ERRORS, *WARNINGS)}

    def add(self, kind: str, sentence: str) -> None:
        """Note a problem."""
        self._of[kind][sentence] = None

    def __iter__(self) -> Iterator[Finding]:
        """Iterate over the kinds of which there is something, errors first."""
        for kind, sentences in self._of.items():
            if sentences:
                yield Finding(kind, tuple(sentences))
