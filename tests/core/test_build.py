"""From a plan to a model: the order of construction, wiring, sharing, freezing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rrgcore import load_recipe
from rrgcore.build import Tokenizers, build_model, check_assembled
from rrgcore.errors import RecipeError
from rrgcore.model import ReportModel
from rrgcore.plugins import Discovered, discover

TINY = Path(__file__).parent.parent / "tiny.yaml"
TEXTS = ("the lungs are clear .", "there is a small effusion .")


@pytest.fixture
def build(plugins: Discovered) -> Callable[..., ReportModel]:
    def make(*overrides: str, found: Discovered = plugins, meta: bool = False) -> ReportModel:
        plan = load_recipe(TINY, overrides=overrides, plugins=found).plan
        tokenizers = Tokenizers(plan, lambda: TEXTS)
        return check_assembled(plan, tokenizers) if meta else build_model(plan, tokenizers)

    return make


def test_a_shared_part_is_one_object(build: Callable[..., ReportModel]) -> None:
    model = build()

    assert model.parts.encoder.trunk is model.part("shared.image_trunk")  # type: ignore[union-attr]
    assert model.parts.decoder.trunk is model.part("shared.text_trunk")  # type: ignore[union-attr]
    space: Any = model.part("objectives.irc").space
    assert space is model.part("shared.joint")
    assert space is model.part("objectives.irm").space


def test_without_a_text_encoder_the_decoder_encodes_text(
    build: Callable[..., ReportModel],
) -> None:
    model = build()

    assert model.part("text_encoder") is model.part("decoder")


def test_the_vocabulary_holds_the_reports_and_the_words_that_maskings_write(
    build: Callable[..., ReportModel],
) -> None:
    tokens = build("objectives.mlm.masking=label").parts.decoder.tokenizer.tokens  # type: ignore[attr-defined]

    assert {"lungs", "effusion", "present", "absent"} <= set(tokens)
    assert {"[MATCH]", "[START]"} <= set(tokens)
    assert "present" not in build().parts.decoder.tokenizer.tokens  # type: ignore[attr-defined]


def test_widths_are_wired_from_the_neighbours(build: Callable[..., ReportModel]) -> None:
    model = build("model.adapter=linear", "model.shared.image_trunk.dim=24")

    assert tuple(model.part("adapter").project.weight.shape) == (16, 24)  # type: ignore[union-attr]


def test_image_size_is_said_once(build: Callable[..., ReportModel]) -> None:
    assert build("data.image_size=64").parts.encoder.grid == (8, 8)


def test_a_recipe_may_set_what_is_wired(build: Callable[..., ReportModel]) -> None:
    assert build("model.encoder.image_size=64").parts.encoder.grid == (8, 8)


def test_the_same_seed_builds_the_same_model(build: Callable[..., ReportModel]) -> None:
    torch.manual_seed(5)
    one = build().state_dict()
    torch.manual_seed(5)
    other = build().state_dict()

    assert all(torch.equal(one[key], other[key]) for key in one)


def test_what_is_frozen_is_frozen_before_objectives_bind(
    build: Callable[..., ReportModel],
) -> None:
    """A momentum twin holds no copy of what never moves."""
    free, frozen = build(), build("model.freeze=[shared.image_trunk]")

    trunk = list(frozen.part("shared.image_trunk").parameters())
    assert not any(p.requires_grad for p in trunk)
    in_twin = {id(p) for p in frozen.part("objectives.irc").parameters()}
    assert {id(p) for p in trunk} & in_twin
    assert not {id(p) for p in free.part("shared.image_trunk").parameters()} & {
        id(p) for p in free.part("objectives.irc").parameters()
    }


def test_a_model_is_assembled_without_allocating_it(build: Callable[..., ReportModel]) -> None:
    model = build(
        "model.shared.text_trunk.dim=1600", "model.shared.image_trunk.dim=1600", meta=True
    )

    assert all(parameter.is_meta for parameter in model.parameters())


def test_widths_that_do_not_fit_are_refused_before_anything_is_built(
    build: Callable[..., ReportModel],
) -> None:
    with pytest.raises(RecipeError) as refused:
        build("model.shared.image_trunk.dim=24", meta=True)

    addresses = {problem.address for problem in refused.value.problems}
    assert any(address.startswith("model") for address in addresses), refused.value


def test_what_a_constructor_refuses_is_told_at_its_address(
    build: Callable[..., ReportModel],
) -> None:
    with pytest.raises(RecipeError, match=r"model.shared.image_trunk \(line \d+\)"):
        build("model.shared.image_trunk.heads=3")


@pytest.mark.parametrize("address", ["data.max_report_tokens", "generation.max_new_tokens"])
def test_more_tokens_than_the_decoder_has_positions_for_are_refused(
    build: Callable[..., ReportModel], address: str
) -> None:
    with pytest.raises(RecipeError, match=r"600 tokens, and the decoder has positions for 512"):
        build(f"{address}=600", meta=True)


def test_weights_that_are_absent_are_told_at_their_address(
    build: Callable[..., ReportModel], tmp_path: Path
) -> None:
    """A folder that is there, without weights in it: only loading finds out."""
    with pytest.raises(RecipeError) as refused:
        build(f"model.encoder.weights={tmp_path}")

    (problem,) = refused.value.problems
    assert problem.address == "model.encoder.weights"
    assert str(tmp_path) in problem.text


NEEDY = """
from rrgcore import Component, hookimpl
from rrgcore.api import Adapter, Visual

class Needy(Adapter):
    \"\"\"Wants a joint space's width from an adapter, which it is itself.\"\"\"

    def __init__(self, *, alignment_dim: int) -> None:
        super().__init__()

    def forward(self, image, prepared=None):
        return Visual(image.tokens)

class Broken(Adapter):
    \"\"\"Has a bug of its own.\"\"\"

    def __init__(self) -> None:
        super().__init__()
        raise KeyError("a bug")

    def forward(self, image, prepared=None):
        return Visual(image.tokens)

@hookimpl
def rrg_components():
    return [
        Component("adapter", "needy", "needy_plugin:Needy", "for a test"),
        Component("adapter", "broken", "needy_plugin:Broken", "for a test"),
    ]
"""


@pytest.fixture(scope="module")
def needy(tmp_path_factory: pytest.TempPathFactory) -> Discovered:
    file = tmp_path_factory.mktemp("plugin") / "needy_plugin.py"
    file.write_text(NEEDY)
    return discover(files=[file])


def test_a_wired_argument_that_nothing_fills_in_is_told(
    build: Callable[..., ReportModel], needy: Discovered
) -> None:
    with pytest.raises(RecipeError, match="'needy' needs `alignment_dim`, which nothing"):
        build("model.adapter=needy", found=needy)


def test_a_constructors_bug_is_not_swallowed(
    build: Callable[..., ReportModel], needy: Discovered
) -> None:
    with pytest.raises(KeyError, match="a bug"):
        build("model.adapter=broken", found=needy)
