"""Probabilities that a classifier gave elsewhere, from a table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import ClassVar, final

from rrg_knowledge.columns import (
    Order,
    Row,
    find_columns,
    find_row,
    ordered_columns,
    read_table,
    short,
    table_rows,
)
from rrg_knowledge.learned_elsewhere import given_provenance, keep_file, kept_file
from rrgcore.annotations import Probabilities
from rrgcore.errors import DataError
from rrgcore.provenance import Artefact
from rrgcore.study import Study
from rrgcore.supply import Annotator, HoldsArtefacts


@final
class ProbabilityTable(Annotator, HoldsArtefacts):
    """A CSV of the probabilities that a classifier of images gives, 0 to 1, as cft-chexpert does.

    Columns are found by name, whatever their order and case (four orders are in use); an
    observation without a column is not known. Studies are found by `id`, the name of a column, or
    else by the first of the usual ones. The rows of a study, one an image, are averaged. `.csv.gz`
    is read too. A file without a header must name its `order`, and begins each line with the
    study's id. MIMIC-CXR's numbers stand for the study's folder too: 50414267 is s50414267.

    Who made the probabilities may have been trained on the studies that are to be predicted:
    `learned_from` is a file that says on which it was (ids, hash), and `trusted` vouches without
    one.

    Raises DataError for a file that is not so, and when it is asked for what it does not hold.
    """

    writes: ClassVar[type] = Probabilities
    kept: ClassVar[bool] = False
    by_id = True
    keeps_studies: ClassVar[bool] = True

    def __init__(
        self,
        *,
        path: str,
        id: str | None = None,
        order: Order | None = None,
        learned_from: str | None = None,
        trusted: bool = False,
    ) -> None:
        if order is not None and id is not None:
            raise ValueError(
                f"`order: {order}` is for a file without a header, whose columns have no names; "
                "leave it away, or leave `id` away"
            )
        self.path = Path(path).expanduser()
        self.id = id
        self.order: Order | None = order
        self.learned_from = learned_from
        self.trusted = trusted
        self._kept: Path | None = None

    def read_given(self) -> None:
        """Read the table, and what made it; raises DataError."""
        self.artefacts()
        _ = self._table

    def keep_given(self, folder: Path) -> None:
        """Copy the table."""
        keep_file(self.path, folder)

    def load_given(self, folder: Path) -> None:
        """Read that copy from now on."""
        self._kept = kept_file(self.path, folder)

    def artefacts(self) -> Sequence[Artefact]:
        """Return the table: made by something that was trained elsewhere."""
        learned = given_provenance(self.learned_from)
        return [Artefact(f"the table {self.path}", learned, self.trusted)]

    def annotate(self, studies: Iterable[Study]) -> Iterator[Probabilities]:
        """Yield the mean of each study's rows; raises DataError for those without, before any."""
        asked = list(studies)
        rows, _ = self._table
        found = [find_row(rows, study) for study in asked]
        if missing := [study.id for study, row in zip(asked, found, strict=True) if row is None]:
            others = f" and {len(missing) - 1:,} more of {len(asked):,}" if missing[1:] else ""
            raise DataError(
                f"{self.path} has no row for the study '{missing[0]}'{others}. It has "
                f"{len(rows):,} studies, the first '{short(next(iter(rows), ''))}'"
            )
        for row in found:
            assert row is not None, "what is missing was refused above"
            yield Probabilities(row)

    def fingerprint(self) -> str:
        """Return the file's name and what tells its contents from others."""
        return f"probability_table {self.path.name} (sha256 {self._table[1]})"

    @cached_property
    def _table(self) -> tuple[dict[str, dict[str, float]], str]:
        """The rows, and what tells the file from others."""
        data = read_table(self._kept or self.path, "probabilities")
        return self._parse(table_rows(data, self.path)), sha256(data).hexdigest()[:12]

    def _parse(self, rows: Iterator[Row]) -> dict[str, dict[str, float]]:
        first = next(rows)
        if self.order is not None:
            columns = ordered_columns(first[1], self.order, self.path)
            return self._load(chain([first], rows), columns, 0)
        columns, key, by_text = find_columns(first[1], self.path, id=self.id, report=None)
        if by_text:
            raise DataError(
                f"{self.path} has no column that names the study; say which one does: `id`. "
                f"Columns: {', '.join(first[1])}"
            )
        return self._load(rows, columns, key)

    def _load(
        self, rows: Iterable[Row], columns: Mapping[str, int], key: int
    ) -> dict[str, dict[str, float]]:
        images: dict[str, list[list[float]]] = {}
        for line, cells in rows:
            name = cells[key].strip()
            if not name:
                raise DataError(f"{self.path}, line {line}: the study has no id")
            images.setdefault(name, []).append(
                [_value(cells[column], what, line, self.path) for what, column in columns.items()]
            )
        return {
            name: {
                what: sum(each) / len(each)
                for what, each in zip(columns, zip(*several, strict=True), strict=True)
            }
            for name, several in images.items()
        }


def _value(cell: str, observation: str, line: int, path: Path) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:  # NaN is neither
        raise DataError(
            f"{path}, line {line}: '{cell.strip()}' for {observation}; expected a probability from "
            "0 to 1"
        )
    return number
