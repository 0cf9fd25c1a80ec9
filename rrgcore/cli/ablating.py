"""`rrg ablate`: variants × seeds as run folders, and the paper's table of what came of them."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.console import Console

from rrgcore.ablation.average import DEFINITIONS
from rrgcore.ablation.pool import Outcome, Task, duration, environment_of, run_all
from rrgcore.cli.ablation_lines import RunLines, ending, last_lines
from rrgcore.cli.options import (
    Json,
    NoPlugins,
    Overrides,
    PluginFiles,
    find_plugins,
)
from rrgcore.errors import RunError, UserError, did_you_mean
from rrgcore.figure_file import check_figure_file

if TYPE_CHECKING:  # --help imports none of it
    from rrgcore.ablation.rows import Row
    from rrgcore.ablation.table import Table
    from rrgcore.ablation.trials import Trial
    from rrgcore.plan import Plan

Format = Literal["markdown", "latex", "csv", "json"]
FILES: Mapping[Format, str] = {
    "markdown": "table.md",
    "latex": "table.tex",
    "csv": "table.csv",
    "json": "table.json",
}
DELTAS = (*DEFINITIONS, "none")
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
    printed = cast(Format, "json" if as_json else form)
    _check_one_of(printed, tuple(FILES), "--format")
    check_figure_file(figure)
    found = find_plugins(plugin, no_plugin)
    from rrgcore.ablation.rows import (
        WHOLE,
        named_rows,
        parse_rows,
        parse_seeds,
        parse_variants,
    )
    from rrgcore.ablation.tables import find_table, read_table
    from rrgcore.recipe import load_recipe

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("rrg ablate starts processes of its own; run it without accelerate launch")
    title, named = None, dict[str, str]()
    if (path := find_table(recipe)) is not None:
        told = read_table(path)
        recipe, named, title = told.ablate, told.rows, path.stem
        base, reference = base or told.base, reference or told.reference
        seeds, delta = seeds or told.seeds, delta or told.delta
        metrics = metrics or told.metrics
    elif not variants:
        _check_there(recipe)
        raise UserError(
            "--variants is needed: the rows of the table, such as full,a,b+c; or name a table that "
            "has them, as listed by: rrg list ablations"
        )
    # before torch is imported: a mistake in the recipe's own text should not take seconds to show
    read = load_recipe(recipe, overrides=overrides or ())
    below = parse_variants(base or WHOLE[0], read.available)
    if variants:
        rows = parse_rows(variants, read.available)
    else:
        rows = named_rows(named, read.available, said_by=str(path))
    if seeds is not None and any(o.partition("=")[0].strip() == "seed" for o in read.overrides):
        raise UserError("--seeds and seed=… say the same; keep one of the two")
    numbers = parse_seeds(seeds, read.values.get("seed", 0))
    first = _reference(reference, rows)
    whose = _delta(delta, read.name)
    from rrgcore.ablation.trials import list_trials, plan_rows

    plans = plan_rows(recipe, rows, found.registry, base=below, overrides=overrides or ())
    if asked := _names(metrics):
        from rrgcore.ablation.columns import check_columns

        check_columns(asked, plans.values())
    out = out or Path("runs", "ablations", "-".join((title or read.name, *below)))
    trials = list_trials(recipe, rows, plans, numbers, out, found.registry)
    if dry_run:
        _list(trials, out, as_json)
        return
    options = [word for path in plugin or () for word in ("--plugin", str(path))]
    options += [word for name in no_plugin or () for word in ("--no-plugin", name)]
    trials, failed = _run(trials, out, jobs, options)
    table = _table(trials, plans, first.label, whose, metrics, below, differences, out)
    if table is not None:
        forms = _write(table, out)
        if figure is not None:
            from rrgcore.ablation.drawing import draw_table

            draw_table(table, figure, caution=" ".join(_cautions(plans)))
        typer.echo(forms[printed].rstrip("\n"))
    if failed:
        raise typer.Exit(1)


# ---- what was said --------------------------------------------------------------------------


def _check_there(name: str) -> None:
    """Raise UserError for what is neither a recipe nor a table, with the nearest of both."""
    from rrgcore.installed import list_ablations
    from rrgcore.recipe import find_recipe

    tables = [key.rpartition("/")[2] for key in list_ablations()]
    try:
        find_recipe(name)
    except UserError as error:
        near = did_you_mean(name, tables)
        raise UserError(f"{error}\nTables: {', '.join(tables)}.{near}") from error


def _check_one_of(given: str, known: Sequence[str], option: str) -> None:
    if given not in known:
        raise UserError(
            f"{option} {given}: expected {', '.join(known[:-1])} or {known[-1]}."
            f"{did_you_mean(given, known)}"
        )


def _reference(name: str | None, rows: "Sequence[Row]") -> "Row":
    labels = [row.label for row in rows]
    if name is None:
        return rows[0]
    if name not in labels:
        raise UserError(
            f"--reference {name} is no row.{did_you_mean(name, labels)} Rows: {', '.join(labels)}"
        )
    return rows[labels.index(name)]


def _delta(given: str | None, recipe: str) -> str | None:
    """Return whose average: CmEAA's of its own recipes, else KIA's, which is over all metrics."""
    if given is None:
        return "cmeaa" if recipe.startswith("cmeaa") else "kia"
    _check_one_of(given, DELTAS, "--delta")
    return None if given == "none" else given


def _names(given: Sequence[str] | None) -> list[str] | None:
    """Split names at commas, those in brackets left alone: F1 (14, micro, uncertain positive)."""
    if not given:
        return None
    return [n.strip() for text in given for n in re.split(r",(?![^()]*\))", text) if n.strip()]


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


# ---- the table ------------------------------------------------------------------------------


def _table(
    trials: "Sequence[Trial]",
    plans: "Mapping[str, Plan]",
    reference: str,
    delta: str | None,
    metrics: Sequence[str] | None,
    base: Sequence[str],
    differences: bool,
    out: Path,
) -> "Table | None":
    """Make the table of what is finished; none where nothing is."""
    from rrgcore.ablation.results import most_jobs, read_results, same_reports
    from rrgcore.ablation.tabulate import make_table
    from rrgcore.cli.scoring_options import teller
    from rrgcore.scoring.identical import told

    results = read_results(trials, out)
    if not any(each.runs for each in results):
        typer.echo("no run is finished, and there is no table", err=True)
        return None
    notes = _cautions(plans)
    notes += [told(group) for group in same_reports(results)]
    if (jobs := most_jobs(out)) > 1:
        notes.append(f"wall times are of runs that shared the machine, up to {jobs} at a time")
    return make_table(
        results,
        plans[reference],
        reference=reference,
        delta=delta,
        metrics=_names(metrics),
        base=base,
        test=differences,
        notes=notes,
        tell=teller(Console(stderr=True)),
    )


def _cautions(plans: "Mapping[str, Plan]") -> list[str]:
    """List what must be said beside the scores; of some rows only, with their names."""
    found = dict.fromkeys(text for plan in plans.values() for text in plan.cautions)
    said = []
    for text in found:
        rows = [label for label, plan in plans.items() if text in plan.cautions]
        said.append(text if len(rows) == len(plans) else f"{', '.join(rows)}: {text}")
    return said


def _write(table: "Table", out: Path) -> dict[Format, str]:
    """Write the table in every form, and return them."""
    from rrgcore.ablation.formats import to_csv, to_json, to_latex, to_markdown
    from rrgcore.files import write_text

    forms: dict[Format, str] = {
        "markdown": to_markdown(table),
        "latex": to_latex(table),
        "csv": to_csv(table),
        "json": json.dumps(to_json(table), indent=1, ensure_ascii=False) + "\n",
    }
    for name, text in forms.items():
        write_text(out / FILES[name], text)
    return forms
