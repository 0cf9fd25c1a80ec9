"""What `rrg score` and `rrg compare` share: options that mean the same in both."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rrgcore.errors import UserError
from rrgcore.registry import Registry

if TYPE_CHECKING:  # --help and --version import none of it
    from rich.console import Console

    from rrgcore.scoring import Metric
    from rrgcore.scoring.report_rows import Side

Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", "-p", metavar="NAME", help="A metric, as in: rrg list metrics."),
]
Labeler = Annotated[
    str, typer.Option(metavar="NAME", help="Who labels for clinical efficacy; none leaves it out.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="METRIC.OPTION=VALUE", help="--set r2gen.dataset=mimic_cxr"),
]
Train = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Training reports: for baselines, leakage, vocabularies."),
]
SplitName = Annotated[str, typer.Option(metavar="NAME", help="Which split of annotation.json.")]
IdColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The column of ids.")]
PredictionColumn = Annotated[str | None, typer.Option(metavar="NAME", help="… of predictions.")]
ReferenceColumn = Annotated[str | None, typer.Option(metavar="NAME", help="… of references.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the JSON here.")]


def make_metrics(
    names: Sequence[str] | None,
    registry: Registry,
    labeler: str,
    settings: Sequence[str] | None,
) -> "dict[str, Metric]":
    """Build the metrics that were asked for."""
    from rrgcore.scoring.by_name import PROTOCOLS, make_named_metrics

    who = None if labeler == "none" else labeler
    return make_named_metrics(names or PROTOCOLS, registry, labeler=who, options=settings or ())


def check_out(path: Path | None) -> None:
    """Raise UserError before the work is done, where its result could not be written."""
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        what = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise UserError(f"--out {path} {what}; name a file")


def columns_of(prediction: str | None, reference: str | None) -> "dict[Side, str]":
    """Return the columns that were named."""
    given: dict[Side, str | None] = {"prediction": prediction, "reference": reference}
    return {side: column for side, column in given.items() if column is not None}


def teller(console: "Console") -> Callable[[str], None] | None:
    """Tell what is being scored, in a terminal only."""
    return (lambda text: console.print(f"scoring: {text}")) if console.is_terminal else None


def write_json(path: Path | None, found: Mapping[str, Any]) -> None:
    """Write the JSON where it was asked for; raises UserError."""
    if path is None:
        return
    try:
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {path} cannot be written ({error})") from error
