"""What a recipe may not say, and how it is told: found, expected, near, next."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from rrgcore import load_recipe
from rrgcore.errors import RecipeError
from rrgcore.grammar import FRAGMENT, Section
from rrgcore.plugins import Discovered, discover
from rrgcore.resolve import resolved
from rrgcore.types import Generation

TINY = Path(__file__).parent.parent / "tiny.yaml"


@pytest.fixture
def problems(plugins: Discovered) -> Callable[..., dict[str, str]]:
    """The problems of tests/tiny.yaml with overrides, by address."""

    def find(*overrides: str, variants: tuple[str, ...] = ()) -> dict[str, str]:
        with pytest.raises(RecipeError) as refused:
            load_recipe(TINY, overrides=overrides, variants=variants, plugins=plugins).check(
                images=False
            )
        return {problem.address: problem.text for problem in refused.value.problems}

    return find


def test_three_problems_read_as_they_should(tmp_path: Path, plugins: Discovered) -> None:
    (tmp_path / "kia.yaml").write_text(
        dedent(
            """\
            data: {name: phantom}
            model:
              encoder: {name: vit, patch_size: big, trunk: {name: transformer, dim: 8, depth: 1, heads: 2, norm: pre, cross_layers: all}}
              decoder: {name: bert, tokenizer: words, trunk: {name: transformer, dim: 8, depth: 1, heads: 2, norm: post, cross_layers: all}}
            objectives:
              mim:
                masking: {name: anatomy, p_keys: 0.9}
              mlm: {masking: {name: grpah}}
            stages: {align: {epochs: 1}}
            """  # noqa: E501
        )
    )
    with pytest.raises(RecipeError) as refused:
        load_recipe(tmp_path / "kia.yaml", plugins=plugins).check()

    paragraphs = str(refused.value).split("\n\n")
    assert paragraphs[0] == f"{tmp_path}/kia.yaml: 3 problems"
    assert paragraphs[1] == ("  model.encoder.patch_size (line 3)\n    expected int, got 'big'")
    assert paragraphs[2] == (
        "  objectives.mim.masking.p_keys (line 7)\n"
        "    masking 'anatomy' has no option 'p_keys'. Did you mean 'p_key'?\n"
        "    Options: p_key, p_total, atlas, trusted, policy, exact"
    )
    assert paragraphs[3] == (
        "  objectives.mlm.masking.name (line 8)\n"
        "    no masking called 'grpah'. Did you mean 'graph'?\n"
        "    Known: anatomy (kia), graph (kia), label (kia), random_patches (basics), "
        "random_words (basics)"
    )


@pytest.mark.parametrize(
    ("override", "address", "text"),
    [
        ("model.encoder=vitt", "model.encoder", "no encoder called 'vitt'. Did you mean 'vit'?"),
        ("objectives.mimm={}", "objectives.mimm", "called 'mimm'. Did you mean 'mim'?"),
        ("data.name=phantoms", "data.name", "Did you mean 'phantom'?"),
        ("data.trian=5", "data.trian", "neither `data` nor dataset 'phantom' has an option"),
        ("data.trian=5", "data.trian", "Did you mean 'train'?"),
        ("data.batch_size=0", "data", "`batch_size` is 0; expected at least 1"),
        ("data.batch_size=2.5", "data.batch_size", "expected int, got 2.5"),
        ("data.max_report_tokens=2", "data", "`max_report_tokens` is 2; expected at least 3"),
        ("seed=-1", "seed", "expected a number from 0 to 4294967295, got -1"),
        ("model.views=sum", "model.views", "expected one of 'concat', 'mean', got 'sum'"),
        ("model.freeze=[encodr]", "model.freeze", "no part 'encodr'. Did you mean 'encoder'?"),
        ("objectives.mim.weight=-1", "objectives.mim.weight", "a weight of at least 0, got -1"),
        (
            "objectives.irc.space={ref: joit}",
            "objectives.irc.space.ref",
            "model.shared has no 'joit'. Did you mean 'joint'?",
        ),
        (
            "objectives.irc.space={ref: text_trunk}",
            "objectives.irc.space.ref",
            "model.shared.text_trunk is a Transformer, expected a JointSpace",
        ),
        ("model.shared.extra=projections", "model.shared.extra", "nothing refers to it"),
        ("generation.beams=0", "generation", "`beams` is 0; expected at least 1"),
        ("generation.min_new_tokens=9", "generation", "`min_new_tokens` is 9, which is more than"),
        (
            "evaluation.select=CIDER",
            "evaluation.select",
            "no metric gives 'CIDER' while training. Did you mean 'CIDEr'?",
        ),
        ("evaluation.metrics.coco=off", "evaluation.select", "nothing: name a metric under"),
        ("init.encoder=weights.pth", "init.encoder", "is no run; expected run:PATH"),
        ("stages.best={steps: 1}", "stages.best", "where `best` is taken"),
        ("objectives.total={name: report}", "objectives.total", "is a column of metrics.jsonl"),
        ("objectives.mim.weight=.nan", "objectives.mim.weight", "at least 0, got nan"),
        ("init={encoder: 3}", "init.encoder", "got 3"),
        ("model.shared.image_trunk.heads=0", "model.shared.image_trunk", "heads is 0"),
        ("model.encoder.patch_size=0", "model.encoder", "patch_size is 0"),
        ("model.shared.joint.dim=0", "model.shared.joint", "dim is 0"),
        ("init.encoder=run:nowhere", "init.encoder", "nowhere does not exist"),
        ("init.encodr=run:a", "init", "there is no part 'encodr'. Did you mean 'encoder'?"),
        (
            "model.encoder.weights=./vit.safetensors",
            "model.encoder.weights",
            "no such file or folder",
        ),
    ],
)
def test_a_problem_is_told_at_its_address(
    override: str, address: str, text: str, problems: Callable[..., dict[str, str]]
) -> None:
    found = problems(override)

    near = {key: value for key, value in found.items() if key.startswith(address)}
    assert any(text in value for value in near.values()), found


@pytest.mark.parametrize(
    ("override", "address", "text"),
    [
        ("epochs=0", "", "`epochs` is 0; expected at least 1"),
        ("steps=3", "", "a stage needs either `epochs` or `steps`, and has both, 2 and 3, of "),
        ("epochs=off", "", "a stage needs `epochs` or `steps`, and has neither"),
        ("only=[mimm]", ".only", "there is no objective 'mimm'. Did you mean 'mim'?"),
        ("only=[]", "", "there is nothing to train"),
        ("freeze=[encodr]", ".freeze", "there is no part 'encodr'. Did you mean 'encoder'?"),
        ("clip=0", "", "`clip` is 0.0; expected a norm above 0"),
        ("precision=fp8", ".precision", "expected one of 'fp32', 'bf16', 'fp16', got 'fp8'"),
        (
            "optimizer=RAdm",
            ".optimizer.name",
            "torch has no optimizer 'RAdm'. Did you mean 'RAdam'?",
        ),
        ("optimizer=LBFGS", ".optimizer.name", "it needs to evaluate the loss several times"),
        ("optimizer.lr=0", ".optimizer", "`lr` is 0.0; expected a learning rate above 0"),
        ("optimizer.lr=fast", ".optimizer.lr", "expected float, got 'fast'"),
        ("optimizer.momentum=0.9", ".optimizer.momentum", "RAdam has no argument 'momentum'"),
        ("optimizer.betas=[0.9]", ".optimizer.betas", "expected a list of float"),
        ("optimizer.eps=-1", ".optimizer", "torch refuses this RAdam: Invalid epsilon"),
        (
            "optimizer.lr_of={encodr: 1e-5}",
            ".optimizer.lr_of",
            "there is no part 'encodr'. Did you mean 'encoder'?",
        ),
        ("schedule=StepLR", ".schedule", "StepLR needs `step_size`"),
        ("schedule=ReduceLROnPlateau", ".schedule.name", "it steps by a score; use `patience`"),
        ("schedule.gama=0.9", ".schedule.gama", "Did you mean 'gamma'?"),
        ("schedule.every=week", ".schedule.every", "expected one of 'epoch', 'step', got 'week'"),
        ("schedule={name: StepLR, step_size: 0}", ".schedule", "torch refuses this StepLR"),
    ],
)
def test_a_stages_problem_is_told_at_its_address(
    override: str, address: str, text: str, problems: Callable[..., dict[str, str]]
) -> None:
    found = problems(f"stages.align.{override}")

    assert text in found.get(f"stages.align{address}", ""), found


def test_stages_of_two_precisions_are_refused(problems: Callable[..., dict[str, str]]) -> None:
    found = problems("stages.generate.precision=bf16")

    assert found == {"stages": "every stage of a run has one precision, got bf16, fp32"}


def test_a_stage_in_which_everything_is_frozen_is_refused(
    problems: Callable[..., dict[str, str]],
) -> None:
    parts = "encoder, decoder, shared.joint, objectives.mim, objectives.irc, objectives.irm"

    assert problems(f"stages.generate.freeze=[{parts}]") == {
        "stages.generate.freeze": "nothing is left to train: every part of the model is frozen"
    }


def test_a_queue_as_large_as_the_training_set_is_refused(
    problems: Callable[..., dict[str, str]],
) -> None:
    found = problems("objectives.irc.queue=10")

    assert (
        "irc's queue of 10 is not smaller than the training set of 10" in (found["objectives.irc"])
    )


def test_every_problem_is_told_at_once(problems: Callable[..., dict[str, str]]) -> None:
    found = problems("seed=-1", "objectives.mim.weight=-1", "stages.align.epochs=0", "data.trian=1")

    assert len(found) == 4


PLAIN = '''
import torch
from torch import nn
from rrgcore import Component, hookimpl
from rrgcore.api import Encoded, VisualEncoder

class Plain(VisualEncoder):
    """Averages patches; reads no text."""

    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, *, image_size: int, dim: int = 16) -> None:
        super().__init__()
        self.dim, self.grid = dim, (image_size // 8, image_size // 8)
        self.project = nn.Conv2d(3, dim, 8, 8)

    def forward(self, images):
        tokens = self.project(images).flatten(2).mT
        return Encoded(tokens, tokens.mean(1))

@hookimpl
def rrg_components():
    return [Component("encoder", "plain", "plain_encoder_plugin:Plain", "for a test")]
'''


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Discovered:
    file = tmp_path_factory.mktemp("plugin") / "plain_encoder_plugin.py"
    file.write_text(PLAIN)
    return discover(files=[file])


def test_mim_on_an_encoder_that_reads_no_text_is_refused(plain: Discovered) -> None:
    session = load_recipe(
        TINY, overrides=["model.encoder=plain", "model.shared.image_trunk=off"], plugins=plain
    )
    with pytest.raises(RecipeError) as refused:
        session.check()

    (problem,) = refused.value.problems
    assert problem.address == "objectives.mim"
    assert problem.line == 16
    assert problem.text == (
        "objective 'mim' needs an encoder that is ImageGivenText; 'plain' is not. "
        "Those that are: vit"
    )


def test_the_other_objectives_are_content_with_it(plain: Discovered) -> None:
    overrides = ["model.encoder=plain", "model.shared.image_trunk=off", "objectives.mim=off"]

    load_recipe(TINY, overrides=overrides, plugins=plain).check()


def test_a_capability_that_an_option_takes_away_is_refused_with_the_option(
    problems: Callable[..., dict[str, str]],
) -> None:
    found = problems("model.shared.image_trunk.cross_layers=none")

    assert "needs the encoder to be ImageGivenText" in found["objectives.mim"]
    assert "cross" in found["objectives.mim"]


# ---- what stages continue ---------------------------------------------------------------------


@pytest.fixture
def stages(plugins: Discovered) -> Callable[..., Any]:
    def of(*overrides: str) -> Any:
        return load_recipe(TINY, overrides=overrides, plugins=plugins).plan.stages

    return of


def test_what_a_stage_does_not_say_it_continues(stages: Callable[..., Any]) -> None:
    second = stages()["generate"]

    assert (second.optimizer.name, second.optimizer.lr) == ("RAdam", 1e-2)
    assert second.schedule.options == {"gamma": 0.9}
    assert second.accumulate == 2
    assert second.continues


def test_how_long_it_is_and_how_it_begins_a_stage_says_itself(stages: Callable[..., Any]) -> None:
    second = stages("stages.align.freeze=[adapter]")["generate"]

    assert second.warmup == 0
    assert second.freeze == ()


def test_an_optimizer_option_adjusts_the_one_continued(stages: Callable[..., Any]) -> None:
    second = stages("stages.generate.optimizer={weight_decay: 0}")["generate"]

    assert second.optimizer.name == "RAdam"
    assert second.optimizer.options["weight_decay"] == 0
    assert second.optimizer.options["decoupled_weight_decay"]
    assert second.continues


def test_another_optimizer_replaces_it_whole(stages: Callable[..., Any]) -> None:
    second = stages("stages.generate.optimizer={name: SGD, lr: 0.1}")["generate"]

    assert second.optimizer.options == {}
    assert not second.continues


@pytest.mark.parametrize("said", ["optimizer={lr: 1e-3}", "schedule={gamma: 0.5}"])
def test_a_stage_that_names_a_rate_or_a_schedule_begins_it_anew(
    said: str, stages: Callable[..., Any]
) -> None:
    assert not stages(f"stages.generate.{said}")["generate"].continues


def test_without_a_schedule_the_rate_is_constant(stages: Callable[..., Any]) -> None:
    first = stages("stages.align.schedule=off")["align"]

    assert (first.schedule.name, first.schedule.options) == ("ConstantLR", {"factor": 1.0})


# ---- the resolved recipe ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["stages.generate.optimizer={lr: 1e-3}"],
        ["stages.generate.schedule={name: CosineAnnealingLR, T_max: 3}"],
        ["stages.align.schedule=off"],
        ["data.splits={val: train}", "evaluation.select=last", "model.freeze=[adapter]"],
    ],
)
def test_a_resolved_recipe_resolves_to_itself(
    overrides: list[str], tmp_path: Path, plugins: Discovered
) -> None:
    from rrgcore.recipe import dump_recipe

    plan = load_recipe(TINY, overrides=overrides, plugins=plugins).plan
    (tmp_path / "resolved.yaml").write_text(dump_recipe(resolved(plan)))
    again = load_recipe(tmp_path / "resolved.yaml", plugins=plugins).plan

    assert resolved(again) == resolved(plan)
    assert again.stages == plan.stages


def test_the_grammar_lists_the_keys_of_generation() -> None:
    """It lists them itself, since the class brings torch with it."""
    section = FRAGMENT.keys["generation"]
    assert isinstance(section, Section)

    assert list(section.keys) == [field.name for field in fields(Generation)]
