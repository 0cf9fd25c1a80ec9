"""The table of what an ablation's runs measured, made and written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from rrgcore.ablation.formats import to_csv, to_json, to_latex, to_markdown
from rrgcore.ablation.results import most_jobs, read_results, same_reports
from rrgcore.ablation.table import Table
from rrgcore.ablation.tabulate import make_table
from rrgcore.ablation.trials import Trial
from rrgcore.cli.ablation_order import AblationOrder
from rrgcore.cli.scoring_options import teller
from rrgcore.files import write_text
from rrgcore.plan import Plan
from rrgcore.scoring.identical import told

SUFFIXES: Final = {"markdown": "md", "latex": "tex"}


def tabulate(
    order: AblationOrder,
    trials: Sequence[Trial],
    plans: Mapping[str, Plan],
    out: Path,
    *,
    differences: bool,
) -> Table | None:
    """Make the table of what is finished; none where nothing is."""
    results = read_results(trials, out)
    if not any(each.runs for each in results):
        typer.echo("no run is finished, and there is no table", err=True)
        return None
    notes = cautions_of(plans)
    notes += [told(group) for group in same_reports(results)]
    if (jobs := most_jobs(out)) > 1:
        notes.append(f"wall times are of runs that shared the machine, up to {jobs} at a time")
    return make_table(
        results,
        plans[order.reference],
        reference=order.reference,
        delta=order.delta,
        metrics=order.metrics,
        base=order.base,
        test=differences,
        notes=notes,
        tell=teller(Console(stderr=True)),
    )


def cautions_of(plans: Mapping[str, Plan]) -> list[str]:
    """List what must be said beside the scores; of some rows only, with their names."""
    found = dict.fromkeys(text for plan in plans.values() for text in plan.cautions)
    said = []
    for text in found:
        rows = [label for label, plan in plans.items() if text in plan.cautions]
        said.append(text if len(rows) == len(plans) else f"{', '.join(rows)}: {text}")
    return said


def write_table(table: Table, out: Path) -> dict[str, str]:
    """Write the table in every form, and return them."""
    forms = {
        "markdown": to_markdown(table),
        "latex": to_latex(table),
        "csv": to_csv(table),
        "json": json.dumps(to_json(table), indent=1, ensure_ascii=False) + "\n",
    }
    for name, text in forms.items():
        write_text(out / f"table.{SUFFIXES.get(name, name)}", text)
    return forms
