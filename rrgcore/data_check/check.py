"""The order of a check: one pass over the studies, one over the images, then comparisons.

Of texts and pixels, hashes and counts are kept and nothing else, so that the size of the data does
not matter.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, final

from rrgcore.data_check.annotations import AnnotationCheck
from rrgcore.data_check.checked import Checked
from rrgcore.data_check.findings import Findings
from rrgcore.data_check.images import ImageCheck, Tell
from rrgcore.data_check.listing import SPLITS, Listing
from rrgcore.data_check.raw import RawCheck
from rrgcore.data_check.same import Same
from rrgcore.data_check.texts import Reading, TextCheck, times
from rrgcore.supply import Dataset

AS_NAMED: Final[Mapping[str, str]] = MappingProxyType({})


def check_data(
    dataset: Dataset,
    *,
    reading: Reading | None = None,
    splits: Mapping[str, str] | None = AS_NAMED,
    progress: Tell | None = None,
) -> Checked:
    """Look at everything, every image opened; `progress` is told how many studies of how many have
    had their images opened.

    `splits` are those that train, val and test are in a run, where not those of that name
    (`data.splits`); None where that is not to be looked at, since a run does so itself.
    """
    check = DataCheck(dataset, reading=reading, splits=splits)
    check.read()
    check.open_images(progress)
    return check.finish()


@final
class DataCheck:
    """Looks at the studies of train, val and test: `read`, `open_images` if wanted, `finish`.

    `wrong_rows` are problems that the dataset's constructor told of already.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        reading: Reading | None = None,
        splits: Mapping[str, str] | None = AS_NAMED,
        wrong_rows: Sequence[str] = (),
    ) -> None:
        self._dataset = dataset
        self._splits = splits
        self._findings = Findings()
        for sentence in wrong_rows:
            self._findings.add("rows", sentence)
        self._studies = Listing(dataset)
        about = (self._studies, self._findings)
        self._texts = TextCheck(reading or Reading(), *about)
        self._raw = RawCheck(dataset, *about)
        self._images = ImageCheck(dataset, *about)
        self._annotations = AnnotationCheck(dataset, *about)
        self._ids, self._patients = Same(), Same()

    def read(self, tell: Tell | None = None) -> None:
        """Read the studies, without opening an image."""
        for number, (split, study) in enumerate(self._studies):
            self._ids.add(number, study.id)
            if study.subject is not None:
                self._patients.add(number, study.subject)
            self._images.read(number, split, study)
            self._texts.read(number, split, study)
            self._raw.read(split, study)
            self._annotations.read(split, study)
            if tell is not None:
                tell(number + 1, len(self._studies))

    def open_images(self, tell: Tell | None = None) -> None:
        """Open every image."""
        self._images.open(tell)

    def finish(self) -> Checked:
        """Compare what was read, and say what was found."""
        studies, patients = self._studies, self._patients
        self._look_for_splits()
        self._look_for_ids()
        self._look_for_patients()
        self._texts.finish()
        self._annotations.finish()
        self._images.compare()
        numbers = {split: studies.numbers(split) for split in SPLITS} | {"all": range(len(studies))}
        return Checked(
            fingerprint=self._dataset.fingerprint(),
            caution=self._dataset.caution,
            studies={name: len(those) for name, those in numbers.items()},
            patients={name: patients.distinct(those) for name, those in numbers.items()}
            if len(patients)
            else None,
            texts=self._texts,
            raw=self._raw,
            images=self._images,
            annotations=self._annotations,
            findings=tuple(self._findings),
        )

    def _look_for_splits(self) -> None:
        if not len(self._studies):
            text = "the data has no studies in train, val or test"
            self._findings.add("no_studies", text)
            return
        if self._splits is None:
            return
        for role in SPLITS:
            split = self._splits.get(role, role)
            if split in SPLITS and not self._studies.of[split]:
                kind = "no_train" if role == "train" else "no_split"
                text = f"the data has no studies in {split}: a run needs train, val and test"
                self._findings.add(kind, f"{text}; name others with data.splits")

    def _look_for_ids(self) -> None:
        for group in self._ids.groups():
            where = Counter(self._studies[number][0] for number in group)
            places = " and ".join(f"{times(count)} in {split}" for split, count in where.items())
            id = self._studies[group[0]][1].id
            self._findings.add("ids", f"study '{id}' is there {places}")

    def _look_for_patients(self) -> None:
        """Say once of each patient which splits it is in."""
        for group in self._patients.groups():
            firsts = dict(self._firsts(group))
            if len(firsts) > 1:
                subject = self._studies[group[0]][1].subject
                places = [f"in {split} (study '{id}')" for split, id in firsts.items()]
                text = f"patient '{subject}' is {' and '.join(places)}"
                self._findings.add("patients_in_two_splits", text)

    def _firsts(self, group: Sequence[int]) -> Iterator[tuple[str, str]]:
        """Yield each split of a group and the first study in it."""
        seen: set[str] = set()
        for split, study in (self._studies[number] for number in group):
            if split not in seen:
                seen.add(split)
                yield split, study.id
