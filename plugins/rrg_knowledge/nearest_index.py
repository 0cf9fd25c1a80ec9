"""Training reports, found by vectors: never a study's own, nor its patient's."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, final, get_args

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rrgcore.annotations import NearestReport
from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError, shortened
from rrgcore.files import write_json
from rrgcore.json_text import parse_json
from rrgcore.study import Study

Measure = Literal["cosine", "l2"]
VECTORS: Final = "index.safetensors"
REPORTS: Final = "index.json"
LARGEST: Final = 1e15
"""What an embedding holds: 32 bits do not hold the squares of much larger numbers."""


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A training report, and whose it is."""

    id: str
    subject: str | None
    examination: str | None
    text: str


@final
class ReportIndex:
    """The reports of the training split, each with the row of the vector that it is found by.

    Similarity is the cosine, or minus the Euclidean distance ("l2"). A study never finds its own
    report, nor one of the same patient or examination, as far as the data tells whose they are.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        vectors: Float[np.ndarray, "u d"],
        rows: Int[np.ndarray, " n"],
        measure: Measure,
    ) -> None:
        assert len(entries) == len(rows), "each report has a vector"
        self.entries = entries
        self.measure: Measure = measure
        self._vectors = unit_rows(vectors) if measure == "cosine" else vectors
        self._rows = rows
        self._texts = _number(entry.text.lower() for entry in entries)
        self._of: dict[tuple[str, str], list[int]] = {}
        for i, entry in enumerate(entries):
            for key in _whose(entry.id, entry.subject, entry.examination):
                self._of.setdefault(key, []).append(i)

    def find(
        self, study: Study, vector: Float[np.ndarray, " d"], *, count: int, dedupe: bool
    ) -> NearestReport:
        """Return the nearest reports, joined; raises DataError where nobody else's is left."""
        return join_reports(self.rank(study, vector, count=count, dedupe=dedupe))

    def rank(
        self, study: Study, vector: Float[np.ndarray, " d"], *, count: int, dedupe: bool
    ) -> list[tuple[Entry, float]]:
        """List the nearest reports and their similarity; of equal ones the first of the training
        split.

        `dedupe`: all different, whatever the case. Raises DataError where nobody else's is left.
        """
        similarity = self._similarity(vector)[self._rows]
        for key in _whose(study.id, study.subject, study.examination):
            similarity[self._of.get(key, [])] = -np.inf
        found: list[tuple[Entry, float]] = []
        for _ in range(min(count, len(self.entries))):
            i = int(similarity.argmax())
            if similarity[i] == -np.inf:
                break
            found.append((self.entries[i], round(float(similarity[i]), 6)))
            similarity[self._texts == self._texts[i] if dedupe else i] = -np.inf
        if not found:
            raise DataError(
                f"no report is left for study '{study.id}': all {len(self.entries):,} of the "
                "training split are of the same patient"
            )
        return found

    def _similarity(self, vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " u"]:
        if self.measure == "cosine":
            found: Float[np.ndarray, " u"] = self._vectors @ unit_rows(vector[None])[0]
        else:
            found = -np.sqrt(((self._vectors - vector) ** 2).sum(axis=1))
        return found

    def save(self, folder: Path) -> None:
        """Write vectors and reports."""
        tensors = {"vectors": np.ascontiguousarray(self._vectors), "rows": self._rows}
        save_file(tensors, folder / VECTORS)
        about = {"measure": self.measure, "reports": [asdict(entry) for entry in self.entries]}
        write_json(folder / REPORTS, about)

    @classmethod
    def load(cls, folder: Path) -> "ReportIndex":
        """Read what `save` wrote; raises DataError."""
        try:
            about = parse_json((folder / REPORTS).read_text(encoding="utf-8"))
            tensors = load_file(folder / VECTORS)
            entries = [Entry(**entry) for entry in about["reports"]]
            vectors, rows, measure = tensors["vectors"], tensors["rows"], about["measure"]
            if (
                measure not in get_args(Measure)
                or (vectors.ndim, vectors.dtype.kind) != (2, "f")
                or (rows.shape, rows.dtype.kind) != ((len(entries),), "i")
                or ((rows < 0) | (rows >= len(vectors))).any()
                or not are_embeddings(vectors)
                or not all(
                    isinstance(word, str) for each in entries for word in (each.id, each.text)
                )
            ):
                raise ValueError("reports, rows and vectors do not fit")
            return cls(entries, vectors, rows, measure)
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            why = shortened(str(error))
            raise DataError(f"the index of reports in {folder} is damaged ({why})") from error


def entries_of(studies: Iterable[Study]) -> list[tuple[Entry, Study]]:
    """List the studies that have a report, with what an index keeps of them; raises DataError
    where none has.
    """
    found = [
        (Entry(study.id, study.subject, study.examination, study.report), study)
        for study in studies
        if study.report is not None and not is_empty(study.report)
    ]
    if not found:
        raise DataError("no training study has a report, so that none can be found")
    return found


def join_reports(found: Sequence[tuple[Entry, float]]) -> NearestReport:
    """Make one annotation of reports, the nearest first, whose similarity it has."""
    return NearestReport(
        " ".join(entry.text for entry, _ in found),
        ", ".join(entry.id for entry, _ in found),
        found[0][1],
    )


def own_report(study: Study) -> NearestReport | None:
    """Return a study's own report, as it may be read in training; None where it is not known."""
    if study.report is None or is_empty(study.report):
        return None
    return NearestReport(study.report, study.id)


def check_count(k: int) -> None:
    """Raise ValueError unless at least one report is asked for."""
    if k < 1:
        raise ValueError(f"`k` is {k}; expected at least one report")


def are_embeddings(vectors: np.ndarray) -> bool:
    """Whether all are numbers whose squares are numbers still."""
    return bool((np.abs(vectors) <= LARGEST).all())


def unit_rows(vectors: Float[np.ndarray, "u d"]) -> Float[np.ndarray, "u d"]:
    """Return rows at unit length; one of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float[np.ndarray, "u d"] = vectors / np.maximum(lengths, np.finfo(vectors.dtype).tiny)
    return scaled


def _whose(id: str, subject: str | None, examination: str | None) -> list[tuple[str, str]]:
    named = {"id": id, "subject": subject, "examination": examination}
    return [(kind, name) for kind, name in named.items() if name is not None]


def _number(texts: Iterable[str]) -> Int[np.ndarray, " n"]:
    """Give equal texts equal numbers."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(text, len(known)) for text in texts])
