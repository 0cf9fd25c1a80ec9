"""Rows of a file made into studies, and everything that is wrong with them told at once."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from rrg_data.problems import Problems
from rrg_data.r2gen_file import SPLITS, Row, shown, wrong_row, wrong_splits
from rrg_data.sidecars import Sidecars
from rrgcore.chest import view_of
from rrgcore.cleaning import cleaner, is_empty
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study


@final
class RowStudies:
    """Studies by split, of rows with `id`, `report`, `image_path` and perhaps `views`,
    `subject_id` and `study_id`: a row that anything is wrong with is none.
    """

    def __init__(
        self, *, images: Path, sidecars: Sidecars, cleaning: str, max_images: int | None
    ) -> None:
        if max_images is not None and max_images < 1:
            raise ValueError(f"max_images is {max_images}; expected a positive number, or none")
        self.images = images
        self.sidecars = sidecars
        self.cleaning = cleaning
        self.max_images = max_images
        self._clean = cleaner(cleaning)
        self._studies: dict[str, list[Study]] = {split: [] for split in SPLITS}

    def __iter__(self) -> Iterator[tuple[str, Study]]:
        for split, studies in self._studies.items():
            for study in studies:
                yield split, study

    def of(self, split: str) -> Sequence[Study]:
        """List a split's studies in the file's order; raises DataError for none of the three."""
        if split not in SPLITS:
            raise DataError(f"no split called '{split}'; expected train, val or test")
        return self._studies[split]

    def counts(self) -> Mapping[str, Any]:
        """Return how much there is, for a fingerprint."""
        return {
            "studies": {split: len(studies) for split, studies in self._studies.items()},
            "images": sum(len(study.images) for _, study in self),
        }

    def fill(self, rows: Sequence[Row], problems: Problems) -> None:
        """Add the studies of the rows; no image is opened."""
        images = self.images if self.images.is_dir() else None
        if images is None:
            problems.add(f"the folder of images, {self.images}, does not exist")
        for sentence in wrong_splits(rows):
            problems.add(sentence)
        first: dict[str, Row] = {}
        for row in map(self._with_views, rows):
            if row.split not in SPLITS:
                continue
            wrong = list(wrong_row(row, images))
            if not wrong:
                study = self._study(row.value)
                wrong += self._misplaced(study, row, first.setdefault(study.id, row))
                if not wrong:
                    self._studies[row.split].append(study)
            for sentence in wrong:
                problems.add(f"{row}: {sentence}")

    def _with_views(self, row: Row) -> Row:
        """Add what the sidecar knows of a study's views and its row does not say."""
        known = self.sidecars.values("views")
        if not known or not isinstance(row.value, dict) or row.value.get("id") not in known:
            return row
        return row.replaced({"views": known[row.value["id"]], **row.value})

    def _study(self, row: Mapping[str, Any]) -> Study:
        paths = row["image_path"][: self.max_images]
        names = row.get("views", [None] * len(paths))[: self.max_images]
        return Study(
            id=row["id"],
            images=tuple(ImageRef(os.path.normpath(path)) for path in paths),
            views=tuple(view_of(name) for name in names),
            report=self._clean(row["report"]),
            subject=_known(row.get("subject_id")),
            examination=_known(row.get("study_id")),
        )

    def _misplaced(self, study: Study, row: Row, first: Row) -> Iterator[str]:
        if first is not row:
            leak = "" if first.split == row.split else ": a test would be on what was learned"
            yield f"is in {first.place}, already{leak}"
        if is_empty(study.report or ""):
            report = shown(row.value["report"])
            yield f"nothing is left of its report {report} after cleaning by {self.cleaning}"


def _known(id: Any) -> str | None:
    """Return an id of somebody else's as a word: MIMIC-CXR's are numbers."""
    return None if id is None else str(id)


def raw_reports(rows: Iterable[Row]) -> dict[str, str]:
    """Return the reports of rows by their ids, as they stand in the file."""
    found: dict[str, str] = {}
    for row in rows:
        match row.value:
            case {"id": str(study), "report": str(report)}:
                found.setdefault(study, report)
    return found
