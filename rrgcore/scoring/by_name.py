"""Metrics by name, without a recipe around them: what `rrg score` and `rrg compare` use."""

from collections.abc import Sequence
from typing import Any, cast

from rrgcore.errors import UserError
from rrgcore.registry import Registry
from rrgcore.scoring.metric import Metric

PROTOCOLS = ("coco", "r2gen")
"""Side by side unless others are asked for."""
CLINICAL = "clinical"
LABELERS = ("rules",)
"""Annotators that need neither options nor torch."""


def make_named_metrics(
    names: Sequence[str],
    registry: Registry,
    *,
    labeler: str | None = "rules",
    options: Sequence[str] = (),
) -> dict[str, Metric]:
    """Build metrics by name, and clinical efficacy by a labeler unless that is None.

    `options` are METRIC.OPTION=VALUE, as a recipe has them under `evaluation.metrics`. Raises
    RegistryError for an unknown name.
    """
    of: dict[str, list[str]] = {name: [] for name in dict.fromkeys(names)}
    if labeler is not None and CLINICAL not in of:
        of[CLINICAL] = []
    if CLINICAL in of:
        if labeler is None:
            raise UserError(f"{CLINICAL} needs a labeler, and none is to label; name one")
        of[CLINICAL].append(f"labeler={labeler}")
    for option in options:
        name, dot, rest = option.partition(".")
        if not dot or name not in of:
            raise UserError(
                f"--set {option}: expected METRIC.OPTION=VALUE, of one of {', '.join(of)}"
            )
        of[name].append(rest)
    return {name: _make(name, given, registry) for name, given in of.items()}


def _make(name: str, options: Sequence[str], registry: Registry) -> Metric:
    cls = cast(Any, registry.get("metric", name))
    if not options:
        return cast(Metric, cls())
    if len(options) == 1 and (by := options[0].removeprefix("labeler=")) in LABELERS:
        # the usual case, without the machinery of recipes, which imports torch
        labeler = cast(Any, registry.get("annotator", by))
        return cast(Metric, cls(labeler=labeler()))
    from rrgcore.datasets import load_component

    return cast(Metric, load_component("metric", name, options, registry))
