"""`rrg compare`: runs and files side by side, beside papers' figures."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rrgcore.cli.options import Json, NoPlugins, PluginFiles, find_plugins
from rrgcore.cli.scoring_options import (
    IdColumn,
    Labeler,
    Out,
    PredictionColumn,
    Protocols,
    ReferenceColumn,
    Settings,
    SplitName,
    Train,
    check_out,
    columns_of,
    make_metrics,
    teller,
    write_json,
)
from rrgcore.errors import UserError
from rrgcore.plugins import Discovered

if TYPE_CHECKING:
    from rrgcore.scoring.judging import Training
    from rrgcore.scoring.report_rows import Reports


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    systems: Annotated[
        list[Path], typer.Argument(metavar="RUN_OR_FILE…", help="Run folders and prediction files.")
    ],
    references: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What all are scored against.")
    ] = None,
    protocol: Protocols = None,
    labeler: Labeler = "rules",
    settings: Settings = None,
    train: Train = None,
    split: SplitName = "test",
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose published figures to print; none for none."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw each observation's F1 here: .png or .svg."),
    ] = None,
    id_column: IdColumn = None,
    prediction_column: PredictionColumn = None,
    reference_column: ReferenceColumn = None,
    out: Out = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Put runs and files side by side, say which can be told apart, beside papers' figures.

    Each system is tested against the first. Runs that differ in their seed alone are one system.
    """
    from rich.console import Console
    from rich.text import Text

    from rrgcore.cli.cards import print_comparison, print_published
    from rrgcore.figure_file import check_figure_file
    from rrgcore.insight.side_by_side import draw_bars, f1_by_observation
    from rrgcore.scoring.by_name import CLINICAL
    from rrgcore.scoring.cautions import cautions_of, no_words
    from rrgcore.scoring.comparison import compare as put_side_by_side
    from rrgcore.scoring.judging import training_reports
    from rrgcore.scoring.published import published_tables
    from rrgcore.scoring.report_files import load_reports
    from rrgcore.scoring.scorecard import fit_metrics
    from rrgcore.scoring.systems import load_systems

    plugins = find_plugins(plugin, no_plugin)
    check_out(out)
    check_figure_file(figure)
    if figure is not None and labeler == "none":
        raise UserError("--figure draws the F1 of observations, which needs a labeler")
    metrics = make_metrics(protocol, plugins.registry, labeler, settings)
    common: "Reports | None" = None
    if references is not None:
        common = load_reports(
            references, "reference", column=reference_column, id_column=id_column, split=split
        )
    found = load_systems(
        systems,
        split=split,
        references=common,
        id_column=id_column,
        columns=columns_of(prediction_column, reference_column),
    )
    around = training_reports(train, references, split=split)
    if not around.training:
        around = _training_of(systems, plugins, split)
    fit_metrics(metrics, around.training)
    comparison = put_side_by_side(
        found,
        metrics,
        training=around.training,
        validation=around.validation,
        tell=teller(Console(stderr=True, quiet=as_json)),
    )
    tables = published_tables(plugins.registry, dataset, [pair.id for pair in found[0].runs[0]])
    cautions = {
        text: [str(path) for path in systems if text in cautions_of(path)]
        for path in systems
        for text in cautions_of(path)
    }
    for system in found:
        for path, pairs in zip(system.paths, system.runs, strict=True):
            if said := no_words(pairs):
                cautions[said] = [str(path)]
    answer = {
        **comparison.to_json(),
        "cautions": cautions,
        "as printed": [{**asdict(table), "as printed": True} for table in tables],
    }
    if figure is not None:
        bars = f1_by_observation({each.name: each.runs for each in found}, metrics[CLINICAL])
        draw_bars(bars, figure, caution=" ".join(cautions))
        answer["figure"] = bars.to_json()
    write_json(out, answer)
    if as_json:
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    console = Console(highlight=False)
    print_comparison(console, comparison)
    for text, whose in cautions.items():
        some = "" if len(whose) == len(systems) else f"{', '.join(whose)}: "
        console.print(Text(f"{some}{text}"), soft_wrap=True)
    print_published(console, tables)


def _training_of(systems: Sequence[Path], plugins: Discovered, split: str) -> "Training":
    """Read the training reports of the first run whose data is still there."""
    from rrgcore.scoring.judging import Training

    for path in systems:
        if not path.is_dir() or split == "train":
            continue
        from rrgcore.run import load_run
        from rrgcore.studies import Studies

        try:
            studies = Studies(load_run(path, plugins=plugins).plan)
            validation = studies.raw_reports("val") if split != "val" else []
            return Training(studies.raw_reports("train"), validation)
        except UserError as error:
            typer.echo(f"{path}: its training reports cannot be read ({error})", err=True)
    return Training()
