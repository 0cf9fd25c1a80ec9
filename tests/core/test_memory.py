"""`rrg show --memory`: what is predicted without allocating anything is what a real step takes."""

import io
import json
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from numpy.random import Generator
from rich.console import Console
from torch.profiler import ProfilerActivity, profile

from rrgcore import load_recipe
from rrgcore.build import build_model
from rrgcore.cli.memory_table import print_memory
from rrgcore.errors import DataError
from rrgcore.interfaces import Prepares
from rrgcore.memory import Memory, Standing, Step, predict, predict_memory
from rrgcore.memory.imagined import CountingTokenizer, imagine_prepared, imagine_studies
from rrgcore.memory.predict import Growth
from rrgcore.memory.stage import Rehearsed
from rrgcore.model import freeze_for
from rrgcore.optim import make_optimizer
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.study import Study
from rrgcore.tokenizers import Tokenizers
from tests.conftest import TINY

BLOCK = 512
"""What a prediction rounds up to."""
MARK = 12_345
"""Numbers in a tensor that marks where standing ends and the step begins."""


def plan_of(
    plugins: Discovered, name: str, *overrides: str, variants: Sequence[str] = ()
) -> tuple[Plan, Tokenizers]:
    plan = load_recipe(name, variants=variants, overrides=overrides, plugins=plugins).plan
    return plan, Tokenizers(plan, None, loaded={"words": CountingTokenizer(size=500)})


def rehearse(plugins: Discovered, *overrides: str, stage: str = "align") -> Rehearsed:
    plan, tokenizers = plan_of(plugins, str(TINY), *overrides)
    return Rehearsed(plan, tokenizers, stage, views=1, device="cuda")


