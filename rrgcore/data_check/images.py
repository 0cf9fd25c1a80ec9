"""Images of a data set: each opened once, in threads, and compared by a hash of its pixels."""

import os
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, final

import numpy as np

from rrgcore.chest import VIEWS
from rrgcore.data_check.findings import Findings
from rrgcore.data_check.listing import Listing
from rrgcore.data_check.same import Same, key_of
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset

Tell = Callable[[int, int], None]

SMALL_SIDE: Final = 64
BLANK_SPREAD: Final = 1.0
"""Standard deviation in grey levels below which there is nothing to see."""
THREADS: Final = 8


@final
class Images:
    """How many images a split, or all of them, have."""

    def __init__(self) -> None:
        self.count = 0
        self.views: Counter[str] = Counter()
        self.of_a_study: Counter[int] = Counter()
        self.opened = self.missing = self.unreadable = 0

    def read(self, study: Study) -> None:
        """Take a study in."""
        self.count += len(study.images)
        self.of_a_study[len(study.images)] += 1
        self.views.update(study.views)

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "images": self.count,
            "views": {view: self.views[view] for view in VIEWS},
            "images_of_a_study": {str(n): self.of_a_study[n] for n in sorted(self.of_a_study)},
            "images_opened": self.opened,
            "images_missing": self.missing,
            "images_unreadable": self.unreadable,
        }


@final
class ImageCheck:
    """Lists images by number, so that equal ones are found with a few bytes for each."""

    def __init__(self, dataset: Dataset, studies: Listing, findings: Findings) -> None:
        self.of = {split: Images() for split in studies.of}
        self.all = Images()
        self._dataset = dataset
        self._studies = studies
        self._findings = findings
        self._study_of = array("I")
        self._index_of = array("I")
        self._places = Same()
        self._pictures = Same()

    def read(self, number: int, split: str, study: Study) -> None:
        """Take a study's images in, unopened."""
        self.of[split].read(study)
        self.all.read(study)
        if not study.images:
            self._findings.add("no_image", f"study '{study.id}' ({split}) has no image")
        for index, image in enumerate(study.images):
            self._places.add(len(self._study_of), image.where)
            self._study_of.append(number)
            self._index_of.append(index)

    def open(self, tell: Tell | None = None) -> None:
        """Open every image; `tell` is told how many studies of how many are done."""
        total = len(self._studies)
        number = 0
        for done, ((split, study), seen) in enumerate(self._opened(), start=1):
            for image, looked in zip(study.images, seen, strict=True):
                self._judge(split, study, image, number, looked)
                number += 1
            if tell is not None:
                tell(done, total)

    def compare(self) -> None:
        """Look for images that are equal: one file named twice, or two with the same pixels."""
        for group in self._places.groups():
            self._told(group, same_file=True)
        for group in self._pictures.groups():
            if len({self._at(number)[2].where for number in group}) > 1:
                self._told(group, same_file=False)

    def _opened(self) -> Iterator[tuple[tuple[str, Study], "list[_Seen | DataError]"]]:
        """Look at the images of each study, in order; so many studies wait as there are threads."""
        threads = min(THREADS, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads, thread_name_prefix="rrg-images") as pool:
            jobs = ((each, pool.submit(self._look, each[1])) for each in self._studies)
            ahead: deque[tuple[tuple[str, Study], Future[list[_Seen | DataError]]]] = deque(
                islice(jobs, 2 * threads)
            )
            try:
                while ahead:
                    each, job = ahead.popleft()
                    yield each, job.result()
                    ahead.extend(islice(jobs, 1))
            finally:
                for _, job in ahead:
                    job.cancel()

    def _look(self, study: Study) -> "list[_Seen | DataError]":
        seen: list[_Seen | DataError] = []
        for image in study.images:
            try:
                pixels = np.ascontiguousarray(self._dataset.open(image))
            except DataError as error:
                seen.append(error.with_traceback(None))
                continue
            height, width = pixels.shape
            blank = float(pixels.std()) < BLANK_SPREAD
            # a picture on its side is another one
            key = key_of(f"{height}x{width}:".encode() + pixels.tobytes())
            seen.append(_Seen(key, width, height, blank))
        return seen

    def _judge(
        self, split: str, study: Study, image: ImageRef, number: int, looked: "_Seen | DataError"
    ) -> None:
        place = f"study '{study.id}' ({split})"
        counts = (self.of[split], self.all)
        if isinstance(looked, DataError):
            missing = isinstance(looked.__cause__, FileNotFoundError)
            for each in counts:
                each.missing += missing
                each.unreadable += not missing
            self._findings.add("images", f"{place}: {looked}")
            return
        for each in counts:
            each.opened += 1
        if min(looked.width, looked.height) < SMALL_SIDE:
            size = f"{looked.width} × {looked.height} pixels"
            self._findings.add("small_images", f"{place}: image {image.where} is {size}")
        if looked.blank:
            self._findings.add("blank_images", f"{place}: image {image.where}")
        else:  # blank ones are all alike
            self._pictures.add_key(number, looked.key)

    def _at(self, number: int) -> tuple[str, Study, ImageRef]:
        split, study = self._studies[self._study_of[number]]
        return split, study, study.images[self._index_of[number]]

    def _told(self, group: list[int], *, same_file: bool) -> None:
        """Say once where a picture is found: in two splits if it is in two."""
        split, study, image = self._at(group[0])
        others = [self._at(number) for number in group[1:]]
        elsewhere = next((other for other in others if other[0] != split), None)
        other_split, other_study, other = elsewhere or others[0]
        kind = "images_in_two_splits" if elsewhere else "same_images"
        here = f"in {split} (study '{study.id}')"
        there = f"in {other_split} (study '{other_study.id}')"
        if same_file:
            sentence = f"image '{image.where}' is {here} and {there}"
        else:
            sentence = f"image '{image.where}' {here} is the same as '{other.where}' {there}"
        if len(group) > 2:
            sentence += f", and in {len(group) - 2:,} more"
        self._findings.add(kind, sentence)


@final
@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of an image."""

    key: int
    width: int
    height: int
    blank: bool
