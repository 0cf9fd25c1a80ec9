"""What annotations say, counted: a table for whoever had them made."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, final

from rrgcore.annotations import Boxes, Labels, NearestReport, NGrams, Probabilities, RadGraph
from rrgcore.chest import OBSERVATIONS

Table = Mapping[str, Mapping[str, int | float]]
"""Row to column to number."""
VALUES: Mapping[int, str] = {1: "present", 0: "denied", -1: "uncertain"}
"""Of labels."""


@final
class Tally:
    """Counts what annotations of core's own classes say, one after the other."""

    def __init__(self) -> None:
        self.studies = 0
        self.empty = 0
        """How many say nothing: no label, no box, no entity."""
        self._counts: dict[str, Counter[str]] = {}
        self._sums: dict[str, dict[str, float]] = {}
        """Column to row to a sum, of which the table has the mean over studies."""
        self._reports: set[str] = set()

    def add(self, annotation: Any) -> None:
        """Take one study's annotation in."""
        self.studies += 1
        match annotation:
            case Labels():
                found = [(name, VALUES[value]) for name, value in annotation.values.items()]
            case RadGraph():
                found = [(entity.label, "entities") for entity in annotation.entities.values()]
            case Boxes():
                found = [(box.name, "boxes") for image in annotation.images for box in image]
            case NGrams():
                found = [(key, "studies") for key in annotation.values]
                self._sum("n-grams each", {k: len(v) for k, v in annotation.values.items()})
            case Probabilities():
                found = [(name, "studies") for name in annotation.values]
                self._sum("mean probability", annotation.values)
            case NearestReport():
                self._reports.add(annotation.study)
                found = [("all", "studies")]
            case _:
                return
        self.empty += not found
        for row, column in found:
            self._counts.setdefault(row, Counter())[column] += 1

    def table(self) -> Table:
        """Return the counts; observations in their order, other rows by name."""
        order = {name: number for number, name in enumerate(OBSERVATIONS)}
        rows = sorted(self._counts, key=lambda row: (order.get(row, len(order)), row))
        columns = [
            column
            for column in VALUES.values()
            if any(column in counts for counts in self._counts.values())
        ]
        table: dict[str, dict[str, int | float]] = {
            row: {**dict.fromkeys(columns, 0), **self._counts[row]} for row in rows
        }
        for column, sums in self._sums.items():
            for row, total in sums.items():
                table[row][column] = total / table[row]["studies"]
        if self._reports:
            table["all"]["different reports"] = len(self._reports)
        return table

    def _sum(self, column: str, values: Mapping[str, int | float]) -> None:
        sums = self._sums.setdefault(column, {})
        for row, value in values.items():
            sums[row] = sums.get(row, 0.0) + value
