"""Labels that somebody else made, from a table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal, final

from rrg_knowledge.columns import (
    BLANK,
    IDS,
    REPORTS,
    Order,
    Row,
    check_complete,
    find_columns,
    find_row,
    ordered_columns,
    plain,
    read_table,
    short,
    table_rows,
)
from rrg_knowledge.learned_elsewhere import keep_file, kept_file
from rrgcore.annotations import Labels
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator

__all__ = ["IDS", "REPORTS", "LabelTable", "Order"]


@final
class LabelTable(Annotator):
    """A CSV of labels: 1 positive, 0 negative, -1 uncertain, blank or NaN not mentioned.

    Columns are found by name, whatever their order: four orders are in use, and a value in the
    wrong column is a wrong label that nobody sees. All 14 observations must be there. Studies are
    found by `id`, the name of a column, or, where there is none, by the text that was labelled
    (`report`, equal but for white space). Names of columns are compared without case; `.csv.gz` is
    read too. A file without a header must name its `order`, and begins each line with the study's
    id. MIMIC-CXR's numbers stand for the study's folder too: 50414267 is s50414267.

    `made_from` says what its labels were read in. Those of reports tell what is to be predicted,
    and are no use at test time; those of images are.

    Raises DataError for a file that is not so, and when it is asked for what it does not hold.
    """

    writes: ClassVar[type] = Labels
    keeps_studies: ClassVar[bool] = True

    def __init__(
        self,
        *,
        path: str,
        id: str | None = None,
        report: str | None = None,
        order: Order | None = None,
        made_from: Literal["reports", "images"] = "reports",
    ) -> None:
        if id is not None and report is not None:
            raise ValueError("name the column of ids or that of texts, not both `id` and `report`")
        if order is not None and (id is not None or report is not None):
            raise ValueError(
                f"`order: {order}` is for a file without a header, whose columns have no names; "
                "leave it away, or leave `id` and `report` away"
            )
        self.path = Path(path).expanduser()
        self.id = id
        self.report = report
        self.order: Order | None = order
        self.from_report = made_from == "reports"
        self._kept: Path | None = None

    @property
    def by_id(self) -> bool:  # type: ignore[override]
        """Whether studies are found by id; else by the text that was labelled."""
        return self._table[1]

    def read_given(self) -> None:
        """Read the table; raises DataError, or ValueError where `made_from` cannot be."""
        _ = self._table

    def keep_given(self, folder: Path) -> None:
        """Copy the table: labels of training reports are asked for again where one stands in for a
        new study's.
        """
        keep_file(self.path, folder)

    def load_given(self, folder: Path) -> None:
        """Read that copy from now on."""
        self._kept = kept_file(self.path, folder)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        """Yield each study's row; raises DataError naming those without one, before any."""
        asked = list(studies)
        found = [self._find(study) for study in asked]
        if missing := [study for study, row in zip(asked, found, strict=True) if row is None]:
            raise DataError(self._absent(missing, len(asked)))
        for row in found:
            assert row is not None, "what is missing was refused above"
            yield Labels(row, dict.fromkeys(row, self.path.name))

    def fingerprint(self) -> str:
        """Return the file's name and what tells its contents from others."""
        return f"label_table {self.path.name} (sha256 {self._table[2]})"

    def _find(self, study: Study) -> Mapping[str, int] | None:
        labels, by_id, _ = self._table
        return find_row(labels, study) if by_id else labels.get(plain(study.report or ""))

    def _absent(self, missing: Sequence[Study], asked: int) -> str:
        if not self.by_id:
            shown = [f"'{short(study.report or '')}'" for study in missing[:3]]
            what = "the report" if len(missing) == 1 else f"{len(missing):,} of {asked:,} reports"
        else:
            shown = [f"'{study.id}'" for study in missing[:3]]
            what = "the study" if len(missing) == 1 else f"{len(missing):,} of {asked:,} studies"
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        example = short(next(iter(self._table[0]), ""))
        return (
            f"{self.path} has no row for {what} {', '.join(shown)}{more}. It has "
            f"{len(self._table[0]):,}, the first for '{example}'. A report without labels is not "
            "one without findings: label it, or leave it out"
        )

    @cached_property
    def _table(self) -> tuple[Mapping[str, Mapping[str, int]], bool, str]:
        """The labels, whether they go by id, and what tells the file from others."""
        data = read_table(self._kept or self.path, "labels")
        return *self._parse(table_rows(data, self.path)), sha256(data).hexdigest()[:12]

    def _parse(self, rows: Iterator[Row]) -> tuple[Mapping[str, Mapping[str, int]], bool]:
        first = next(rows)
        if self.order is not None:
            columns = ordered_columns(first[1], self.order, self.path)
            return self._load(chain([first], rows), columns, 0, by_id=True), True
        columns, key, by_text = find_columns(first[1], self.path, id=self.id, report=self.report)
        check_complete(columns, self.path)
        if by_text and not self.from_report:
            raise ValueError(
                f"{self.path} is looked up by the text that was labelled, so its labels were made "
                "from reports: leave `made_from: images` away, or name the column of `id`"
            )
        return self._load(rows, columns, key, by_id=not by_text), not by_text

    def _load(
        self, rows: Iterable[Row], columns: Mapping[str, int], key: int, *, by_id: bool
    ) -> dict[str, dict[str, int]]:
        labels: dict[str, dict[str, int]] = {}
        for line, cells in rows:
            name = cells[key].strip() if by_id else plain(cells[key])
            if not name and by_id:
                raise DataError(f"{self.path}, line {line}: the study has no id")
            values = {
                observation: value
                for observation, column in columns.items()
                if (value := _value(cells[column], observation, line, self.path)) is not None
            }
            if labels.setdefault(name, values) != values:
                raise DataError(
                    f"{self.path}, line {line}: '{short(name)}' has other labels further up"
                )
        return labels


def _value(cell: str, observation: str, line: int, path: Path) -> int | None:
    text = cell.strip()
    if text.casefold() in BLANK:
        return None
    try:
        number = float(text)
    except ValueError:
        number = None
    if number not in (1, 0, -1):
        raise DataError(
            f"{path}, line {line}: '{text}' for {observation}; expected 1 positive, 0 negative, -1 "
            "uncertain, or blank for not mentioned"
        )
    assert number is not None, "None was refused above"
    return int(number)
