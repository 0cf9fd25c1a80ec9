"""The files that `rrg predict` writes, which grow: a study may stand in several rows."""

from itertools import chain
from pathlib import Path
from typing import Any

from rrgcore.errors import DataError
from rrgcore.scoring.report_rows import Rows

SHOWN = 3
"""Studies without a report that a message names."""


def last_rows(path: Path, rows: Rows) -> Rows:
    """Return the last row of each study where `rrg predict` wrote the file, other files as they
    are. Raises DataError where a study's last row is an error: it has no report, which is not the
    same as an empty one.
    """
    first = next(rows, None)
    if first is None:
        return iter(())
    if not _is_of_predict(first[1]):
        return chain([first], rows)
    last = {str(row.get("id")): (place, row) for place, row in chain([first], rows)}
    failed = {id: row["error"] for id, (_, row) in last.items() if row.get("error")}
    if failed:
        shown = "".join(f"\n  {id}: {failed[id]}" for id in list(failed)[:SHOWN])
        more = f"\n  … and {len(failed) - SHOWN:,} more" if len(failed) > SHOWN else ""
        raise DataError(
            f"{path}: {len(failed):,} of {len(last):,} studies have no report:{shown}{more}\n"
            "Mend their images and give the same rrg predict again, or take their rows away, and "
            "their references"
        )
    return iter(last.values())


def _is_of_predict(row: dict[str, Any]) -> bool:
    return (
        isinstance(row.get("provenance"), dict) or {"recipe", "checkpoint", "sha256"} <= row.keys()
    )
