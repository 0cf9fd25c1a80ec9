"""The annotators `organ` and `literal`: the n-grams that go with a study's observations."""

import shutil
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, final

from rrg_knowledge.learned_elsewhere import digest_of, given_provenance, read_provenance
from rrg_knowledge.ngrams_lists import Lists, count_by_length, read_lists, write_lists
from rrg_knowledge.ngrams_mining import Method, mine_ngrams
from rrg_knowledge.ngrams_pmi import observations
from rrg_knowledge.ngrams_words import is_stop
from rrgcore import __version__
from rrgcore.annotations import Labels, NGrams
from rrgcore.chest import NO_FINDING
from rrgcore.cleaning import cleaner
from rrgcore.provenance import LEARNED, Artefact, Provenance
from rrgcore.study import Study
from rrgcore.supply import Annotator, HoldsArtefacts, Track, Workbench, untracked

MINED: Final = "ngrams.json"
"""In a run's folder of artefacts, beside the record of what it was mined from."""
GIVEN: Final = "given_ngrams.json"
"""The same for a `file`, whose record is elsewhere, if anywhere: that of the run is not its own."""
NOTHING_SEEN: Final = f"{NO_FINDING}_True"


class ObservationNGrams(Annotator, HoldsArtefacts):
    """The n-grams of a study's observations, from lists that its way of mining makes.

    The keys are those of its labels, "Edema_True" for 1 and -1 and "Edema_False" for 0, each with
    its first `top` n-grams; one of which the lists know nothing is left out, and a study without
    any observation has those of "No Finding_True" (C6). A new study's n-grams rest on its labels
    alone, so that they are as blind as those are.

    With `file`, lists are read instead of mined: ORGan's JSON. Beside an `ngrams.json` of ours
    stands which studies it was mined from; of any other `learned_from` is a file that says so (ids,
    hash), and `trusted` vouches without one.

    CmEAA, §2.2 and C6; ORGan (Hou et al., ACL 2023).
    """

    writes: ClassVar[type] = NGrams
    reads: ClassVar[tuple[type, ...]] = (Labels,)
    kept: ClassVar[bool] = False

    def __init__(
        self,
        *,
        top: int = 30,
        min_count: int = 3,
        min_pmi: float = 1.0,
        longest: int = 4,
        frequency: int | None = None,
        cleaning: str = "organ-iu",
        file: str | None = None,
        learned_from: str | None = None,
        trusted: bool = False,
    ) -> None:
        for option, value, least in (
            ("top", top, 1),
            ("longest", longest, 1),
            ("min_count", min_count, 0),
            ("frequency", frequency or 0, 0),
        ):
            if value < least:
                raise ValueError(f"`{option}` is {value}; expected {least} or more")
        if file is None and learned_from is not None:
            raise ValueError("`learned_from` tells of a `file`, and none is named")
        cleaner(cleaning)  # raises for one that does not exist
        self.top = top
        self.min_count = min_count
        self.min_pmi = min_pmi
        self.longest = longest
        self.frequency = frequency
        self.cleaning = cleaning
        self.file = None if file is None else Path(file).expanduser()
        self.learned_from = learned_from
        self.trusted = trusted
        self._track: Track = untracked
        self._lists: Lists | None = None
        self._digest = ""

    @property
    @abstractmethod
    def method(self) -> Method:
        """How it mines."""

    @property
    def lists(self) -> Lists:
        """What was mined or read, whole: observations to their n-grams, best first."""
        self.read_given()
        assert self._lists is not None, "n-grams are mined (fit) or loaded before they are used"
        return self._lists

    def artefacts(self) -> Sequence[Artefact]:
        """Return the `file`."""
        if self.file is None:
            return ()
        return (Artefact(f"the n-grams {self.file}", self._provenance(), self.trusted),)

    def read_given(self) -> None:
        """Read the `file`, and what it was mined from; raises DataError."""
        if self.file is not None and self._lists is None:
            self._provenance()
            self._lists = read_lists(self.file)
            self._digest = digest_of(self.file)

    def equip(self, bench: Workbench) -> None:
        """Take what shows how far it is."""
        self._track = bench.track

    def fit(self, studies: Sequence[Study]) -> None:
        """Mine the reports and labels of the studies, unless a file was given."""
        if self.file is not None:
            return
        reports = (study.report or "" for study in studies)
        self._lists = mine_ngrams(
            self._track(reports, "observation n-grams", len(studies)),
            [study[Labels].values for study in studies],
            method=self.method,
            cleaning=self.cleaning,
            min_count=self.min_count,
            min_pmi=self.min_pmi,
            longest=self.longest,
            frequency=self.frequency,
        )

    def save(self, folder: Path) -> None:
        """Write the lists as ORGan's JSON; a `file` as it is."""
        if self.file is not None and self.file.is_file():
            shutil.copyfile(self.file, folder / GIVEN)
        else:
            write_lists(self.lists, folder / self._saved)

    def load(self, folder: Path) -> None:
        """Read the lists; raises DataError."""
        path = folder / self._saved
        self._lists, self._digest = read_lists(path), digest_of(path)

    def annotate(self, studies: Iterable[Study]) -> Iterator[NGrams]:
        """Yield the n-grams of each study's labels."""
        first = {name: self._usable(ngrams) for name, ngrams in self.lists.items()}
        for study in studies:
            keys = list(observations(study[Labels].values)) or [NOTHING_SEEN]
            yield NGrams({key: first[key] for key in keys if key in first})

    def fingerprint(self) -> str:
        """Return the release and the options, or the file's name and what tells it from others."""
        if self.file is not None:
            self.read_given()
            return f"{self.method}: top {self.top} of {self.file.name} (sha256 {self._digest})"
        frequency = "usual" if self.frequency is None else self.frequency
        return (
            f"{self.method} of rrg {__version__}: top {self.top}, min_count {self.min_count}, "
            f"min_pmi {self.min_pmi:g}, longest {self.longest}, frequency {frequency}, "
            f"cleaning {self.cleaning}"
        )

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Return CmEAA's Table 5: pairs of observation and n-gram, and n-grams, by length."""
        self.read_given()
        return count_by_length(self._lists or {})

    @property
    def _saved(self) -> str:
        return MINED if self.file is None else GIVEN

    def _provenance(self) -> Provenance | None:
        if self.learned_from is None and self.file is not None and self.file.name == MINED:
            return read_provenance(self.file.with_name(LEARNED))
        return given_provenance(self.learned_from)

    def _usable(self, ngrams: Sequence[str]) -> tuple[str, ...]:
        """Return the first of a list, stop words passed over before they are counted (ORGan)."""
        return tuple(ngram for ngram in ngrams if not is_stop(ngram))[: self.top]


@final
class OrganNGrams(ObservationNGrams):
    """Observation n-grams as ORGan mines them: log2(p(x|y) / (p(x) p(y))), 0 and above.

    Shares of occurrences but for p(y), a share of reports (`score_organ`). This is what CmEAA's
    Table 5 counts; from the same reports and labels it makes ORGan's published lists, order
    included. Options as ORGan names them: n-grams of up to `longest` words, seen more than
    `frequency` times; by default in proportion to 150 in IU X-Ray's 2,069 reports, 200 at most.
    """

    @property
    def method(self) -> Method:
        """ORGan's."""
        return "organ"


@final
class LiteralNGrams(ObservationNGrams):
    """Observation n-grams by eq. 6 as it is printed: ln(p(x, y) / (p(x) p(y))), above 0.

    All three are shares of reports. The vocabulary, the order of equals and all options are those
    of `organ`. CmEAA, eq. 6.
    """

    @property
    def method(self) -> Method:
        """That of eq. 6."""
        return "literal"
