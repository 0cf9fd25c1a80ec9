"""First values that were learned elsewhere: published weights, and parts of other runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from torch import nn

from rrgcore.checkpoint import LeftOut, fingerprint_of, load_part
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


def set_pretrained(
    plan: Plan, parts: Parts, objectives: Mapping[str, AlignmentObjective]
) -> list[tuple[nn.Module, frozenset[str]]]:
    """Load the weights that components name; return the modules, and the parameters of each that
    were set.

    Raises RecipeError for weights that are absent or do not fit, or that two components would set.
    """
    roots: dict[str, nn.Module] = {"model": parts}
    roots |= {f"objectives.{name}": objective for name, objective in objectives.items()}
    owner: dict[int, str] = {}
    loaded: list[tuple[nn.Module, frozenset[str]]] = []
    for root, tree in roots.items():
        for prefix, module in tree.named_modules():
            if not isinstance(module, Pretrained) or module.weights is None:
                continue
            address = f"{root}.{prefix}".removesuffix(".") + ".weights"
            try:
                names = module.load_weights()
            except WeightsError as error:
                raise plan.refusal(address, str(error)) from error
            loaded.append((cast(nn.Module, module), names))
            parameters = dict(cast(nn.Module, module).named_parameters(remove_duplicate=False))
            for name in names:
                other = owner.setdefault(id(parameters[name]), module.weights)
                if other != module.weights:
                    raise plan.refusal(
                        address,
                        f"'{other}' and '{module.weights}' would both set {name}, which two parts "
                        "share. Name weights for one of them only (`weights: off` for the other)",
                    )
    return loaded


def left_out(
    model: nn.Module,
    loaded: Sequence[tuple[nn.Module, frozenset[str]]],
    *,
    started: Sequence[nn.Module],
) -> tuple[LeftOut, ...]:
    """Find what checkpoints need not hold: parameters that published weights set and that are
    frozen for good. Not in parts that were `started` from a run, whose values are that run's.
    """
    elsewhere = {id(p) for module in started for p in module.parameters()}
    names = {id(module): name for name, module in model.named_modules()}
    found: list[LeftOut] = []
    for module, set_names in loaded:
        parameters = dict(module.named_parameters(remove_duplicate=False))
        still = {
            name: parameters[name]
            for name in sorted(set_names)
            if not parameters[name].requires_grad and id(parameters[name]) not in elsewhere
        }
        if still and not any(p.is_meta for p in still.values()):
            weights = cast(Pretrained, module).weights
            assert weights is not None, "weights were read, so they have a name"
            found.append(LeftOut(names[id(module)], weights, tuple(still), fingerprint_of(still)))
    return tuple(found)


def start_from(
    starts: Mapping[str, Path], parts: Parts, objectives: Mapping[str, AlignmentObjective]
) -> None:
    """Load parts from the checkpoints of other runs, by the part's address; raises RunError."""
    for part, folder in starts.items():
        load_part(folder, part, part_of(parts, objectives, part))
