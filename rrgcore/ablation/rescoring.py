"""The reports of all runs scored once more, side by side, for what a single number cannot tell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

from rrgcore.ablation.changes import Sampled, sample
from rrgcore.ablation.results import Measured, Results
from rrgcore.build import make_metrics
from rrgcore.errors import DataError, UserError
from rrgcore.plan import Plan
from rrgcore.scoring import Metric, Pair
from rrgcore.scoring.scorecard import fit_metrics
from rrgcore.scoring.systems import load_systems
from rrgcore.studies import Studies

OTHER = 1e-6
"""A score that differs by more from the run's own was computed in another way."""


@final
@dataclass(slots=True)
class Rescored:
    """Each score of each run on draws of the studies, and what could not be compared."""

    by_row: dict[str, dict[str, dict[int, Sampled]]] = field(default_factory=dict)
    """By row, metric and seed."""
    apart: dict[str, str] = field(default_factory=dict)
    """Rows that were scored on other studies or references than the reference row, and how."""
    notes: list[str] = field(default_factory=list)

    def of(self, row: str, metric: str) -> Mapping[int, Sampled]:
        """Return a row's runs by seed; none where they have no terms."""
        return self.by_row.get(row, {}).get(metric, {})


def rescore(
    results: Sequence[Results],
    reference: Results,
    metrics: Sequence[str],
    plan: Plan,
    *,
    test: bool = True,
    tell: Callable[[str], None] | None = None,
) -> Rescored:
    """Score every run's predictions with the metrics of the reference row's recipe.

    Without `test` it is only found out which runs are of the same studies.
    """
    found = Rescored()
    runs = _align(results, reference, found)
    protocols = list(dict.fromkeys(metric.partition(".")[0] for metric in metrics))
    if not test or len(runs) < 2 or len(next(iter(runs.values()))[1]) < 2:
        return found
    for protocol, metric in _metrics(plan, protocols, found).items():
        if tell is not None:
            tell(protocol)
        keys = {f"{row}\0{seed}": (row, seed) for row, seed in runs}
        scored = metric.score_all({key: runs[place][1] for key, place in keys.items()})
        wanted = [m.partition(".")[2] for m in metrics if m.startswith(f"{protocol}.")]
        terms = {
            (*keys[key], name): scores.terms[name]
            for key, scores in scored.items()
            for name in wanted
            if name in scores.terms
        }
        if not terms:
            continue
        for (row, seed, name), each in sample(terms).items():
            full = f"{protocol}.{name}"
            found.by_row.setdefault(row, {}).setdefault(full, {})[seed] = each
            own = runs[row, seed][0].scores.get(full)
            if own is not None and abs(own - each.value) > OTHER:
                found.notes.append(
                    f"{row}, seed {seed}: its scores.json has {full} {own:.4f}, and its reports "
                    f"score {each.value:.4f} now; rrg evaluate {runs[row, seed][0].path}"
                )
    return found


def _align(
    results: Sequence[Results], reference: Results, found: Rescored
) -> dict[tuple[str, int], tuple[Measured, Sequence[Pair]]]:
    """Read the predictions of all that were made for the reference row's studies, in one order."""
    runs: dict[tuple[str, int], tuple[Measured, Sequence[Pair]]] = {}
    if not reference.runs:
        return runs
    first = reference.runs[0].path
    for own in [reference, *(each for each in results if each is not reference)]:
        paths = list(dict.fromkeys([first, *(run.path for run in own.runs)]))
        try:
            systems = load_systems(paths)
        except DataError as error:
            found.apart[own.row.label] = str(error).splitlines()[0]
            continue
        pairs = {
            path: run
            for system in systems
            for path, run in zip(system.paths, system.runs, strict=True)
        }
        runs |= {(own.row.label, run.seed): (run, pairs[run.path]) for run in own.runs}
    return runs


def _metrics(plan: Plan, protocols: Sequence[str], found: Rescored) -> dict[str, Metric]:
    """Build the metrics that score again; of what cannot be, a note says why."""
    wanted = {name: block for name, block in plan.metrics.items() if name in protocols}
    training: Sequence[str] | None = None
    ready: dict[str, Metric] = {}
    for name, block in wanted.items():
        try:
            (metric,) = make_metrics(replace(plan, metrics={name: block})).values()
            if metric.needs_training:
                training = Studies(plan).raw_reports("train") if training is None else training
                fit_metrics({name: metric}, training)
        except UserError as error:
            found.notes.append(
                f"no difference of {name} is tested: {str(error).strip().splitlines()[0]}"
            )
            continue
        ready[name] = metric
    return ready