def measured(plan: Plan, tokenizers: Tokenizers, stage: str, like: Rehearsed) -> int:
    """Run a real step on the processor; return the most bytes that torch's allocator held."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        model = build_model(plan, tokenizers, load_weights=False)
        trainable = {name for name, p in model.named_parameters() if p.requires_grad}
        freeze_for(model, plan.stages[stage], trainable)
        optimizer = make_optimizer(plan.stages[stage].optimizer, model)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        if plan.stages[stage].accumulate == 1:
            optimizer.zero_grad(set_to_none=True)
        torch.zeros(MARK)
        batch = like.batch(2)
        batch = replace(batch, images=torch.randn(batch.images.shape))
        model.train()
        with torch.autocast("cpu", torch.bfloat16, plan.stages[stage].precision == "bf16"):
            losses = model(batch, plan.stage_weights(stage))
        losses.total.backward()
        del losses
        model.after_step(plan.stage_weights(stage))
    events = watched.profiler.kineto_results.events()
    moved = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = peak = 0
    marked = False
    for _, size in moved:
        held += (1 if size > 0 else -1) * -(-abs(size) // BLOCK) * BLOCK
        marked = marked or 0 <= size - 4 * MARK < 64
        peak = max(peak, held) if marked else 0
    return peak


# ---- what is predicted is what happens ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variants", "stage", "overrides"),
    [
        pytest.param(str(TINY), (), "align", (), marks=pytest.mark.slow),
        (str(TINY), (), "align", ("stages.align.precision=bf16", "stages.align.accumulate=1")),
        (
            "cmeaa",
            ("tiny",),
            "train",
            ("model.decoder.frozen=true", "model.decoder.checkpoint=true"),
        ),
    ],
    ids=["kia", "kia in bf16", "cmeaa, frozen and checkpointed"],
)
def test_a_predicted_step_is_within_three_percent_of_a_real_one(
    name: str, variants: Sequence[str], stage: str, overrides: Sequence[str], plugins: Discovered
) -> None:
    plan, tokenizers = plan_of(plugins, name, *overrides, variants=variants)
    rehearsed = Rehearsed(plan, tokenizers, stage, views=1, device="cpu")

    found = measured(plan, tokenizers, stage, rehearsed)

    assert rehearsed.step(2).peak == pytest.approx(found, rel=0.03)


@pytest.mark.slow
def test_what_writing_takes_is_predicted_from_its_first_tokens(plugins: Discovered) -> None:
    plan, tokenizers = plan_of(
        plugins, "cmeaa", "generation={beams: 3, max_new_tokens: 24}", variants=["tiny"]
    )
    rehearsed = Rehearsed(plan, tokenizers, "train", views=1, device="cuda")

    _, of_all = rehearsed._write(32, 24)
    peak, _ = rehearsed._write(32, 4)

    assert rehearsed.writing(32) == pytest.approx(max(peak, of_all), rel=0.02)


# ---- what is counted ----------------------------------------------------------------------------


def test_a_momentum_twin_is_counted_apart_and_has_neither_gradient_nor_state(
    plugins: Discovered,
) -> None:
    with_twin = rehearse(plugins).standing
    without = rehearse(plugins, "objectives.irc=off").standing

    assert without.twin == 0
    assert 0.3 * with_twin.trained < with_twin.twin < with_twin.trained
    assert with_twin.gradients == pytest.approx(with_twin.trained, rel=0.2)


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [("{name: AdamW, lr: 1e-3}", 2), ("{name: SGD, lr: 1e-3}", 0)],
)
def test_an_optimizer_has_as_many_copies_of_the_weights_as_its_class_keeps(
    optimizer: str, copies: int, plugins: Discovered
) -> None:
    standing = rehearse(plugins, f"stages.align.optimizer={optimizer}").standing

    # a scalar count of steps takes a block as well
    assert standing.optimizer == pytest.approx(copies * standing.gradients, rel=0.5)
    assert (standing.optimizer > 0) == (copies > 0)


def test_what_stands_still_has_no_gradient(plugins: Discovered) -> None:
    all_learn = rehearse(plugins).standing
    some_learn = rehearse(plugins, "model.freeze=[encoder]").standing

    assert some_learn.frozen > 0
    assert some_learn.frozen + some_learn.trained == all_learn.trained
    assert some_learn.gradients < all_learn.gradients


@pytest.mark.slow
def test_gradients_of_earlier_batches_are_there_when_steps_accumulate(plugins: Discovered) -> None:
    once = rehearse(plugins, "stages.align.accumulate=1")
    twice = rehearse(plugins, "stages.align.accumulate=2")

    assert twice.step(2).peak > once.step(2).peak


@pytest.mark.slow
def test_checkpointing_keeps_fewer_activations(plugins: Discovered) -> None:
    def activations(checkpoint: str) -> int:
        plan, tokenizers = plan_of(plugins, "cmeaa", f"model.decoder.checkpoint={checkpoint}")
        return Rehearsed(plan, tokenizers, "train", views=1, device="cuda").step(1).activations

    assert activations("true") < 0.9 * activations("false")


def test_seventy_billion_weights_are_counted_without_holding_one(plugins: Discovered) -> None:
    large = "{name: llama2, tokenizer: words, dtype: bfloat16, dim: 8192, heads: 64, kv_heads: 8, "
    large += "depth: 2, hidden: 28672, max_tokens: 512, frozen: true}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plan, tokenizers = plan_of(plugins, "cmeaa", f"model.decoder={large}", variants=["tiny"])
    rehearsed = Rehearsed(plan, tokenizers, "train", views=1, device="cuda")
    rehearsed.step(2)

    layer = 2 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672 + 2 * 8192)
    assert rehearsed.standing.frozen == pytest.approx(2 * layer, rel=0.02)
    if sys.platform == "linux":  # kilobytes there
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


@pytest.mark.parametrize(("bits", "bytes_each"), [("8bit", 1.0), ("4bit", 0.52)])
def test_quantized_weights_count_in_the_bits_that_hold_them(
    bits: str, bytes_each: float, plugins: Discovered
) -> None:
    options = "weights: none/here, tokenizer: words, dtype: bfloat16, dim: 64, heads: 2, depth: 4, "
    options += "hidden: 640, vocabulary: 500, max_tokens: 512, "
    options += f"frozen: true, quantize: {bits}"
    plan, tokenizers = plan_of(
        plugins, "cmeaa", f"model.decoder={{name: llama2, {options}}}", variants=["tiny"]
    )
    rehearsed = Rehearsed(plan, tokenizers, "train", views=1, device="cuda")

    linear = 4 * (4 * 64**2 + 3 * 64 * 640)
    other = 2 * (2 * 500 * 64 + 9 * 64)
    scales = 0.06 * linear if bits == "8bit" else 0
    assert rehearsed.standing.frozen == pytest.approx(
        bytes_each * linear + scales + other, rel=0.05
    )


def test_a_batch_that_was_tried_fits_and_one_more_study_does_not() -> None:
    growth = Growth({1: 110, 10: 200}, always=50)
    growth.add(20, 400)

    assert [growth.largest(room) for room in (40, 60, 110, 200, 300, 400, 420)] == [
        0,
        0,
        1,
        10,
        15,
        20,
        21,
    ]
    assert growth.a_study == 20


# ---- what is shown ------------------------------------------------------------------------------


class Straight(Rehearsed):
    """Needs what its name says: so much at all times, and so much a study."""

    def __init__(self, plan: Plan, tokenizers: Tokenizers, stage: str, **_: Any) -> None:
        self.stage = plan.stages[stage]
        always, self.each = {"align": (20, 1), "generate": (5, 4)}[stage]
        self.standing = Standing(0, 0, 0, 0, 0, 0, always)

    def step(self, size: int) -> Step:
        return Step(0, 0, self.standing.peak + self.each * size)

    def writing(self, size: int) -> int:
        return 0


def test_a_batch_fits_if_every_stage_fits_with_it(
    plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage that needs most for one study need not be the one that needs most for many."""
    monkeypatch.setattr(predict, "Rehearsed", Straight)
    monkeypatch.setattr(predict, "check_assembled", lambda *_, **__: None)
    monkeypatch.setattr(predict, "_room", lambda gigabytes: gigabytes)
    plan, tokenizers = plan_of(
        plugins, str(TINY), "data.batch_size=1", "stages.generate.freeze=[encoder]"
    )
    found = predict_memory(plan, tokenizers)

    assert (found.stage, found.a_study) == ("align", 1)
    assert found.fits == {"24 GB": 4, "48 GB": 10, "80 GB": 18}


