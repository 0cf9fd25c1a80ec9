"""How a run was launched: what it cannot do with, and a stage made ready for what was said."""

from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer

from rrgcore.plan import Plan
from rrgcore.settings import StageSettings
from rrgcore.sharding import check_sharding, prepare
from rrgcore.zero import WholeZero, check_zero, is_zero, prepare_zero, tell_stage


def check_launched(plan: Plan, accelerator: Accelerator) -> None:
    """Raise RunError or RecipeError for what the launcher was told that a run cannot do with."""
    check_sharding(accelerator)
    check_zero(plan, accelerator)


def prepare_stage(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Optimizer,
    stage: StageSettings,
    batch_size: int,
) -> tuple[nn.Module, Any, Any]:
    """Return the model and the optimizer to train with, and the optimizer whose state is saved and
    restored.
    """
    if not is_zero(accelerator):
        return *prepare(accelerator, model, optimizer), optimizer
    tell_stage(accelerator, stage, batch_size)
    wrapped, prepared = prepare_zero(accelerator, model, optimizer)
    return wrapped, prepared, WholeZero(accelerator, prepared.optimizer)
