"""Systems side by side on the same studies: scores, intervals, and which can be told apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, final

import numpy as np

from rrgcore.scoring.baselines import make_baselines
from rrgcore.scoring.identical import identical
from rrgcore.scoring.leakage import Leakage, leakage
from rrgcore.scoring.metric import Metric, Scores, Terms
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
    standings: Mapping[str, Mapping[str, Standing]]
    """By protocol and system; trivial baselines come last, where training reports are known."""
    leakage: Mapping[str, Leakage]
    """By system."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What each baseline is."""
    left_out: int = 0
    """Studies whose reference says nothing."""
    identical: Sequence[Sequence[str]] = ()
    """Folders and files with the very same reports, in groups."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "studies": self.studies,
            "without reference": self.left_out,
            "systems": {name: list(paths) for name, paths in self.systems.items()},
            "protocols": {
                protocol: {name: standing.to_json() for name, standing in found.items()}
                for protocol, found in self.standings.items()
            },
            "leakage": {name: asdict(found) for name, found in self.leakage.items()},
            "about baselines": dict(self.about),
            "identical": [list(group) for group in self.identical],
        }


def compare(
    systems: Sequence[System],
    metrics: Mapping[str, Metric],
    *,
    training: Sequence[str] = (),
    validation: Sequence[str] = (),
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    """Score every system with every metric, and test each against the first.

    Where training reports are known, trivial baselines are scored on the very same references.
    """
    pairs = systems[0].runs[0]
    corpora = {system.name: list(system.runs) for system in systems}
    about: dict[str, str] = {}
    if training:
        rng = np.random.default_rng(seed)
        for name, baseline in make_baselines(training, validation, len(pairs), rng).items():
            about[name] = baseline.about
            corpora[name] = [
                [replace(pair, prediction=text) for pair, text in zip(pairs, draw, strict=True)]
                for draw in baseline.draws
            ]
    standings: dict[str, dict[str, Standing]] = {}
    for protocol, metric in metrics.items():
        if tell is not None:
            tell(protocol)
        scored = metric.score_all(
            {f"{name}\0{i}": run for name, runs in corpora.items() for i, run in enumerate(runs)}
        )
        standings[protocol] = {}
        first: Mapping[str, Terms] | None = None
        for name, runs in corpora.items():
            scores = [scored[f"{name}\0{i}"] for i in range(len(runs))]
            if name in about:
                standings[protocol][name] = _standing(scores, {}, {}, deviations=False)
                continue
            terms = pooled([each.terms for each in scores])
            against = _differences(terms, first, scores[0].shown, seed)
            first = terms if first is None else first
            standings[protocol][name] = _standing(scores, intervals(terms, seed=seed), against)
    return Comparison(
        studies=len(pairs),
        systems={system.name: [str(path) for path in system.paths] for system in systems},
        standings=standings,
        leakage={s.name: leakage([p for run in s.runs for p in run], training) for s in systems},
        about=about,
        left_out=systems[0].left_out,
        identical=identical(
            {
                str(path): [pair.prediction for pair in run]
                for system in systems
                for path, run in zip(system.paths, system.runs, strict=True)
            }
        ),
    )


def _differences(
    ours: Mapping[str, Terms], first: Mapping[str, Terms] | None, shown: Sequence[str], seed: int
) -> dict[str, Difference]:
    """Test what is shown; a single study tells nothing of the next."""
    if first is None:
        return {}
    return {
        key: difference(ours[key], first[key], seed=seed)
        for key in shown
        if key in ours and key in first and len(ours[key].rows) > 1
    }


def _standing(
    scores: Sequence[Scores],
    over_studies: Mapping[str, Interval],
    against: Mapping[str, Difference],
    *,
    deviations: bool = True,
) -> Standing:
    keys = [key for key in scores[0].values if all(key in each.values for each in scores)]
    columns = {key: np.array([each.values[key] for each in scores]) for key in keys}
    several = deviations and len(scores) > 1
    return Standing(
        values={key: float(column.mean()) for key, column in columns.items()},
        deviations={k: float(c.std(ddof=1)) for k, c in columns.items()} if several else {},
        intervals=over_studies,
        against=against,
        fingerprint=scores[0].fingerprint,
        missing={key: why for each in scores for key, why in each.missing.items()},
        shown=[key for key in scores[0].shown if key in columns],
    )
