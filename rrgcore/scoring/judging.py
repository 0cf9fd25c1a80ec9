"""Anybody's reports against anybody's references: what `rrg score` does, from Python."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError, UserError
from rrgcore.plugins import Discovered, discover
from rrgcore.scoring.by_name import PROTOCOLS, make_named_metrics
from rrgcore.scoring.metric import Metric, Pair
from rrgcore.scoring.pairing import by_id, join, load_pairs
from rrgcore.scoring.report_files import load_reports, load_splits
from rrgcore.scoring.report_rows import Reports, Side
from rrgcore.scoring.scorecard import Scorecard, fit_metrics, make_scorecard

Given = str | Path | Sequence[str]
"""A file, or the reports themselves."""


@final
@dataclass(frozen=True, slots=True)
class Paired:
    """What was read from files."""

    pairs: Sequence[Pair]
    by: str
    """How predictions found their references: "id", "order", or "row" of one file."""


@final
@dataclass(frozen=True, slots=True)
class Training:
    """The reports that baselines, leakage and vocabularies are made of."""

    training: Sequence[str] = ()
    validation: Sequence[str] = ()


def score(
    hypotheses: Given,
    references: Given | None = None,
    *,
    protocols: Sequence[str] = PROTOCOLS,
    labeler: str | None = "rules",
    options: Sequence[str] = (),
    train: Given | None = None,
    split: str = "test",
    plugins: Discovered | None = None,
) -> Scorecard:
    """Score reports by named protocols, with intervals, beside trivial baselines.

    Files are joined by id where both have ids; a file that has both sides needs no references. Of
    an annotation.json, `split` is scored. `options`
    are METRIC.OPTION=VALUE. Raises UserError for what cannot be read, paired or found.
    """
    registry = (plugins or discover()).registry
    metrics = make_named_metrics(protocols, registry, labeler=labeler, options=options)
    around = training_reports(train, references, split=split)
    if references is None:
        if not isinstance(hypotheses, str | Path):
            raise UserError("references are needed, or one file that has both sides in each row")
        return score_pairs(load_pairs(hypotheses), metrics, around)
    sides: dict[Side, Given] = {"prediction": hypotheses, "reference": references}
    read = {side: _reports(given, side, split) for side, given in sides.items()}
    return score_pairs(join(read["prediction"], read["reference"]), metrics, around)


def score_pairs(
    pairs: Sequence[Pair],
    metrics: Mapping[str, Metric],
    around: Training,
    *,
    tell: Callable[[str], None] | None = None,
) -> Scorecard:
    """Score the pairs that have a reference; raises DataError where none has a word."""
    scored = with_words(pairs)
    if not scored:
        raise DataError(f"nothing to score against: {len(pairs):,} references, and none has a word")
    fit_metrics(metrics, around.training)
    return make_scorecard(
        scored, metrics, training=around.training, validation=around.validation, tell=tell
    )


def with_words(pairs: Sequence[Pair]) -> list[Pair]:
    """List the pairs whose reference says something."""
    return [pair for pair in pairs if not is_empty(pair.reference)]


def read_pairs(
    hypotheses: Path,
    references: Path | None,
    *,
    split: str = "test",
    id_column: str | None = None,
    columns: Mapping[Side, str] | None = None,
) -> Paired:
    """Read and pair two files, or one that has both sides; raises DataError."""
    columns = columns or {}
    if hypotheses.is_dir():
        raise UserError(
            f"{hypotheses} is a folder; of a run, score its {hypotheses / 'predictions.jsonl'}, or "
            f"see: rrg compare {hypotheses}"
        )
    if references is None:
        return Paired(load_pairs(hypotheses, id_column=id_column, columns=columns), "row")
    sides: dict[Side, Path] = {"prediction": hypotheses, "reference": references}
    read = {
        side: load_reports(path, side, column=columns.get(side), id_column=id_column, split=split)
        for side, path in sides.items()
    }
    written, expected = read["prediction"], read["reference"]
    if (other := _other_split(written, expected, references, split)) is not None:
        raise DataError(
            f"the ids of {hypotheses} are of the split '{other}' of {references}, of which "
            f"'{split}' was read: --split {other}"
        )
    return Paired(join(written, expected), "id" if by_id(written, expected) else "order")


def _other_split(written: Reports, expected: Reports, references: Path, split: str) -> str | None:
    """Return the split that has all the ids, where the one that was read has none of them."""
    if written.ids is None or expected.ids is None or {*written.ids} & {*expected.ids}:
        return None
    for other in load_splits(references).keys() - {split}:
        ids = load_reports(references, "reference", split=other).ids or ()
        if {*written.ids} <= {*ids}:
            return other
    return None


def training_reports(
    train: Given | None, references: Given | None = None, *, split: str = "test"
) -> Training:
    """Find training and validation reports: an annotation.json holds them beside its test split.

    None of the split that is scored: a constant must not be chosen on it, nor a reference be found
    in itself.
    """
    source = train if train is not None else references
    if source is None:
        return Training()
    if not isinstance(source, str | Path):
        return Training(source) if train is not None else Training()
    splits = load_splits(source)
    if splits:
        known = {name: reports for name, reports in splits.items() if name != split}
        return Training(known.get("train", []), known.get("val", []) if "train" in known else [])
    return Training(load_reports(source, "reference").texts) if train is not None else Training()


def _reports(given: Given, side: Side, split: str) -> Reports:
    if isinstance(given, str | Path):
        return load_reports(given, side, split=split)
    return Reports(f"the {side}s", list(given))
