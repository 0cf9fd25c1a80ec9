"""Scores as scores.json has them, as a page shows them: by protocol, beside baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from markupsafe import Markup

from rrgcore.page.charts import bars, gauge, legend_mark, support_bar
from rrgcore.scoring.significance import shown_figure

EXCHANGED = "with others' images"
"""The same model with the split's images exchanged among its studies."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """A score, and what stands beside it."""

    name: str
    value: float
    interval: tuple[float, float] | None
    others: Sequence[float | None]
    chart: Markup


@final
@dataclass(frozen=True, slots=True)
class Protocol:
    """The scores of one metric."""

    name: str
    fingerprint: str
    systems: Sequence[tuple[str, Markup]]
    """What stands beside the model's scores, each with its mark."""
    headline: Sequence[Row]
    rest: Sequence[Row]
    missing: Sequence[tuple[str, str]]
    """Scores that were not computed, and why."""


@final
@dataclass(frozen=True, slots=True)
class Observation:
    """How well one observation is named."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    """References that say it is there."""
    predicted: int
    left_out: int
    chart: Markup
    support_chart: Markup


def protocols(card: Mapping[str, Any]) -> list[Protocol]:
    """Return a table a protocol."""
    exchanged = card.get("shuffled images") or {}
    systems = {EXCHANGED: exchanged} if exchanged else {}
    systems |= card["baselines"]
    found = []
    for name, values in card["protocols"].items():
        intervals = card["intervals"].get(name, {})
        beside = {system: scores.get(name, {}) for system, scores in systems.items()}
        rows = {
            key: _row(key, float(value), intervals.get(key), beside)
            for key, value in values.items()
        }
        headline = [key for key in card["headline"].get(name, rows) if key in rows]
        missing = {
            key.removeprefix(f"{name} "): str(why)
            for key, why in card.get("missing", {}).items()
            if key.startswith(f"{name} ") and " of " not in key
        }
        found.append(
            Protocol(
                name,
                str(card["fingerprint"].get(name, "")),
                [(system, legend_mark(number)) for number, system in enumerate(systems)],
                [rows[key] for key in headline],
                [row for key, row in rows.items() if key not in headline],
                list(missing.items()),
            )
        )
    return found


def observations(card: Mapping[str, Any]) -> list[tuple[str, str, list[Observation]]]:
    """Return metric, policy and the figures of each observation, the headline's policy first."""
    found = []
    for metric, details in card.get("details", {}).items():
        of_policies = details.get("observations", {})
        headline = " ".join(card["headline"].get(metric, ())[:1])
        for policy in sorted(of_policies, key=lambda policy: policy not in headline):
            figures = of_policies[policy]
            most = max((int(each["support"]) for each in figures.values()), default=0)
            rows = [_observation(name, each, max(1, most)) for name, each in figures.items()]
            found.append((metric, policy, rows))
    return found


def probes(card: Mapping[str, Any]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return each objective's figures, and the stage whose checkpoint was asked."""
    return [
        (
            name,
            str(probe["stage"]),
            [(k, shown_figure(v)) for k, v in probe.items() if k != "stage"],
        )
        for name, probe in card.get("probes", {}).items()
    ]


def baselines(card: Mapping[str, Any], *, quotes: bool) -> list[tuple[str, str]]:
    """Return what each baseline is; unless it `quotes`, without the text of a training report, with
    which that ends.
    """
    return [
        (str(name), str(about) if quotes else str(about).partition(":")[0])
        for name, about in card.get("about baselines", {}).items()
    ]


def _observation(name: str, figures: Mapping[str, Any], most: int) -> Observation:
    precision, recall, f1 = (float(figures[key]) for key in ("P", "R", "F1"))
    support = int(figures["support"])
    said = f"{name}: precision {precision:.2f}, recall {recall:.2f}, F1 {f1:.2f}"
    return Observation(
        name,
        precision,
        recall,
        f1,
        support,
        int(figures["predicted"]),
        int(figures["left out"]),
        bars([("precision", precision), ("recall", recall), ("F1", f1)], said),
        support_bar(support, most),
    )


def _row(
    key: str,
    value: float,
    interval: Sequence[float] | None,
    beside: Mapping[str, Mapping[str, float]],
) -> Row:
    between = None if interval is None else (float(interval[0]), float(interval[1]))
    others = {name: float(scores[key]) for name, scores in beside.items() if key in scores}
    said = f"{key} {value:.3f}"
    if between is not None:
        said += f", 95 % interval {between[0]:.3f} to {between[1]:.3f}"
    # a mark belongs to its system, whether that has this score or not
    numbers = {name: number for number, name in enumerate(beside)}
    chart = gauge(value, between, {numbers[name]: (name, v) for name, v in others.items()}, said)
    return Row(key, value, between, [others.get(name) for name in beside], chart)
