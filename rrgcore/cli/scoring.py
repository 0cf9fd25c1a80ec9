"""`rrg score`: anybody's reports, scored by name."""

import json
from pathlib import Path
from typing import Annotated

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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("score")(score)


def score(
    hypotheses: Annotated[
        Path, typer.Argument(metavar="HYPOTHESES", help="JSONL, JSON, CSV, or one report a line.")
    ],
    references: Annotated[
        Path | None,
        typer.Argument(metavar="[REFERENCES]", help="The same; not needed beside its references."),
    ] = None,
    protocol: Protocols = None,
    labeler: Labeler = "rules",
    settings: Settings = None,
    train: Train = None,
    split: SplitName = "test",
    id_column: IdColumn = None,
    prediction_column: PredictionColumn = None,
    reference_column: ReferenceColumn = None,
    out: Out = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Score anybody's reports by named protocols, with intervals, beside trivial baselines."""
    from rich.console import Console
    from rich.text import Text

    from rrgcore.cli.cards import print_card
    from rrgcore.scoring.cautions import cautions_of, no_words
    from rrgcore.scoring.judging import read_pairs, score_pairs, training_reports, with_words

    registry = find_plugins(plugin, no_plugin).registry
    check_out(out)
    metrics = make_metrics(protocol, registry, labeler, settings)
    columns = columns_of(prediction_column, reference_column)
    read = read_pairs(hypotheses, references, split=split, id_column=id_column, columns=columns)
    around = training_reports(train, references, split=split)
    # progress is for people: it stays out of what is piped on
    progress = Console(stderr=True, quiet=as_json)
    card = score_pairs(read.pairs, metrics, around, tell=teller(progress))
    scored = with_words(read.pairs)
    left = len(read.pairs) - len(scored)
    counts = {"pairs": len(scored), "paired by": read.by, "without reference": left}
    cautions = cautions_of(hypotheses)
    cautions += [text] if (text := no_words(scored)) else []
    found = {**counts, **({"cautions": cautions} if cautions else {}), **card.to_json()}
    write_json(out, found)
    nothing = bool(protocol) and not any(found["protocols"].get(n, True) for n in protocol or ())
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        raise typer.Exit(1 if nothing else 0)
    console = Console(highlight=False)
    beside = f"; {left:,} without a reference were left out" if left else ""
    title = Text(f"{hypotheses}: {len(scored):,} pairs, by {read.by}{beside}", style="bold")
    console.print(title, soft_wrap=True)
    print_card(console, found, name=hypotheses.name)
    if not around.training:
        console.print(
            "Baselines and leakage need the training reports: --train FILE", soft_wrap=True
        )
    for caution in cautions:
        console.print(Text(caution), soft_wrap=True)
    if nothing:  # a script is to see it
        raise typer.Exit(1)
