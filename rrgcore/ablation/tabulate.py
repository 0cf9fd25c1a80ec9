"""From finished runs to the table of an ablation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import stdev

from rrgcore.ablation.average import DEFINITIONS, average_change
from rrgcore.ablation.changes import average_interval, change
from rrgcore.ablation.rescoring import Rescored, rescore
from rrgcore.ablation.results import Results, resolve_metrics
from rrgcore.ablation.table import Cell, Line, Table
from rrgcore.ablation.wording import (
    about_average,
    about_comparability,
    about_seeds,
    fingerprints,
    verdicts,
)
from rrgcore.plan import Plan


def make_table(
    results: Sequence[Results],
    plan: Plan,
    *,
    reference: str,
    delta: str | None,
    metrics: Sequence[str] | None = None,
    base: Sequence[str] = (),
    test: bool = True,
    notes: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
) -> Table:
    """Put the finished runs into a table; `plan` is the reference row's.

    `metrics` are the columns, else those of the paper whose AVG.Δ it is, else what the first
    protocol shows. Raises UserError for a score that no run has.
    """
    first = next(each for each in results if each.row.label == reference)
    columns, absent = _columns(results, delta, metrics, plan)
    averaged, without = _averaged(results, delta, columns)
    wanted = list(dict.fromkeys([*columns, *averaged]))
    found = rescore(results, first, wanted, plan, test=test, tell=tell)
    comparable = _comparable(results, first, wanted)
    lines = tuple(_line(each, first, columns, averaged, found, comparable) for each in results)
    table = Table(plan.recipe.name, tuple(base), reference, tuple(columns), delta, lines)
    below = [
        *absent,
        *about_seeds(lines, reference),
        *(about_average(delta, averaged, first, without) if delta else ()),
        *about_comparability(results, first, columns, comparable, found.apart),
        *fingerprints(results, columns),
        *dict.fromkeys(found.notes),
        *notes,
    ]
    return replace(table, verdicts=tuple(verdicts(table)) if test else (), notes=tuple(below))


# ---- columns --------------------------------------------------------------------------------


def _columns(
    results: Sequence[Results], delta: str | None, asked: Sequence[str] | None, plan: Plan
) -> tuple[list[str], list[str]]:
    """Return the columns, and a sentence for each that no run could fill."""
    if asked is not None:
        columns = resolve_metrics(asked, results)
    else:
        runs = [run for each in results for run in each.runs]
        protocol = next(iter(plan.metrics), "")
        shown = [key for run in runs[:1] for key in run.scores if key.startswith(f"{protocol}.")]
        columns = _existing(DEFINITIONS[delta].columns, results) if delta else shown
        columns = columns or shown
    missing = {
        metric: why
        for each in results
        for run in each.runs
        for metric, why in run.missing.items()
        if metric in columns
    }
    empty = [m for m in columns if not any(each.values(m) for each in results)]
    kept = [m for m in columns if m not in empty]
    return kept, [f"no column {m}: {missing.get(m, 'no run has it')}" for m in empty if any(kept)]


def _existing(names: Sequence[str], results: Sequence[Results]) -> list[str]:
    """Resolve those names that any run knows of, all in the protocol that has the first of them."""
    known = [key for each in results for run in each.runs for key in [*run.scores, *run.missing]]
    protocol = next((key.partition(".")[0] for key in known if key.partition(".")[2] in names), "")
    return [f"{protocol}.{name}" for name in names if f"{protocol}.{name}" in known]


def _averaged(
    results: Sequence[Results], delta: str | None, columns: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return what AVG.Δ is an average of, and what of it no run has."""
    if delta is None:
        return [], []
    over = DEFINITIONS[delta].over
    wanted = list(columns) if over is None else _existing(over, results)
    there = [m for m in wanted if any(each.values(m) for each in results)]
    names = [m.partition(".")[2] for m in there]
    return there, [name for name in over or () if name not in names]


def _comparable(
    results: Sequence[Results], first: Results, metrics: Sequence[str]
) -> dict[str, list[str]]:
    """Return, for each row, the metrics computed in the same way for it as for the reference."""
    protocols = {m: m.partition(".")[0] for m in metrics}

    def prints(each: Results, protocol: str) -> set[str]:
        return {run.fingerprints.get(protocol, "") for run in each.runs}

    return {
        each.row.label: [
            m for m in metrics if len(prints(each, protocols[m]) | prints(first, protocols[m])) <= 1
        ]
        for each in results
    }


# ---- lines ----------------------------------------------------------------------------------


def _line(
    own: Results,
    first: Results,
    columns: Sequence[str],
    averaged: Sequence[str],
    found: Rescored,
    comparable: Mapping[str, Sequence[str]],
) -> Line:
    label = own.row.label
    apart = label in found.apart or own is first
    same = [] if apart else comparable[label]
    average = between = None
    if not apart and averaged and set(averaged) <= set(same):
        means = [{m: each.mean(m) for m in averaged} for each in (own, first)]
        known = [{m: v for m, v in each.items() if v is not None} for each in means]
        average = average_change(known[0], known[1], averaged)
        pairs = [{m: found.of(row, m) for m in averaged} for row in (label, first.row.label)]
        if average is not None and all(all(each.values()) for each in pairs):
            between = average_interval(pairs[0], pairs[1])
    return Line(
        label=label,
        variants=own.row.variants,
        asked=own.seeds,
        seeds=tuple(run.seed for run in own.runs),
        figures={m: figure for m in columns if (figure := _figure(own, m)) is not None},
        average=average,
        average_interval=between,
        changes={
            m: change(found.of(label, m), found.of(first.row.label, m))
            for m in columns
            if m in same and found.of(label, m) and found.of(first.row.label, m)
        },
        training_s=_mean_of([run.training_s for run in own.runs]),
        whole_s=_mean_of([run.whole_s for run in own.runs]),
        trainable=own.runs[0].trainable if own.runs else None,
        parameters=own.runs[0].parameters if own.runs else None,
    )


def _figure(own: Results, metric: str) -> Cell | None:
    values = own.values(metric)
    if len(values) != len(own.runs) or not values:
        return None
    if len(values) > 1:
        mean = sum(values) / len(values)
        return Cell(mean, deviation=stdev(values), values=tuple(values))
    return Cell(values[0], interval=own.runs[0].intervals.get(metric), values=tuple(values))


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
