"""Which prediction belongs to which reference: by id, or by order, and never by guess."""

from collections.abc import Mapping
from pathlib import Path

from rrgcore.errors import DataError
from rrgcore.images.naming import called_like_an_image
from rrgcore.scoring.metric import Pair
from rrgcore.scoring.report_files import load_reports, some
from rrgcore.scoring.report_rows import TEXTS, Reports, Side


def by_id(hypotheses: Reports, references: Reports) -> bool:
    """Whether both sides have ids, by which they are joined; else they are paired by order."""
    return hypotheses.ids is not None and references.ids is not None


def join(hypotheses: Reports, references: Reports) -> list[Pair]:
    """Pair predictions with references: by id where both have ids, else by order.

    Raises DataError, with the first ids that offend, unless each side has exactly the other's.
    """
    if hypotheses.ids is None or references.ids is None:
        if len(hypotheses) != len(references):
            raise DataError(_counts(hypotheses, references))
        ids = references.ids or hypotheses.ids or [str(n) for n in range(1, len(references) + 1)]
        rows = zip(ids, hypotheses.texts, references.texts, strict=True)
        return [Pair(id, prediction, reference) for id, prediction, reference in rows]
    written = dict(zip(hypotheses.ids, hypotheses.texts, strict=True))
    expected = dict(zip(references.ids, references.texts, strict=True))
    problems = [
        f"{len(ids):,} of {len(source):,} in {source.where} {what} {other.where}: {some(ids)}"
        for source, other, what, ids in (
            (references, hypotheses, "have none in", [i for i in expected if i not in written]),
            (hypotheses, references, "are unknown to", [i for i in written if i not in expected]),
        )
        if ids
    ]
    if problems:
        of_files = not written.keys() & expected.keys() and all(map(called_like_an_image, written))
        raise DataError(
            "ids do not agree: "
            + ";\n".join(problems)
            + f"\n{hypotheses.where} has a report for each image file. For one a study, name the "
            "studies: rrg predict RUN TABLE, which may be an annotation.json" * of_files
        )
    return [Pair(id, written[id], reference) for id, reference in expected.items()]


def load_pairs(
    path: str | Path, *, id_column: str | None = None, columns: Mapping[Side, str] | None = None
) -> list[Pair]:
    """Read a file that has both sides in each row: predictions.jsonl of a run, or anybody's."""
    columns = columns or {}
    sides = {
        side: load_reports(path, side, column=columns.get(side), id_column=id_column)
        for side in TEXTS
    }
    if sides["prediction"].column == sides["reference"].column:
        raise DataError(f"{path}: holds one text a row; give predictions and references, two files")
    return join(sides["prediction"], sides["reference"])


def _counts(hypotheses: Reports, references: Reports) -> str:
    short, long = sorted((hypotheses, references), key=len)
    begins = f"the first that has no partner is number {len(short) + 1:,}"
    if long.ids is not None:
        begins = f"the first that have no partner: {some(long.ids[len(short) :])}"
    return (
        f"{hypotheses.where} has {len(hypotheses):,} reports and {references.where} has "
        f"{len(references):,}; without ids in both they are paired by order, and {begins}"
    )
