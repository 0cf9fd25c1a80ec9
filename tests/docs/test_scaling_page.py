"""docs/scaling.md and its examples: every command goes through Accelerate's own launcher."""

import json
import os
import stat
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import (
    _filter_args,
    prepare_deepspeed_cmd_env,
    prepare_multi_gpu_env,
)
from torch.distributed.run import get_args_parser
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "docs/examples/scaling"
CONFIGS = sorted(EXAMPLES.glob("*.yaml"))
SHARDED = [path for path in CONFIGS if path.stem.startswith("fsdp")]
STUB = f"#!{sys.executable}\nimport json, os, sys\n"


def launched(words: Sequence[str]) -> Namespace:
    """Give the words of a command to the launcher, up to where it would start processes."""
    args, *_ = _validate_launch_command(launch_command_parser().parse_args(list(words)))
    return args


def environment(args: Namespace) -> Mapping[str, str]:
    """Return what the launcher would tell the processes, torchrun's own parser included."""
    if args.use_deepspeed:
        args.deepspeed_fields_from_accelerate_config = ""
        found = prepare_deepspeed_cmd_env(args)[1]
    else:
        found = prepare_multi_gpu_env(args)
    script = ["--training_script", args.training_script]
    torchrun = _filter_args(args, get_args_parser(), script)
    assert int(torchrun.nproc_per_node) * args.num_machines == args.num_processes
    return {str(key): str(value) for key, value in found.items()}


def commands(script: Path, words: Sequence[str], folder: Path, **given: str) -> list[list[str]]:
    """Run a script beside stubs of Slurm and of the launcher; return what was launched."""
    said = folder / "said.jsonl"
    stubs = {
        "accelerate": "open(os.environ['SAID'], 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n",
        "scontrol": "print('node1\\nnode2')\n",
        "srun": (
            "import subprocess\n"
            "words = sys.argv[sys.argv.index('bash'):]\n"
            "for node in range(int(os.environ['SLURM_NNODES'])):\n"
            "    subprocess.run(words, env={**os.environ, 'SLURM_NODEID': str(node)}, check=True)\n"
        ),
    }
    for name, code in stubs.items():
        path = folder / name
        path.write_text(STUB + code)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run(
        ["bash", script, *words],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "SAID": str(said), **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in said.read_text().splitlines()]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_is_read_by_the_launcher(config: Path) -> None:
    given = yaml.safe_load(config.read_text())

    args = launched(["--config_file", str(config), "-m", "rrgcore", "run", "kia_graph"])
    told = environment(args)

    assert (args.num_processes, args.num_machines) == (
        given["num_processes"],
        given["num_machines"],
    )
    assert args.module
    assert [args.training_script, *args.training_script_args] == ["rrgcore", "run", "kia_graph"]
    assert args.use_fsdp == (told.get("ACCELERATE_USE_FSDP") == "true") == (config in SHARDED)
    if args.use_deepspeed:
        stage = given["deepspeed_config"]["zero_stage"]
        assert told["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == str(stage)


@pytest.mark.parametrize("config", SHARDED, ids=lambda path: path.stem)
def test_a_sharded_configuration_makes_the_plugin_that_it_says(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = environment(launched(["--config_file", str(config), "-m", "rrgcore", "run", "x"]))
    for name, value in told.items():
        if name.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(name, value)

    plugin = FullyShardedDataParallelPlugin()

    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    layers = None if config.stem == "fsdp_whole" else [LlamaDecoderLayer.__name__]
    assert plugin.transformer_cls_names_to_wrap == layers
    assert (plugin.auto_wrap_policy is None) == (layers is None)


def test_the_script_for_one_machine_launches_a_run(tmp_path: Path) -> None:
    words = ["ddp.yaml", "kia_graph", "--variant", "iu_xray", "--out", "runs/kia"]

    (said,) = commands(EXAMPLES / "one_node.sh", words, tmp_path)

    assert said[0] == "launch"
    args = launched(said[1:])
    assert args.num_processes == 8
    assert args.training_script_args == ["run", *words[1:]]


@pytest.mark.parametrize(
    ("config", "nodes"), [("ddp_nodes.yaml", 4), ("fsdp_nodes.yaml", 2), ("ddp_nodes.yaml", 3)]
)
def test_the_script_for_slurm_launches_a_run_on_each_machine(
    config: str, nodes: int, tmp_path: Path
) -> None:
    words = [config, "cmeaa", "--variant", "mimic_cxr", "--out", "/runs/a b"]

    said = commands(
        EXAMPLES / "slurm.sbatch",
        words,
        tmp_path,
        SLURM_SUBMIT_DIR=str(EXAMPLES),
        SLURM_JOB_NODELIST="node[1-2]",
        SLURM_NNODES=str(nodes),
        SLURM_GPUS_ON_NODE="8",
    )

    assert len(said) == nodes
    for rank, command in enumerate(said):
        args = launched(command[1:])
        environment(args)
        assert (args.num_machines, args.num_processes) == (nodes, 8 * nodes)
        assert (int(args.machine_rank), args.main_process_ip) == (rank, "node1")
        assert args.rdzv_backend == "c10d"
        assert args.training_script_args == ["run", *words[1:]]


@pytest.mark.parametrize("script", ["one_node.sh", "slurm.sbatch"])
def test_a_script_is_a_script(script: str) -> None:
    subprocess.run(["bash", "-n", EXAMPLES / script], check=True)


def test_every_example_is_on_the_page() -> None:
    page = (REPOSITORY / "docs/scaling.md").read_text(encoding="utf-8")

    for path in EXAMPLES.iterdir():
        assert path.name in page
