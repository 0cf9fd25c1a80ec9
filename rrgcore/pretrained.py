"""First values that were learned elsewhere: published weights, and parts of other runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import nn

from rrgcore.checkpoint import load_part
from rrgcore.errors import WeightsError
from rrgcore.features import Parts
from rrgcore.interfaces import AlignmentObjective, Pretrained
from rrgcore.model import ReportModel, part_of
from rrgcore.plan import Plan


def check_weights(plan: Plan, assembled: ReportModel) -> None:
    """Find and read every weight that a run would start from, and fit it to the model of
    `check_assembled`, which stays empty; raises RecipeError.
    """
    objectives = cast(Mapping[str, AlignmentObjective], dict(assembled.objectives.items()))
    set_pretrained(plan, assembled.parts, objectives)


def set_pretrained(plan: Plan, parts: Parts, objectives: Mapping[str, AlignmentObjective]) -> None:
    """Load the weights that components name.

    Raises RecipeError for weights that are absent or do not fit, or that two components would set.
    """
    roots: dict[str, nn.Module] = {"model": parts}
    roots |= {f"objectives.{name}": objective for name, objective in objectives.items()}
    owner: dict[int, str] = {}
    for root, tree in roots.items():
        for prefix, module in tree.named_modules():
            if not isinstance(module, Pretrained) or module.weights is None:
                continue
            address = f"{root}.{prefix}".removesuffix(".") + ".weights"
            try:
                names = module.load_weights()
            except WeightsError as error:
                raise plan.refusal(address, str(error)) from error
            parameters = dict(cast(nn.Module, module).named_parameters(remove_duplicate=False))
            for name in names:
                other = owner.setdefault(id(parameters[name]), module.weights)
                if other != module.weights:
                    raise plan.refusal(
                        address,
                        f"'{other}' and '{module.weights}' would both set {name}, which two parts "
                        "share. Name weights for one of them only (`weights: off` for the other)",
                    )


def start_from(
    starts: Mapping[str, Path], parts: Parts, objectives: Mapping[str, AlignmentObjective]
) -> None:
    """Load parts from the checkpoints of other runs, by the part's address; raises RunError."""
    for part, folder in starts.items():
        load_part(folder, part, part_of(parts, objectives, part))
