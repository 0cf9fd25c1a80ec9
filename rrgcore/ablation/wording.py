"""What is said below the table of an ablation, in sentences."""

from collections.abc import Mapping, Sequence

from rrgcore.ablation.average import DEFINITIONS, LEAST
from rrgcore.ablation.results import Results
from rrgcore.ablation.table import Line, Table


def verdicts(table: Table) -> list[str]:
    """Say of each row which scores can be told from the reference row's."""
    said = []
    for line in table.lines:
        if not line.changes:
            continue
        groups: dict[str, list[str]] = {"above": [], "below": [], "not distinguishable": []}
        for metric, found in line.changes.items():
            side = "above" if found.value > 0 else "below"
            kind = side if found.distinguishable else "not distinguishable"
            groups[kind].append(table.short(metric))
        if not groups["above"] and not groups["below"]:
            said.append(
                f"{line.label} is not distinguishable from {table.reference} by "
                f"{_listed(groups['not distinguishable'], 'or')}"
            )
            continue
        parts = [f"{kind} in {_listed(names)}" for kind, names in groups.items() if names]
        said.append(f"{line.label}, from {table.reference}: {'; '.join(parts)}")
    return said


def about_seeds(lines: Sequence[Line], reference: str) -> list[str]:
    """Say which seeds are not there yet, and what stands beside a figure."""
    said = [
        f"{line.label}: {len(line.seeds)} of {len(line.asked)} seeds"
        for line in lines
        if len(line.seeds) < len(line.asked)
    ]
    if any(f.deviation is not None for line in lines for f in line.figures.values()):
        said.append("± is the standard deviation over seeds (n − 1)")
    if any(f.interval is not None for line in lines for f in line.figures.values()):
        said.append("brackets are 95 % intervals over studies")
    tested = {line.label: next(iter(line.changes.values())).seeds for line in lines if line.changes}
    if tested and max(tested.values()) <= 1:
        said.append(
            "differences are of one seed: what another training would give, they do not know"
        )
    own = next(line for line in lines if line.label == reference)
    for line in lines:
        common = [str(seed) for seed in line.seeds if seed in own.seeds]
        if line.changes and set(line.seeds) != set(own.seeds):
            over = f"the seeds that both have: {', '.join(common)}" if common else "other seeds"
            said.append(f"{line.label} is held against {reference} over {over}")
    return said


def about_average(
    delta: str,
    averaged: Sequence[str],
    first: Results,
    without: Sequence[str],
) -> list[str]:
    """Say what AVG.Δ is, and why it has no value where it has none."""
    reference = first.row.label
    names = _listed([m.partition(".")[2] for m in averaged]) or "none of its metrics"
    text = f"AVG.Δ ({delta}): {DEFINITIONS[delta].about}, here {names}, against {reference}"
    if without:
        text += f"; without {_listed(list(without))}, which no run has"
    said = [text]
    means = {m.partition(".")[2]: first.mean(m) for m in averaged}
    zero = [name for name, mean in means.items() if mean is not None and mean < LEAST]
    if zero:
        said.append(
            f"AVG.Δ has no value: {reference} scores 0.0000 in {_listed(zero)}, and nothing is "
            "relative to that"
        )
    return said


def about_comparability(
    results: Sequence[Results],
    first: Results,
    columns: Sequence[str],
    comparable: Mapping[str, Sequence[str]],
    apart: Mapping[str, str],
) -> list[str]:
    """Say which rows and scores are not compared: `apart` are those of other studies."""
    said = [f"{label} is compared with no row: {why}" for label, why in apart.items()]
    for each in results:
        other = [m for m in columns if m not in comparable[each.row.label]]
        if each.runs and first.runs and other:
            said.append(
                f"{_listed(other)} of {each.row.label}: computed in another way than those of "
                f"{first.row.label}, or not alike for all seeds (fingerprints), and not compared"
            )
    return said


def fingerprints(results: Sequence[Results], columns: Sequence[str]) -> list[str]:
    """Return how the columns were computed, each way once."""
    protocols = dict.fromkeys(m.partition(".")[0] for m in columns)
    runs = [run for each in results for run in each.runs]
    return list(
        dict.fromkeys(
            run.fingerprints[name] for name in protocols for run in runs if name in run.fingerprints
        )
    )


def _listed(names: Sequence[str], word: str = "and") -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
