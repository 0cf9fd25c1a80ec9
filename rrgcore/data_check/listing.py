"""The studies of a data set under one numbering, split after split."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, final, get_args

from rrgcore.settings import Split
from rrgcore.study import Study
from rrgcore.supply import Dataset

SPLITS: Final[tuple[str, ...]] = get_args(Split)


@final
class Listing:
    """Studies by number."""

    def __init__(self, dataset: Dataset) -> None:
        self.of = {split: dataset.studies(split) for split in SPLITS}
        self._starts: list[int] = []
        self._total = 0
        for studies in self.of.values():
            self._starts.append(self._total)
            self._total += len(studies)

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, number: int) -> tuple[str, Study]:
        at = bisect_right(self._starts, number) - 1
        split = SPLITS[at]
        return split, self.of[split][number - self._starts[at]]

    def __iter__(self) -> Iterator[tuple[str, Study]]:
        for split, studies in self.of.items():
            for study in studies:
                yield split, study

    def numbers(self, split: str) -> range:
        """Return the numbers of a split's studies."""
        start = self._starts[SPLITS.index(split)]
        return range(start, start + len(self.of[split]))
