"""F1 of each observation, systems side by side (KIA, Fig. 5); importing this imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from rrgcore.errors import UserError
from rrgcore.figure_file import write_figure
from rrgcore.scoring.metric import Metric, Pair

POLICY: Final = "uncertain negative"
"""Of the clinical metric: what is left open counts as absent."""
COLOURS: Final = ("#2f6fb2", "#e08e0b", "#3a8f4d", "#b0413e", "#7d5ba6", "#4c4c4c", "#c78fb0")
MOST: Final = len(COLOURS)


@final
@dataclass(frozen=True, slots=True)
class Bars:
    """What is drawn."""

    f1: Mapping[str, Mapping[str, Sequence[float]]]
    """Observation to system to the F1 of each of its runs."""
    support: Mapping[str, int]
    """How many references state each observation."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "policy": POLICY,
            "support": dict(self.support),
            "F1": {name: {k: list(v) for k, v in each.items()} for name, each in self.f1.items()},
        }


def f1_by_observation(systems: Mapping[str, Sequence[Sequence[Pair]]], metric: Metric) -> Bars:
    """Score each observation by itself, of every run; those that no reference states are left out.

    Raises UserError for a metric that does not tell observations apart.
    """
    f1: dict[str, dict[str, list[float]]] = {}
    counts: dict[str, int] = {}
    for system, runs in systems.items():
        for pairs in runs:
            details = metric.score(pairs).details.get("observations") or {}
            rows = details.get(POLICY) or next(iter(details.values()), None)
            if rows is None:
                raise UserError(
                    "--figure draws the F1 of observations, and the clinical metric gives none: "
                    "leave --labeler as it is"
                )
            for name, row in rows.items():
                counts[name] = row["support"]
                f1.setdefault(name, {}).setdefault(system, []).append(row["F1"])
    kept = [name for name, count in counts.items() if count]
    return Bars({name: f1[name] for name in kept}, {name: counts[name] for name in kept})


def draw_bars(bars: Bars, path: Path, *, caution: str = "") -> None:
    """Draw them into a PNG or SVG: a group of bars an observation, the mean of a system's seeds
    with their standard deviation.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    systems = list(dict.fromkeys(system for each in bars.f1.values() for system in each))
    if len(systems) > MOST:
        raise UserError(f"--figure draws at most {MOST} systems, and these are {len(systems)}")
    names = list(bars.f1)
    wide = max(5.0, 1.2 + 0.2 * len(names) * (len(systems) + 1))
    figure = Figure(figsize=(wide, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / len(systems)
    for number, system in enumerate(systems):
        values = [bars.f1[name][system] for name in names]
        means = [float(np.mean(each)) for each in values]
        spread = [float(np.std(each, ddof=1)) if len(each) > 1 else 0.0 for each in values]
        places = np.arange(len(names)) + (number - (len(systems) - 1) / 2) * width
        axes.bar(
            places,
            means,
            width * 0.94,
            yerr=spread if any(spread) else None,
            color=COLOURS[number],
            label=system,
            error_kw={"linewidth": 0.8},
        )
    labels = [f"{name}\n(n = {bars.support[name]})" for name in names]
    axes.set_xticks(
        np.arange(len(names)), labels, size=8, rotation=35, ha="right", parse_math=False
    )
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, 1)
    axes.set_ylabel(f"F1, {POLICY}", size=9)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for text in axes.legend(
        fontsize=8,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=min(3, len(systems)),
    ).get_texts():
        text.set_parse_math(False)
    if caution:
        figure.supxlabel(caution, size=7, color="#6b6b6b", parse_math=False)
    write_figure(figure, path)