def test_memory_is_shown_as_a_table_of_megabytes() -> None:
    standing = Standing(
        trained=40_000_000,
        frozen=13_500_000_000,
        twin=0,
        buffers=1_200_000,
        gradients=40_000_000,
        optimizer=80_000_000,
        peak=13_700_000_000,
    )
    found = Memory(
        stage="align",
        precision="bf16",
        optimizer="AdamW",
        batch_size=8,
        views=2,
        report_tokens=100,
        standing=standing,
        step=Step(batch=9_600_000, activations=5_800_000_000, peak=20_000_000_000),
        writing=15_000_000_000,
        a_study=700_000_000,
        fits={"24 GB": 0, "48 GB": 36, "80 GB": 1024},
    )
    console = Console(record=True, width=100, file=io.StringIO())

    print_memory(console, found)

    said = console.export_text()
    assert "stage align, bf16: batches of 8 studies, each of 2 images and 100 tokens" in said
    assert "momentum twin" not in said
    assert ["weights", "that", "stand", "still", "13,500"] in [x.split() for x in said.splitlines()]
    assert "expect 21,000 MB" in said
    assert "none in 24 GB, 36 in 48 GB, 1,024 or more in 80 GB" in said


@pytest.mark.slow
def test_show_memory_as_json_has_bytes(rrg: Callable[..., Any]) -> None:
    alone = ["objectives.irc=off", "objectives.irm=off", "objectives.mim=off", "objectives.mlm=off"]
    said = rrg("show", TINY, *alone, "model.shared.joint=off", "--memory", "--views", 2, "--json")

    assert said.code == 0, said.err
    found: Mapping[str, Any] = json.loads(said.out)
    assert found["views"] == 2
    assert found["for a step"]["batch"] >= 2 * 2 * 3 * 32 * 32 * 4
    assert found["peak"] == max(found["most at once"].values())
    assert set(found["largest batch"]) == {"24 GB", "48 GB", "80 GB"}


def test_views_without_memory_are_refused(rrg: Callable[..., Any]) -> None:
    said = rrg("show", TINY, "--views", "2")

    assert said.code == 2
    assert "--memory" in said.err


class Gaze:
    slug = "gaze"


class Looking(Prepares[None]):
    reads = (Gaze,)

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Generator]) -> None:
        raise AssertionError("nobody knows what to prepare")


def test_what_reads_an_unknown_annotation_is_refused_in_a_sentence() -> None:
    with pytest.raises(DataError, match=r"objectives\.look reads gaze \(Gaze\)"):
        imagine_prepared({"objectives.look": Looking()}, imagine_studies(1, views=1, words=9))


def test_imagined_reports_are_as_long_as_allowed_and_never_the_same() -> None:
    studies = imagine_studies(3, views=2, words=40)

    assert {len((study.report or "").split()) for study in studies} == {40}
    assert len({study.report for study in studies}) == 3
