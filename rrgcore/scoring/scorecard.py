"""Everything that is said of a set of reports: scores with intervals, beside trivial baselines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, final

import numpy as np

from rrgcore.scoring.baselines import Baseline, make_baselines
from rrgcore.scoring.leakage import Leakage, leakage
from rrgcore.scoring.metric import Metric, Pair, Scores
from rrgcore.scoring.significance import Interval, intervals


@final
@dataclass(frozen=True, slots=True)
class Scorecard:
    """The scores of one set of reports, and what they must be read beside."""

    scores: Mapping[str, Scores]
    """By metric, that is, by protocol."""
    intervals: Mapping[str, Mapping[str, Interval]]
    """By metric and score; a score that no sums make has none."""
    leakage: Leakage
    baselines: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)
    """By baseline and metric; a baseline of several draws is their mean."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What each baseline is."""

    def _by_owner(self) -> Iterator[tuple[str, Mapping[str, Scores]]]:
        yield "", self.scores
        for name, scores in self.baselines.items():
            yield f" of {name}", scores

    def to_json(self) -> dict[str, Any]:
        """Return what scores.json says of them."""
        return {
            "protocols": {name: dict(found.values) for name, found in self.scores.items()},
            "fingerprint": {name: found.fingerprint for name, found in self.scores.items()},
            "intervals": {
                name: {key: [each.low, each.high] for key, each in found.items()}
                for name, found in self.intervals.items()
            },
            "missing": {
                f"{name} {key}{whose}": why
                for whose, scores in self._by_owner()
                for name, found in scores.items()
                for key, why in found.missing.items()
            },
            "headline": {name: list(found.shown) for name, found in self.scores.items()},
            "details": {name: f.details for name, f in self.scores.items() if f.details},
            "baselines": {
                name: {metric: dict(found.values) for metric, found in scores.items()}
                for name, scores in self.baselines.items()
            },
            "about baselines": dict(self.about),
            "leakage": asdict(self.leakage),
        }


def fit_metrics(metrics: Mapping[str, Metric], training: Sequence[str]) -> None:
    """Show the training reports to every metric; without any, a metric that needs them says so."""
    if training:
        for metric in metrics.values():
            metric.fit(training)


def score(
    pairs: Sequence[Pair], metrics: Mapping[str, Metric], *, quick: bool = False
) -> dict[str, Scores]:
    """Score pairs with every metric."""
    return {name: _plain(metric.score(pairs, quick=quick)) for name, metric in metrics.items()}


def make_scorecard(
    pairs: Sequence[Pair],
    metrics: Mapping[str, Metric],
    *,
    training: Sequence[str] = (),
    validation: Sequence[str] = (),
    others: Mapping[str, Baseline] | None = None,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Scorecard:
    """Score pairs with metrics that have been fitted, and baselines on the very same references.

    `others` are baselines beside those that training reports make. Raises DataError where there is
    nothing to score.
    """
    baselines = dict(others or {})
    if training:
        rng = np.random.default_rng(seed)
        baselines |= make_baselines(training, validation, len(pairs), rng)
    systems = {"": pairs}
    for name, baseline in baselines.items():
        for i, reports in enumerate(baseline.draws):
            systems[f"{name}\0{i}"] = [
                replace(pair, prediction=text) for pair, text in zip(pairs, reports, strict=True)
            ]
    scores: dict[str, Scores] = {}
    beside: dict[str, dict[str, Scores]] = {name: {} for name in baselines}
    for metric_name, metric in metrics.items():
        if tell is not None:
            tell(metric_name)
        found = metric.score_all(systems)
        scores[metric_name] = found[""]
        for name, baseline in baselines.items():
            of_draws = [found[f"{name}\0{i}"] for i in range(len(baseline.draws))]
            beside[name][metric_name] = _mean(of_draws)
    return Scorecard(
        scores={name: _plain(found) for name, found in scores.items()},
        intervals={name: intervals(found.terms, seed=seed) for name, found in scores.items()},
        leakage=leakage(pairs, training),
        baselines=beside,
        about={name: baseline.about for name, baseline in baselines.items()},
    )


def selected(scores: Mapping[str, Scores], key: str) -> float | None:
    """Find a score: `coco.CIDEr`, or `CIDEr` of the first metric that has it."""
    for name, found in scores.items():
        for candidate in (key, key.removeprefix(f"{name}.")):
            if candidate in found.values:
                return found.values[candidate]
    return None


def flat(scores: Mapping[str, Scores]) -> dict[str, float]:
    """Return every number under the name of its protocol: `coco.CIDEr`."""
    return {
        f"{name}.{key}": value
        for name, found in scores.items()
        for key, value in found.values.items()
    }


def _plain(scores: Scores) -> Scores:
    """Leave out the terms, which are no data: scores are sent between processes."""
    return replace(scores, terms={})


def _mean(draws: Sequence[Scores]) -> Scores:
    """Return the mean of draws, of the scores that all of them have."""
    keys = [key for key in draws[0].values if all(key in draw.values for draw in draws)]
    values = {key: float(np.mean([draw.values[key] for draw in draws])) for key in keys}
    missing = {key: why for draw in draws for key, why in draw.missing.items()}
    return replace(draws[0], values=values, missing=missing, terms={}, details={})
