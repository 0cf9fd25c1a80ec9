"""Systems side by side on the same studies: scores, intervals, and which can be told apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

import numpy as np

from rrgcore.scoring.metric import Metric, Scores
from rrgcore.scoring.significance import Difference, Interval, difference, intervals, pooled
from rrgcore.scoring.systems import System


@final
@dataclass(frozen=True, slots=True)
class Standing:
    """One system under one protocol."""

    values: Mapping[str, float]
    """Of several seeds, the means."""
    deviations: Mapping[str, float]
    """Standard deviations over seeds (of a sample: n − 1); empty where there is one."""
    intervals: Mapping[str, Interval]
    """Over studies; of several seeds, of their pooled counts."""
    against: Mapping[str, Difference]
    """To the first system; empty for itself."""
    fingerprint: str
    missing: Mapping[str, str]
    shown: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, with each verdict in words."""
        return {
            "values": dict(self.values),
            "deviations": dict(self.deviations),
            "intervals": {key: [each.low, each.high] for key, each in self.intervals.items()},
            "against the first": {
                key: {**asdict(each), "verdict": str(each)} for key, each in self.against.items()
            },
            "fingerprint": self.fingerprint,
            "missing": dict(self.missing),
        }


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """All systems under all protocols."""

    studies: int
    systems: Mapping[str, Sequence[str]]
    """Name to the folders or files."""
    standings: Mapping[str, Mapping[str, Standing]] = field(default_factory=dict)
    """By protocol and system."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "studies": self.studies,
            "systems": {name: list(paths) for name, paths in self.systems.items()},
            "protocols": {
                protocol: {name: standing.to_json() for name, standing in found.items()}
                for protocol, found in self.standings.items()
            },
        }


def compare(
    systems: Sequence[System],
    metrics: Mapping[str, Metric],
    *,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    """Score every system with every metric, and test each against the first."""
    standings: dict[str, dict[str, Standing]] = {}
    for protocol, metric in metrics.items():
        if tell is not None:
            tell(protocol)
        corpora = {
            f"{system.name}\0{seed}": pairs
            for system in systems
            for seed, pairs in enumerate(system.runs)
        }
        scored = metric.score_all(corpora)
        standings[protocol] = {}
        first: dict[str, Any] = {}
        for system in systems:
            scores = [scored[f"{system.name}\0{i}"] for i in range(len(system.runs))]
            terms = {
                key: pooled([each.terms[key] for each in scores])
                for key in scores[0].terms
                if all(key in each.terms for each in scores)
            }
            against = {
                key: difference(terms[key], first[key], seed=seed)
                for key in terms
                if key in first and key in scores[0].shown and system.runs[0]
            }
            first = first or terms
            standings[protocol][system.name] = _standing(scores, intervals(terms), against)
    return Comparison(
        studies=len(systems[0].runs[0]),
        systems={system.name: [str(path) for path in system.paths] for system in systems},
        standings=standings,
    )


def _standing(
    scores: Sequence[Scores],
    over_studies: Mapping[str, Interval],
    against: Mapping[str, Difference],
) -> Standing:
    keys = [key for key in scores[0].values if all(key in each.values for each in scores)]
    columns = {key: np.array([each.values[key] for each in scores]) for key in keys}
    several = len(scores) > 1
    return Standing(
        values={key: float(column.mean()) for key, column in columns.items()},
        deviations={k: float(c.std(ddof=1)) for k, c in columns.items()} if several else {},
        intervals=over_studies,
        against=against,
        fingerprint=scores[0].fingerprint,
        missing={key: why for each in scores for key, why in each.missing.items()},
        shown=[key for key in scores[0].shown if key in columns],
    )
