"""Memory that runs out: recognised on whatever device, and told with what to type."""

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rrgcore import load_recipe, load_run
from rrgcore.check import check_recipe
from rrgcore.faults.changes import (
    Change,
    for_building,
    for_divergence,
    for_generation,
    for_training,
    for_validation,
    for_writing,
)
from rrgcore.faults.shortage import OutOfMemory, amounts, is_out_of_memory
from rrgcore.faults.telling import out_of_memory
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.recipe import load_recipe as read_recipe
from rrgcore.run import Run

TINY = Path(__file__).parent.parent / "tiny.yaml"
POISON = Path(__file__).parent / "poison.py"
PEBIBYTE = 2**50

SAID = {
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of "
    "which 10.19 MiB is free. Including non-PyTorch memory, this process has 79.09 GiB memory in "
    "use.": "20.00 MiB more were asked for; GPU 0 has 79.11 GiB, 10.19 MiB of them free",
    "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 MB, max allowed: "
    "9.07 GB). Tried to allocate 2.00 GB on private pool.": "2.00 GB more were asked for; at most "
    "9.07 GB are allowed",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)": "64 GiB more "
    "were asked for",
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to "
    "allocate 1000 bytes.": "1000 bytes more were asked for",
    "CUDA out of memory. Allocation was preemptively rejected because it would exceed "
    "per_process_memory_fraction limit. Requested size: 1.50 GiB": "1.50 GiB more were asked for",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`": "",
    "CUDA error: out of memory": "",
    "std::bad_alloc": "",
}


@pytest.mark.parametrize("text", SAID)
def test_what_libraries_say_of_memory_is_read(text: str) -> None:
    error = RuntimeError(text)

    assert is_out_of_memory(error)
    assert amounts(error) == SAID[text]


def test_memory_that_a_library_really_lacks_is_recognised() -> None:
    for take, size in (
        (lambda: torch.empty(PEBIBYTE, dtype=torch.uint8), "1024 TiB"),
        (lambda: np.empty(PEBIBYTE, dtype=np.uint8), "1.00 PiB"),
        (lambda: bytearray(PEBIBYTE), ""),
    ):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            take()
        assert is_out_of_memory(caught.value)
        assert amounts(caught.value).startswith(size)


def test_a_shortage_that_something_else_was_made_of_is_recognised() -> None:
    """A reader that could not map a file takes it for a damaged one."""
    error = ValueError("a.png is damaged")
    error.__cause__ = OSError(errno.ENOMEM, "Cannot allocate memory")

    assert is_out_of_memory(error)
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("the text 'out of memory' in a report"))


# ---- what is proposed -------------------------------------------------------------------------


def plan_of(recipe: Any, plugins: Discovered, *overrides: str, variants: Any = ()) -> Plan:
    read = read_recipe(recipe, overrides=overrides, variants=variants)
    return check_recipe(read, plugins.registry, expand_paths=False)


def typed(changes: list[Change]) -> list[str]:
    return [" ".join(change.overrides) for change in changes]


def test_a_training_step_is_made_smaller_without_changing_the_batch_it_learns_from(
    plugins: Discovered,
) -> None:
    plan = plan_of(TINY, plugins, "data.batch_size=6")
    first, second = for_training(plan)

    # `generate` goes on with what `align` says
    assert first.overrides == ("data.batch_size=3", "stages.align.accumulate=4")
    assert first.why == (
        "3 studies at a time, as many in a step; an objective that compares studies then compares 3"
    )
    assert second.overrides == ("stages.align.precision=bf16",)


def test_a_stage_that_says_its_own_is_changed_too(plugins: Discovered) -> None:
    own = ("stages.generate.accumulate=3", "stages.generate.precision=fp32")
    first, second = for_training(plan_of(TINY, plugins, "data.batch_size=4", *own))

    assert first.overrides[1:] == ("stages.align.accumulate=4", "stages.generate.accumulate=6")
    assert second.overrides == ("stages.align.precision=bf16", "stages.generate.precision=bf16")


@pytest.mark.parametrize(
    ("size", "smaller", "accumulate", "how"),
    [(9, 3, 6, "as many"), (5, 2, 4, "nearly as many"), (3, 1, 6, "as many"), (2, 1, 4, "as many")],
)
def test_odd_batches_are_divided_too(
    size: int, smaller: int, accumulate: int, how: str, plugins: Discovered
) -> None:
    first = for_training(plan_of(TINY, plugins, f"data.batch_size={size}"))[0]

    assert first.overrides == (
        f"data.batch_size={smaller}",
        f"stages.align.accumulate={accumulate}",
    )
    assert f"{smaller} studies at a time, {how} in a step" in first.why


def test_one_study_in_half_precision_leaves_nothing_to_type(plugins: Discovered) -> None:
    plan = plan_of(TINY, plugins, "data.batch_size=1", "stages.align.precision=bf16")

    assert for_training(plan) == []
    text = str(out_of_memory(MemoryError(), "stage align, step 1", []))
    assert text.startswith("out of memory: stage align, step 1.\nNothing in the recipe is left")


def test_a_language_model_is_checkpointed_or_held_in_fewer_bits(
    plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = ("model.decoder.frozen=true", "model.decoder.weights=/models/llama")
    plan = plan_of("cmeaa", plugins, *held)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("rrgcore.faults.changes.find_spec", lambda name: object())

    assert typed(for_training(plan))[-3:] == [
        "model.decoder.checkpoint=true",
        "model.decoder.dtype=bfloat16",
        "model.decoder.dtype=bfloat16 model.decoder.quantize=8bit",
    ]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert typed(for_training(plan))[-1] == "model.decoder.dtype=bfloat16"


def test_what_learns_is_not_held_in_half(plugins: Discovered) -> None:
    assert typed(for_training(plan_of("cmeaa", plugins))) == [
        "data.batch_size=4 stages.train.accumulate=2",
        "stages.train.precision=bf16",
        "model.encoder.checkpoint=true",
        "model.decoder.checkpoint=true",
    ]


def test_reports_are_written_fewer_at_a_time_or_searched_for_less(plugins: Discovered) -> None:
    plan = plan_of("cmeaa", plugins)

    assert typed(for_generation(plan))[:3] == [
        "evaluation.batch_size=25",
        "generation.beams=1",
        "evaluation.probes=false",
    ]
    assert typed(for_validation(plan))[0] == "evaluation.batch_size=25"
    assert not any("beams" in line for line in typed(for_validation(plan)))
    assert typed(for_writing(plan)) == ["--batch-size 25"]
    assert typed(for_building(plan)) == ["data.annotations.probabilities.batch_size=25"]


RECIPES = ("kia_graph", "cmeaa", "mixed/vit_irc_llama", "mixed/cmeaa_label_mlm")


def test_every_change_can_be_laid_over_its_recipe(plugins: Discovered) -> None:
    plan = plan_of("cmeaa", plugins)
    for change in every_change(plan):
        assert plan_of("cmeaa", plugins, *change.overrides) != plan, change.overrides


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_change_can_be_laid_over_every_variant(name: str, plugins: Discovered) -> None:
    for variants in ([], *([variant] for variant in read_recipe(name).available)):
        plan = plan_of(name, plugins, variants=variants)
        for change in every_change(plan):
            changed = plan_of(name, plugins, *change.overrides, variants=variants)
            assert changed != plan, (variants, change.overrides)


def every_change(plan: Plan) -> list[Change]:
    return [
        *for_training(plan),
        *for_validation(plan),
        *for_generation(plan),
        *for_building(plan),
        *(change for stage in plan.stages for change in for_divergence(plan, stage)),
    ]


def test_batches_of_one_study_are_the_first_thing_to_change(plugins: Discovered) -> None:
    plan = plan_of("kia_graph", plugins, "data.batch_size=1")

    assert for_divergence(plan, "align", studies=1)[0].overrides == ("data.batch_size=2",)
    assert for_divergence(plan, "align", studies=8) == for_divergence(plan, "align")


# ---- where it is said -------------------------------------------------------------------------


def test_a_training_step_that_lacks_memory_says_so_and_the_folder_is_free_again(
    rrg: Callable[..., Any], tmp_path: Path
) -> None:
    objective = "objectives.poison={name: poison, how: memory}"
    out = tmp_path / "run"
    said = rrg("run", TINY, objective, "data.batch_size=10", "--plugin", POISON, "--out", out)

    assert said.code == 2
    assert said.err == (
        "out of memory: stage align, step 1, a training step of 10 studies at a time (1024 TiB "
        "more were asked for). What takes less, to type behind the command:\n"
        "  data.batch_size=5 stages.align.accumulate=4   5 studies at a time, as many in a step; "
        "an objective that compares studies then compares 5\n"
        "  stages.align.precision=bf16                   activations in half the memory; weights "
        "stay float32\n"
    )
    assert not out.exists()


@pytest.fixture
def greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that wants a pebibyte for two reports."""
    from rrg_backbones.bert import Bert

    generate = Bert.generate

    def wants(self: Any, visual: Any, generation: Any) -> Any:
        if len(visual.tokens) > 1:
            torch.empty(PEBIBYTE, dtype=torch.uint8)
        return generate(self, visual, generation)

    monkeypatch.setattr(Bert, "generate", wants)


@pytest.mark.usefixtures("greedy")
def test_a_validation_that_lacks_memory_says_so(tmp_path: Path, plugins: Discovered) -> None:
    with pytest.raises(OutOfMemory) as caught:
        load_recipe(TINY, variants=["short"], plugins=plugins).run(tmp_path / "run")

    assert re.fullmatch(
        r"out of memory: align, epoch 1: validating, 2 reports at a time \(1024 TiB more were "
        r"asked for\)\. What takes less, to type behind the command:\n"
        r"  evaluation\.batch_size=1 +so many reports at a time: the same reports\n"
        r"  stages\.align\.precision=bf16 +activations .*"
        r"run keeps its checkpoints, and goes on with another evaluation\.batch_size\. .*",
        str(caught.value),
        re.DOTALL,
    )


@pytest.mark.usefixtures("greedy")
def test_a_test_that_lacks_memory_can_be_done_by_another_command(
    tmp_path: Path, plugins: Discovered
) -> None:
    """Validations take one report at a time here, and pass."""
    session = load_recipe(
        TINY, variants=["short"], overrides=["data.val=1", "data.batch_size=5"], plugins=plugins
    )
    with pytest.raises(OutOfMemory) as caught:
        session.run(tmp_path / "run")
    text = str(caught.value)

    assert text.startswith("out of memory: testing, 5 reports at a time (1024 TiB more were asked ")
    assert re.search(r"\n  evaluation\.batch_size=2 +so many reports at a time", text)
    assert re.search(r"\n  generation\.beams=1 +a narrower search: other reports", text)
    assert f"\n{tmp_path}/run keeps its checkpoints, and goes on with another evaluation" in text
    assert f"\n  rrg evaluate {tmp_path}/run --batch-size 2   so many reports" in text
    done = load_run(tmp_path / "run", plugins=plugins).evaluate(batch_size=1)
    assert len(done.predictions) == 4


@pytest.mark.usefixtures("greedy")
def test_commands_that_write_reports_have_an_option_for_it(
    finished: Run, tmp_path: Path, rrg: Callable[..., Any], plugins: Discovered
) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    image = tmp_path / "image.png"
    phantom = load_run(run, plugins=plugins).plan
    from rrgcore.studies import Studies

    studies = Studies(phantom)
    from PIL import Image

    Image.fromarray(studies.dataset.open(studies["test"][0].images[0])).save(image)
    (tmp_path / "other.png").write_bytes(image.read_bytes())
    for command in (("evaluate", run), ("predict", run, image, tmp_path / "other.png")):
        refused = rrg(*command)
        assert refused.code == 2
        assert re.search(
            r"out of memory: writing, 2 reports at a time .*\n  --batch-size 1 ", refused.err
        )
        done = rrg(*command, "--batch-size", 1)
        assert done.code == 0, done.err
    assert rrg("evaluate", run, "--batch-size", 0).code == 2


def test_the_size_of_batches_changes_no_score(finished: Run) -> None:
    alone = finished.evaluate(batch_size=1).to_json()

    assert alone["protocols"] == finished.scores["protocols"]


LIMITED = """
import resource, sys
import rrgcore.run, rrgcore.cli.display, transformers, scipy, timm
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
room = pages * resource.getpagesize() + {more}
resource.setrlimit(resource.RLIMIT_AS, (room, room))
from rrgcore.cli import main
sys.argv = ["rrg", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to RLIMIT_AS")
def test_a_run_under_a_real_limit_gives_the_sentence(tmp_path: Path) -> None:
    """Its weights fit into the limit, and the attention maps of its batch do not."""
    (tmp_path / "limited.py").write_text(LIMITED.format(more=2**30))
    sizes = ("data.batch_size=16", "data.train=16", "data.image_size=256")
    command = [
        *(sys.executable, str(tmp_path / "limited.py"), "run", str(TINY), *sizes),
        *("--variant", "short", "model.encoder.patch_size=4", "objectives.irc.queue=8"),
        *("--out", str(tmp_path / "run")),
    ]
    said = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    assert said.returncode == 2, said.stderr
    assert re.search(
        r"^out of memory: stage align, step 1, a training step of 16 studies at a time "
        r"\(.* more were asked for\)",
        said.stderr,
        re.M,
    )
    assert "  data.batch_size=8 stages.align.accumulate=4 " in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "run").exists()
