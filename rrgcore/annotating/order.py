"""What is to be made of a data set by an annotator, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from rrgcore.annotating.tally import Table
from rrgcore.errors import UserError
from rrgcore.gathering import slug_of
from rrgcore.provenance import Provenance
from rrgcore.settings import ROLES, Split
from rrgcore.supply import Dataset, HasAnnotationFiles


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationOrder:
    """What is to be made; work that was begun by another order is not gone on with."""

    annotator: str
    """Its name and its options, for the record."""
    options: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[Split, str] = field(default_factory=lambda: {role: role for role in ROLES})
    """Which of the data's splits plays each role; what plays `train` is learned from."""
    wanted: Sequence[Split] = ROLES
    """The roles that are to be annotated."""
    limit: int | None = None
    """Only the first so many studies of each split."""
    blind: bool = False
    """Withhold reports, and what was made of them, as where reports are to be predicted."""
    out: Path | None = None
    """A file, `….jsonl`, or the folder in which it is to be."""
    save: Path | None = None
    """The folder for what was learned; alone, nothing is annotated."""
    force: bool = False
    """Write over what is there."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """What was made."""

    slug: str
    sidecar: Path | None
    studies: Mapping[str, int]
    """How many of each split were annotated."""
    resumed: int
    """How many of them before this time."""
    empty: int
    """How many annotations say nothing."""
    counts: Table
    fingerprint: str
    from_report: bool
    """Whether it can tell nothing without the study's own report."""
    saved: Path | None
    learned_from: Provenance | None
    """None where nothing was learned."""
    summary: Table
    """What the annotator says of what it learned."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it but the ids that were learned from."""
        learned = self.learned_from
        return {
            "slug": self.slug,
            "sidecar": None if self.sidecar is None else str(self.sidecar),
            "studies": dict(self.studies),
            "resumed": self.resumed,
            "empty": self.empty,
            "counts": self.counts,
            "fingerprint": self.fingerprint,
            "from_report": self.from_report,
            "saved": None if self.saved is None else str(self.saved),
            "learned_from": learned
            and {"about": learned.about, "studies": len(learned.ids), "hash": learned.hash},
            "summary": self.summary,
        }


def sidecar_path(dataset: Dataset, kind: type, order: AnnotationOrder) -> Path | None:
    """Return where the file of annotations is to be; None where what is learned is all.

    Raises UserError where nobody says.
    """
    name = f"{slug_of(kind)}.jsonl"
    if order.out is not None:
        if order.out.suffix in (".json", ".csv", ".txt"):
            raise UserError(
                f"--out {order.out}: annotations are lines of JSON; name a file ….jsonl"
            )
        return order.out if order.out.suffix == ".jsonl" else order.out / name
    if order.save is not None:
        return None
    if isinstance(dataset, HasAnnotationFiles) and (own := dataset.annotation_folder()) is not None:
        return own / name
    raise UserError(
        f"this data has no folder of its own for {name}: say where to write it, --out DIR. Where "
        "what is learned is all that is wanted: --save DIR"
    )
