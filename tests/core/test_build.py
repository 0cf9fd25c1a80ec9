"""From a plan to a model: the order of construction, wiring, sharing, freezing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rrgcore import load_recipe
from rrgcore.api import Adapter
from rrgcore.assembled import check_assembled
from rrgcore.build import build_model
from rrgcore.check.components import Components
from rrgcore.check.reader import Reader
from rrgcore.checkpoint import load_part, save_model
from rrgcore.errors import RecipeError, RunError
from rrgcore.model import ReportModel
from rrgcore.plugins import Discovered, discover
from rrgcore.resolve import weigh
from rrgcore.run import Run
from rrgcore.tokenizers import Tokenizers

TINY = Path(__file__).parent.parent / "tiny.yaml"
APART = (
    "model.shared.own_trunk={name: transformer, dim: 16, depth: 1, heads: 2, norm: post}",
    "model.shared.own_trunk.cross_layers=all",
    "model.text_encoder={name: bert, tokenizer: words, trunk: {ref: own_trunk}}",
)
"""A text encoder beside the decoder."""
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


def test_frozen_parameters_are_counted_where_they_stand_and_not_with_a_twin(
    build: Callable[..., ReportModel],
) -> None:
    model = build("model.freeze=[encoder]")

    weights = {weight.part: weight for weight in weigh(model)}
    assert weights["encoder"].frozen + weights["shared.image_trunk"].frozen == sum(
        p.numel() for p in model.part("encoder").parameters()
    )


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


@pytest.mark.parametrize(
    ("overrides", "address", "said"),
    [
        (
            ["model.adapter=linear", "model.shared.text_trunk.dim=32"],
            "model.encoder",
            "cannot read a report of this model: the context is 32 wide and the trunk reads 16: "
            "set context_dim: 32 in the trunk",
        ),
        (
            ["model.adapter=linear", "model.shared.text_trunk.dim=32"],
            "model.decoder",
            "cannot read an image of this model: the context is 16 wide and the trunk reads 32: "
            "set context_dim: 16 in the trunk",
        ),
        (
            ["model.adapter=linear", "model.adapter.visual_dim=7"],
            "model.adapter",
            "gives tokens that are 7 wide, and the decoder reads 16",
        ),
        (["model.encoder.image_size=64"], "model.encoder", "an encoder made for image_size 64"),
        (["objectives.mim.grid=[3, 3]"], "objectives.mim", "divide into the encoder's 3 × 3"),
    ],
)
def test_neighbours_that_do_not_fit_are_told_what_to_set(
    build: Callable[..., ReportModel], overrides: list[str], address: str, said: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        build(*overrides, meta=True)

    assert said in {problem.address: problem.text for problem in refused.value.problems}[address]


def test_what_is_told_to_be_set_makes_them_fit(build: Callable[..., ReportModel]) -> None:
    build(
        "model.adapter=linear",
        "model.shared.text_trunk={dim: 32, context_dim: 16}",
        "model.shared.image_trunk.context_dim=32",
        meta=True,
    )


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
from rrgcore.api import Adapter, EmbedsTokens, Visual

class Needy(Adapter):
    \"\"\"Wants a joint space's width from an adapter, which it is itself.\"\"\"

    def __init__(self, *, alignment_dim: int) -> None:
        super().__init__()

    def forward(self, image, prepared=None):
        return Visual(image.tokens)

class Counts(Adapter):
    \"\"\"Keeps a number that is no tensor.\"\"\"

    def get_extra_state(self):
        return 3

    def forward(self, image, prepared=None):
        return Visual(image.tokens)

class Asks(Adapter):
    \"\"\"Wants an encoder that it is not given.\"\"\"

    requires = {"encoder": EmbedsTokens}

    def forward(self, image, prepared=None):
        return Visual(image.tokens)

class Errs(Adapter):
    \"\"\"Wants something of a slot that there is not.\"\"\"

    requires = {"encodr": EmbedsTokens}

    def forward(self, image, prepared=None):
        return Visual(image.tokens)

class Follows(Adapter):
    \"\"\"Asks for values, where rrg check has none.\"\"\"

    def forward(self, image, prepared=None):
        assert bool(image.tokens.isfinite().all())
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
        Component("adapter", "counts", "needy_plugin:Counts", "for a test"),
        Component("adapter", "asks", "needy_plugin:Asks", "for a test"),
        Component("adapter", "errs", "needy_plugin:Errs", "for a test"),
        Component("adapter", "follows", "needy_plugin:Follows", "for a test"),
        Component("adapter", "lost", "a_module_that_is_nowhere:Lost", "for a test"),
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


def test_an_adapter_that_asks_for_values_is_no_problem(
    build: Callable[..., ReportModel], needy: Discovered
) -> None:
    build("model.adapter=follows", found=needy, meta=True)


def test_state_that_a_checkpoint_would_lose_is_refused(
    build: Callable[..., ReportModel], needy: Discovered
) -> None:
    with pytest.raises(RecipeError) as refused:
        build("model.adapter=counts", found=needy, meta=True)

    (problem,) = refused.value.problems
    assert problem.address == "model.adapter"
    assert problem.text == (
        "defines get_extra_state, and a checkpoint holds tensors only: make it a buffer "
        "(register_buffer)"
    )


def test_what_an_adapter_requires_is_asked_for_too(
    build: Callable[..., ReportModel], needy: Discovered
) -> None:
    with pytest.raises(RecipeError) as refused:
        build("model.adapter=asks", found=needy)

    (problem,) = refused.value.problems
    assert (problem.address, problem.text) == (
        "model.adapter",
        "adapter 'asks' needs an encoder that is EmbedsTokens; 'vit' is not. Those that are: none",
    )


def test_a_slot_that_a_model_does_not_have_is_told_with_the_nearest(
    build: Callable[..., ReportModel], needy: Discovered
) -> None:
    with pytest.raises(RecipeError) as refused:
        build("model.adapter=errs", found=needy)

    (problem,) = refused.value.problems
    assert problem.text == (
        "`requires` of adapter 'errs' names the slot 'encodr', which a model does not have. "
        "Did you mean 'encoder'?\nSlots: encoder, adapter, decoder, text_encoder"
    )


def test_what_cannot_be_imported_is_left_out_of_those_that_are(needy: Discovered) -> None:
    plan = load_recipe(TINY, plugins=needy).recipe
    components = Components(Reader(plan, expand_paths=False), needy.registry)

    found = components.those_that_are("adapter", Adapter).split(", ")
    assert "lost" not in found
    assert {"asks", "identity", "linear"} <= set(found)


# ---- starting from another run ----------------------------------------------------------------


def test_a_momentum_twin_begins_as_the_part_that_started_from_another_run(
    build: Callable[..., ReportModel], finished: Run
) -> None:
    plan = load_recipe(TINY).plan
    tokenizers = Tokenizers(plan, None, finished.folder.saved_tokenizers())
    model = build_model(plan, tokenizers, starts={"encoder": finished.folder.best})

    theirs = finished.model().part("encoder").state_dict()
    twin: Any = model.part("objectives.irc").twin["encoder"]
    assert torch.equal(twin.positions, theirs["positions"])
    assert torch.equal(model.part("encoder").positions, theirs["positions"])  # type: ignore[arg-type]


def test_an_objective_that_started_from_another_run_has_its_twin_too(finished: Run) -> None:
    plan = load_recipe(TINY).plan
    tokenizers = Tokenizers(plan, None, finished.folder.saved_tokenizers())
    model = build_model(plan, tokenizers, starts={"objectives.irc": finished.folder.best})

    mine, theirs = (m.part("objectives.irc").state_dict() for m in (model, finished.model()))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_text_encoder_starts_from_another_run_s(finished: Run) -> None:
    plan = load_recipe(TINY, overrides=APART).plan
    tokenizers = Tokenizers(plan, None, finished.folder.saved_tokenizers())
    model = build_model(plan, tokenizers, starts={"text_encoder": finished.folder.best})

    mine = model.part("text_encoder").state_dict()
    theirs = finished.model().part("decoder").state_dict()
    assert model.part("text_encoder") is not model.part("decoder")
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_separate_text_encoder_is_saved_and_started_from(
    build: Callable[..., ReportModel], tmp_path: Path
) -> None:
    source, model = build(*APART), build(*APART)
    save_model(tmp_path, source)
    load_part(tmp_path, "text_encoder", model.part("text_encoder"))

    mine, theirs = (m.part("text_encoder").state_dict() for m in (model, source))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_text_encoder_s_absent_weights_are_told_at_its_address(
    build: Callable[..., ReportModel], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as refused:
        build(*APART, f"model.text_encoder.weights={tmp_path}")

    (problem,) = refused.value.problems
    assert problem.address == "model.text_encoder.weights"


def test_a_run_goes_on_though_the_run_that_it_started_from_is_gone(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    source = shutil.copytree(finished.path, tmp_path / "source")
    session = load_recipe(
        TINY, variants=["short"], overrides=[f"init.encoder=run:{source}"], plugins=plugins
    )
    run = session.run(tmp_path / "run")
    run.folder.update(state="stopped")
    shutil.rmtree(source)

    assert session.run(tmp_path / "run").folder.state == "finished"


def test_a_run_without_a_checkpoint_still_needs_it(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    source = shutil.copytree(finished.path, tmp_path / "source")
    session = load_recipe(
        TINY, variants=["short"], overrides=[f"init.encoder=run:{source}"], plugins=plugins
    )
    run = session.run(tmp_path / "run")
    run.folder.update(state="stopped")
    shutil.rmtree(run.path / "checkpoints")
    shutil.rmtree(source)

    with pytest.raises(RunError, match="source does not exist"):
        session.run(tmp_path / "run")
