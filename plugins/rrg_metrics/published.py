"""The papers' own figures, as they are printed, in `published/*.yaml`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import yaml

from rrgcore.scoring.published import Published, PublishedRow, PublishedTable

FOLDER = Path(__file__).parent / "published"


@final
class CmEAA(Published):
    """CmEAA (Huang et al.): Tables 1, 2 and 3, with the baselines it quotes."""

    def tables(self) -> Sequence[PublishedTable]:
        """Return the tables in the paper's order; Table 1 is two, a data set each."""
        return tuple(_tables("cmeaa"))


@final
class KIA(Published):
    """KIA (Yin et al.): Tables 1 and 2, with the baselines it quotes."""

    def tables(self) -> Sequence[PublishedTable]:
        """Return the tables in the paper's order; Table 1 is two, a data set each."""
        return tuple(_tables("kia"))


def _tables(name: str) -> Iterator[PublishedTable]:
    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    for table in data["tables"]:
        yield PublishedTable(
            paper=data["paper"],
            table=table["table"],
            dataset=table["dataset"],
            split=table["split"],
            protocol=table["protocol"],
            rows=tuple(_rows(table)),
            remarks=tuple(table.get("remarks", ())),
        )


def _rows(table: Mapping[str, Any]) -> Iterator[PublishedRow]:
    own = table["own"]
    assert set(own) <= {row[0] for row in table["rows"]}, f"{own} are rows of {table['table']}"
    for system, *cells in table["rows"]:
        printed = zip(table["columns"], cells, strict=True)
        values = {column: float(cell) for column, cell in printed if cell is not None}
        yield PublishedRow(system, values, own=system in own)
