"""Training by DeepSpeed's ZeRO, stages 1 and 2: each process has all weights, and keeps a part of
the optimizer's state and, in stage 2, of gradients.

DeepSpeed clips, steps and skips what is not finite in one call, on vectors into which it has laid
the parameters end to end. What is saved of it is whole and by parameter, as one process saves it.
"""

import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final, cast, final

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.optim import Optimizer

from rrgcore.errors import RunError
from rrgcore.plan import Plan
from rrgcore.settings import StageSettings

ELEMENTWISE: Final = frozenset(
    ("Adadelta", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
)
"""Optimizers to which it is all one where a parameter ends and the next begins."""
COUNTERS: Final = frozenset(("step", "mu_product", "eta", "mu"))
"""What these keep once for a parameter; all else they keep for each of its values."""


def is_asked_for() -> bool:
    """Whether the launcher said DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true"


def is_zero(accelerator: Accelerator) -> bool:
    """Whether DeepSpeed trains."""
    return accelerator.distributed_type is DistributedType.DEEPSPEED


def check_zero(plan: Plan, accelerator: Accelerator) -> None:
    """Raise RunError or RecipeError for what a run cannot do with DeepSpeed."""
    if not is_zero(accelerator):
        return
    config = accelerator.state.deepspeed_plugin.deepspeed_config
    zero = config.get("zero_optimization", {})
    if zero.get("stage") not in (1, 2):
        raise RunError(
            f"DeepSpeed's zero_stage is {zero.get('stage')}; a run can do with 1 and 2. For "
            "weights in shards use FSDP (docs/scaling.md, fsdp.yaml)"
        )
    for key in ("offload_optimizer", "offload_param"):
        if (zero.get(key) or {}).get("device", "none") != "none":
            raise RunError(f"DeepSpeed's {key}_device must be none: it would bring its own Adam")
    for key in ("optimizer", "scheduler"):
        if key in config:
            raise RunError(f"DeepSpeed's configuration has its own {key}; the recipe says which")
    for name, stage in plan.stages.items():
        if stage.precision == "fp16":
            raise plan.refusal(
                f"stages.{name}.precision", "fp16 is not for DeepSpeed here: set bf16 or fp32"
            )
        if stage.optimizer.name not in ELEMENTWISE:
            raise plan.refusal(
                f"stages.{name}.optimizer",
                f"{stage.optimizer.name} looks at parameters one by one, and DeepSpeed lays them "
                f"end to end. Use one of {', '.join(sorted(ELEMENTWISE))}, or DDP or FSDP",
            )


def tell_stage(accelerator: Accelerator, stage: StageSettings, batch_size: int) -> None:
    """Tell DeepSpeed what a stage says that Accelerate does not pass on."""
    accelerator.state.deepspeed_plugin.deepspeed_config |= {
        "train_micro_batch_size_per_gpu": batch_size,
        # batches of a step are counted, weighed and added up here
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": stage.clip or 0.0,
        "torch_autocast": {
            "enabled": stage.precision == "bf16",
            "dtype": "bfloat16",
            # of layers named here, gradients would be added up in half
            "lower_precision_safe_modules": [],
        },
    }


def prepare_zero(
    accelerator: Accelerator, model: nn.Module, optimizer: Optimizer
) -> tuple[nn.Module, Any]:
    """Prepare a model and its optimizer; what `tell_stage` said holds."""
    alone = [p for p in model.parameters() if not p.dim()]
    for parameter in alone:  # DeepSpeed cannot send what has no axes, and all have the same here
        cast(Any, parameter).ds_optim_param = True
    wrapped, prepared = accelerator.prepare(model, optimizer)
    for parameter in alone:
        del cast(Any, parameter).ds_optim_param
    return wrapped, prepared


def take_step(engine: Any) -> float:
    """Clip, and step unless the gradient is not finite; return its norm before."""
    engine.step()
    return float(engine.get_global_grad_norm())


def follow(engine: Any) -> None:
    """Take note of parameters that were changed beside the optimizer (`after_step`)."""
    engine.optimizer.refresh_fp32_params()


@final
class WholeZero:
    """The state of an optimizer that DeepSpeed has divided, as torch has it of one that is whole.

    Every process must ask at the same time: parts are gathered.
    """

    def __init__(self, accelerator: Accelerator, zero: Any) -> None:
        self._accelerator = accelerator
        self._zero = zero

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of the recipe's optimizer, with the model's parameters."""
        return [
            {**group, "params": list(parameters)}
            for group, parameters in zip(
                self._zero.optimizer.param_groups, self._zero.bit16_groups, strict=True
            )
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the state in torch's form, parameters by number."""
        state: dict[int, dict[str, Any]] = {}
        numbers: dict[int, int] = {}
        for number, parameter, flat in self._parameters():
            numbers[id(parameter)] = number
            for key, value in self._zero.optimizer.state.get(flat, {}).items():
                if key in COUNTERS or not isinstance(value, Tensor):
                    whole = deepcopy(value)
                else:
                    own = value.new_zeros(parameter.numel())
                    for there, here in _fragments(parameter):
                        own[there] = value[here]
                    whole = self._accelerator.reduce(own).view(parameter.shape)
                state.setdefault(number, {})[key] = whole
        groups = [
            {**group, "params": [numbers[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take from a whole state what this process keeps."""
        inner = self._zero.optimizer
        for group, found in zip(inner.param_groups, state["param_groups"], strict=True):
            group.update({key: value for key, value in found.items() if key != "params"})
        for number, parameter, flat in self._parameters():
            values = inner.state[flat]
            for key, value in state["state"].get(number, {}).items():
                if key in COUNTERS or not isinstance(value, Tensor):
                    values[key] = value
                    continue
                own = values.setdefault(key, torch.zeros_like(flat))
                for there, here in _fragments(parameter):
                    own[here] = value.to(own).flatten()[there]

    def _parameters(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """List parameters by number, each with the vector of this process that it may be in."""
        number = 0
        for parameters, flat in zip(
            self._zero.bit16_groups, self._zero.single_partition_of_fp32_groups, strict=True
        ):
            for parameter in parameters:
                yield number, parameter, flat
                number += 1


def _fragments(parameter: Tensor) -> Iterator[tuple[slice, slice]]:
    """Say which values of a parameter this process keeps, and where in its vector."""
    if (held := cast(Any, parameter)._hp_mapping) is not None:
        there, here = held.lp_fragment_address, held.hp_fragment_address
        yield (
            slice(there.start, there.start + there.numel),
            slice(here.start, here.start + here.numel),
        )
