"""`rrg ablate`: variants × seeds as run folders, and the paper's table of what came of them."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rrgcore.ablation.pool import Outcome, Task, duration, environment_of, run_all
from rrgcore.cli.ablation_lines import RunLines, ending, last_lines
from rrgcore.cli.options import (
    Json,
    NoPlugins,
    Overrides,
    PluginFiles,
    find_plugins,
)
from rrgcore.errors import RunError, UserError
from rrgcore.figure_file import check_figure_file

if TYPE_CHECKING:  # --help imports none of it
    from rrgcore.ablation.trials import Trial

FORMS = ("markdown", "latex", "csv", "json")
LAST_WORDS = 12
"""Lines of a failed run's log that are shown."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ablate")(ablate)


def ablate(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|TABLE", help="A recipe, or a table that names its rows: kia_table3."
        ),
    ],
    overrides: Overrides = None,
    variants: Annotated[
        list[str] | None,
        typer.Option("--variants", metavar="A,B,…", help="The rows: a, a+b, label=a+b, full."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="A+B", help="Variants below every row; full, or unsaid, for none."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|A,B,…", help="How many, from 0; or which: 0,1,2.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="ROW", help="What all are compared with; the first row.")
    ] = None,
    delta: Annotated[
        str | None, typer.Option(metavar="PAPER", help="Whose AVG.Δ: cmeaa, kia or none.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metrics", metavar="NAME,…", help="The columns: CIDEr, coco.BLEU-4."),
    ] = None,
    differences: Annotated[
        bool,
        typer.Option("--differences/--no-differences", help="Test against the reference row."),
    ] = True,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="DIR/<row>/seed-<n>, DIR/table.md; resumed."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs, and run none.")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="markdown, latex, csv or json.")
    ] = "markdown",
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the table there, PNG or SVG."),
    ] = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Run variants × seeds of a recipe, and print the paper's table of them.

    The same command goes on where it was stopped: what is finished is kept.
    """
    from rrgcore.cli.ablation_order import check_one_of, read_order

    check_one_of(form, FORMS, "--format")
    check_figure_file(figure)
    found = find_plugins(plugin, no_plugin)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("rrg ablate starts processes of its own; run it without accelerate launch")
    order = read_order(
        recipe,
        overrides=overrides or (),
        variants=variants or (),
        base=base,
        seeds=seeds,
        reference=reference,
        delta=delta,
        metrics=metrics,
    )
    from rrgcore.ablation.trials import list_trials, plan_rows
    from rrgcore.cli.ablation_table import cautions_of, tabulate, write_table

    rows, registry = order.rows, found.registry
    plans = plan_rows(order.recipe, rows, registry, base=order.base, overrides=order.overrides)
    if order.metrics:
        from rrgcore.ablation.columns import check_columns

        check_columns(order.metrics, plans.values())
    out = out or Path("runs", "ablations", "-".join((order.title, *order.base)))
    trials = list_trials(order.recipe, rows, plans, order.seeds, out, registry)
    if dry_run:
        _list(trials, out, as_json)
        return
    options = [word for path in plugin or () for word in ("--plugin", str(path))]
    options += [word for name in no_plugin or () for word in ("--no-plugin", name)]
    trials, failed = _run(trials, out, jobs, options)
    table = tabulate(order, trials, plans, out, differences=differences)
    if table is not None:
        forms = write_table(table, out)
        if figure is not None:
            from rrgcore.ablation.drawing import draw_table

            draw_table(table, figure, caution=" ".join(cautions_of(plans)))
        typer.echo(forms["json" if as_json else form].rstrip("\n"))
    if failed:
        raise typer.Exit(1)


# ---- running --------------------------------------------------------------------------------


def _list(trials: "Sequence[Trial]", out: Path, as_json: bool) -> None:
    """Say which runs there are to be, and how long those that are finished took."""
    from rrgcore.ablation.results import read_journal

    seconds = read_journal(out)
    if as_json:
        rows = [
            {
                "name": trial.name,
                "state": trial.state,
                "path": str(trial.path),
                "seconds": seconds.get(trial.path.relative_to(out).as_posix()),
            }
            for trial in trials
        ]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    width = max(len(trial.name) for trial in trials)
    said = {"new": "to run", "unfinished": "to go on with", "running": "running elsewhere"}
    for trial in trials:
        took = seconds.get(trial.path.relative_to(out).as_posix())
        state = said.get(trial.state, trial.state)
        failed = "again, failed " if trial.state == "new" else ""
        after = f" {failed}after {duration(took)}" if took is not None else ""
        typer.echo(f"{trial.name:<{width}}  {state}{after}  {trial.path}")
    open_ones = [trial for trial in trials if trial.state != "finished"]
    typer.echo(f"{len(open_ones)} of {len(trials)} to run")


def _run(
    trials: "Sequence[Trial]", out: Path, jobs: int, options: Sequence[str]
) -> "tuple[list[Trial], bool]":
    """Run what is not finished; return the trials as they are then, and whether any failed."""
    from rrgcore.ablation.results import journal

    if busy := [trial for trial in trials if trial.state == "running"]:
        paths = "\n".join(str(trial.path) for trial in busy)
        raise RunError(f"another rrg is running in these; wait for it, or stop it:\n{paths}")
    command = (sys.executable, "-m", "rrgcore", "run")
    tasks = {
        Task(trial.name, (*command, *trial.arguments, *options), trial.log): trial
        for trial in trials
        if trial.state != "finished"
    }
    if not tasks:
        return list(trials), False
    out.mkdir(parents=True, exist_ok=True)
    at_a_time = min(jobs, len(tasks))
    devices = _devices() if at_a_time > 1 else []

    def note(task: Task, outcome: Outcome) -> None:
        journal(tasks[task], out, outcome.seconds, outcome.code, at_a_time)

    with RunLines(len(tasks), len(trials) - len(tasks), note) as lines:
        outcomes = run_all(
            list(tasks),
            jobs=at_a_time,
            environment=lambda slot: environment_of(slot, at_a_time, devices),
            watcher=lines,
        )
    done = {tasks[task] for task, outcome in outcomes.items() if outcome.code == 0}
    bad = {task: outcome for task, outcome in outcomes.items() if outcome.code != 0}
    for task, outcome in bad.items():
        typer.echo(f"\n{task.name} failed ({ending(outcome)}), see {task.log}:", err=True)
        typer.echo("\n".join(f"  {line}" for line in last_lines(task.log, LAST_WORDS)), err=True)
    return [replace(t, state="finished") if t in done else t for t in trials], bool(bad)


def _devices() -> list[str]:
    """List the GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]
