"""What a launcher may say that a run cannot do with, and what a checkpoint is whoever wrote it."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from rrgcore import load_recipe
from rrgcore.checkpoint import ALIASES, BOTH, LEFT_OUT, MODEL, LeftOut, fingerprint_of
from rrgcore.checkpoint import load_model as load
from rrgcore.checkpoint import save_model as save
from rrgcore.errors import RecipeError, RunError
from rrgcore.launched import check_launched
from rrgcore.plugins import Discovered
from rrgcore.sharding import check_layers
from rrgcore.tensors import load_metadata
from tests.conftest import TINY

Launched = Callable[..., Accelerator]
SHARDS = {
    "fsdp_version": 2,
    "activation_checkpointing": False,
    "cpu_offload": None,
    "cpu_ram_efficient_loading": False,
    "ignored_modules": None,
}
ZERO = {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "none"}}}


@pytest.fixture
def launched() -> Iterator[Launched]:
    """Make an accelerator as of a launcher that said so."""

    def make(kind: DistributedType, **said: Any) -> Accelerator:
        AcceleratorState._reset_state()
        accelerator = Accelerator(cpu=True)
        accelerator.state.distributed_type = kind
        accelerator.state.fsdp_plugin = accelerator.state.deepspeed_plugins = SimpleNamespace(
            **said
        )
        return accelerator

    yield make
    AcceleratorState._reset_state()


@pytest.fixture(scope="module")
def plan(plugins: Discovered) -> Any:
    return load_recipe(TINY, plugins=plugins).plan


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ({"fsdp_version": 1}, "set fsdp_version: 2"),
        ({"activation_checkpointing": True}, "model.decoder.checkpoint=true"),
        ({"cpu_ram_efficient_loading": True}, "fsdp_cpu_ram_efficient_loading: true"),
        ({"cpu_offload": type("CPUOffloadPolicy", (), {})()}, "fsdp_offload_params: true"),
        ({"ignored_modules": ".*irc"}, "fsdp_ignored_modules"),
    ],
)
def test_shards_that_would_change_names_or_places_of_weights_are_refused(
    said: dict[str, Any], instead: str, plan: Any, launched: Launched
) -> None:
    check_launched(plan, launched(DistributedType.FSDP, **SHARDS))
    with pytest.raises(RunError, match=instead.replace(".", r"\.").replace("*", r"\*")):
        check_launched(plan, launched(DistributedType.FSDP, **{**SHARDS, **said}))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"zero_optimization": {"stage": 3}}, "zero_stage is 3; .* use FSDP"),
        ({"zero_optimization": {"stage": 0}}, "zero_stage is 0"),
        (
            {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}},
            "offload_optimizer_device must be none",
        ),
        ({**ZERO, "optimizer": {"type": "Adam"}}, "has its own optimizer"),
    ],
)
def test_of_deepspeed_what_would_not_be_the_recipes_is_refused(
    said: dict[str, Any], why: str, plan: Any, launched: Launched
) -> None:
    check_launched(plan, launched(DistributedType.DEEPSPEED, deepspeed_config=ZERO))
    with pytest.raises(RunError, match=why):
        check_launched(plan, launched(DistributedType.DEEPSPEED, deepspeed_config=said))


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("stages.align.precision=fp16", "fp16 is not for DeepSpeed"),
        ("stages.generate.optimizer={name: Adafactor, lr: 1e-3}", "Adafactor looks at parameters"),
    ],
)
def test_a_stage_that_deepspeed_would_train_otherwise_is_refused_at_its_place(
    override: str, why: str, plugins: Discovered, launched: Launched
) -> None:
    both = {override, override.replace("align", "generate")}  # stages have one precision
    plan = load_recipe(TINY, overrides=sorted(both), plugins=plugins).plan
    accelerator = launched(DistributedType.DEEPSPEED, deepspeed_config=ZERO)
    with pytest.raises(RecipeError, match=why):
        check_launched(plan, accelerator)


def test_layers_gathered_one_at_a_time_are_there_and_keep_processes_in_step() -> None:
    config = LlamaConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=9
    )
    model = nn.ModuleList([LlamaForCausalLM(config), nn.TransformerEncoderLayer(8, 2)])

    def check(*names: str, policy: str | None = "by name") -> None:
        check_layers(
            SimpleNamespace(auto_wrap_policy=policy, transformer_cls_names_to_wrap=list(names)),
            model,
        )

    check("LlamaDecoderLayer")
    check("of no account", policy=None)
    with pytest.raises(RunError, match="is GPT2Block, and this model has no such layer"):
        check("LlamaDecoderLayer", "GPT2Block")
    with pytest.raises(RunError, match="is TransformerEncoderLayer: only layers of transformers'"):
        check("TransformerEncoderLayer")
    with pytest.raises(RunError, match="by their size; name them instead"):
        check()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = self.first
        self.known = nn.Linear(2, 2)


def test_a_model_file_has_the_same_bytes_each_time_and_older_ones_are_read(tmp_path: Any) -> None:
    model = Tied()
    names = {"weight": model.known.weight, "bias": model.known.bias}
    left_out = [LeftOut("known", "published", tuple(names), fingerprint_of(names))]
    found = set()
    for number in range(8):
        (folder := tmp_path / str(number)).mkdir()
        save(folder, model, left_out)
        found.add((folder / MODEL).read_bytes())
    assert len(found) == 1
    words = load_metadata(folder / MODEL)
    assert list(words) == [BOTH]

    apart = {key: json.dumps(value) for key, value in json.loads(words[BOTH]).items()}
    assert apart.keys() == {ALIASES, LEFT_OUT}
    save_file(load_file(folder / MODEL), folder / MODEL, metadata=apart)
    other = Tied()
    other.known = model.known
    load(folder, other)
    assert torch.equal(other.first.weight, model.first.weight)
