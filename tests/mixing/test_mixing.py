"""Every part with every other: a combination trains, writes and reloads, or `rrg check` says why
not.

By default every pair of levels meets once; `-m slow` takes every combination of first settings.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from accelerate import Accelerator

from rrgcore import Component
from rrgcore.build import make_dataset
from rrgcore.job import make_accelerator
from rrgcore.plugins import Discovered
from rrgcore.registry import Registry
from rrgcore.supply import Dataset

from ..docs.pages import REPOSITORY, code, rows
from .choices import LLAMA, NOTHING, SMALL, VIEWS, Choices, Mix, Model, write_tiny_llama
from .covering import cover_pairs, pairs_of
from .matrix import PAGE, into_page, render
from .refusals import Refusals, capability_named, check, open_session
from .trial import try_out


@pytest.fixture(scope="module")
def choices(plugins: Discovered) -> Choices:
    return Choices(plugins.registry, SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where checkpoints are written, beside the tiny Llama."""
    folder = tmp_path_factory.mktemp("mixing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LLAMA, str(write_tiny_llama(folder / "llama")))
        yield folder


@pytest.fixture(scope="module")
def refusals(choices: Choices, plugins: Discovered, folder: Path) -> Refusals:
    return Refusals.find(choices, plugins)


@pytest.fixture(scope="module")
def run(choices: Choices, folder: Path, plugins: Discovered) -> Callable[[Mix], tuple[str, ...]]:
    """Try a combination: why it is refused, or nothing once it has done everything."""
    shared: dict[str, Any] = {}

    def common(plan: Any) -> tuple[Dataset, Accelerator]:
        if not shared:
            dataset = make_dataset(plan)
            for drawn in ("open", "report"):  # once for all of them
                setattr(dataset, drawn, cache(getattr(dataset, drawn)))
            shared.update(dataset=dataset, accelerator=make_accelerator(plan))
        return shared["dataset"], shared["accelerator"]

    def run(mix: Mix) -> tuple[str, ...]:
        session = open_session(choices.recipe(mix.model, [mix.task], mix.views), plugins)
        if problems := check(session):
            return tuple(problem.text for problem in problems)
        with TemporaryDirectory(dir=folder) as run_folder:
            try_out(session.plan, *common(session.plan), Path(run_folder))
        return ()

    return run


def fail_with(failures: Mapping[Mix, str]) -> None:
    lines = [f"{mix}\n    {text}" for mix, text in failures.items()]
    assert not failures, f"{len(failures)} combinations:\n" + "\n".join(lines)


def try_all(mixes: list[Mix], run: Callable[[Mix], tuple[str, ...]], refusals: Refusals) -> None:
    failures: dict[Mix, str] = {}
    for mix in mixes:
        try:
            reasons = run(mix)
        except Exception as crash:
            failures[mix] = f"crashes with {type(crash).__name__}: {crash}"
            continue
        if bool(reasons) != bool(refusals.expected(mix)):
            failures[mix] = f"refused by {reasons}, and the matrix says {refusals.expected(mix)}"
        elif silent := [text for text in reasons if not capability_named(text)]:
            failures[mix] = f"the refusal names neither a capability nor an option: {silent}"
    fail_with(failures)


# ---- combinations ---------------------------------------------------------------------------


def test_every_pair_of_levels_trains_or_is_refused(
    choices: Choices, refusals: Refusals, run: Callable[[Mix], tuple[str, ...]]
) -> None:
    """Any two levels that some working combination has meet in one that is trained; two that none
    has, in one that is refused.
    """
    everything = choices.mixes()
    works = [mix for mix in everything if not refusals.expected(mix)]
    met = {pair for mix in works for pair in pairs_of(mix)}
    refused = [mix for mix in everything if refusals.expected(mix)]

    try_all([*cover_pairs(works), *cover_pairs(refused, met=met)], run, refusals)


@pytest.mark.slow
def test_every_combination_of_first_settings_trains_or_is_refused(
    choices: Choices, refusals: Refusals, run: Callable[[Mix], tuple[str, ...]]
) -> None:
    every = product(choices.models(), choices.tasks)
    mixes = [Mix(*m, task, VIEWS[i % len(VIEWS)]) for i, (m, task) in enumerate(every)]

    try_all(mixes, run, refusals)


# ---- refusals -------------------------------------------------------------------------------


def test_every_refusal_names_a_capability_or_an_option_to_set(refusals: Refusals) -> None:
    tables = (*refusals.of_models.values(), *refusals.of_settings.values(), refusals.of_maskings)
    texts = {text for table in tables for reasons in table.values() for text in reasons}
    assert len(texts) > 10
    assert [text for text in texts if not capability_named(text)] == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "objective 'mim' needs an encoder that is ImageGivenText; 'swin' is not",
            "ImageGivenText",
        ),
        ("reads no image: set cross_layers: all in its trunk", "cross_layers"),
        ("offers none: set model.adapter.align=nmia, or leave it out", "model.adapter.align"),
        ("The two do not fit", None),
    ],
)
def test_what_a_refusal_names_is_found(text: str, named: str | None) -> None:
    assert capability_named(text) == named


def test_a_masking_of_the_other_kind_is_refused_in_each_objective(
    choices: Choices, refusals: Refusals
) -> None:
    """Each masking in each objective that takes one: what fits is a task, what does not is here."""
    assert refusals.of_maskings.keys() == choices.misplaced.keys()
    assert all(refusals.of_maskings.values())


def test_images_and_a_report_that_have_no_room_in_a_llama_are_refused(
    choices: Choices, plugins: Discovered
) -> None:
    recipe = choices.recipe(Model("vit", "linear", "llama2"), ["report"])
    decoder = {**recipe["model"]["decoder"], "max_tokens": 60}
    tight = {**recipe, "model": {**recipe["model"], "decoder": decoder}}
    one_view = {**tight, "data": {**recipe["data"], "lateral": False}}

    (problem,) = check(open_session(tight, plugins))
    assert problem.address == "model.decoder"
    assert "raise max_tokens" in problem.text
    assert check(open_session(one_view, plugins)) == ()


# ---- what is mixed --------------------------------------------------------------------------


def test_a_component_that_nobody_made_small_is_asked_for() -> None:
    known = {key: value for key, value in SMALL.items() if key != "adapter linear"}
    with pytest.raises(AssertionError, match=r"adapter 'linear' is registered.*give it an entry"):
        Choices(registry_with("linear"), known).models()


def test_a_component_that_is_registered_joins() -> None:
    small = {"encoder vit": {"": {}}, "decoder bert": {"": {}}, "adapter new": {"": {}}}
    assert Choices(registry_with("new"), small).models() == [
        Model("vit", "new", "bert", NOTHING),
        Model("vit", "new", "bert", "bert"),
    ]


def test_a_stranger_s_component_is_left_alone() -> None:
    small = {"encoder vit": {"": {}}, "decoder bert": {"": {}}}
    assert Choices(registry_with("stranger.new"), small).models() == []


def registry_with(adapter: str) -> Registry:
    """An encoder, a decoder, and an adapter of a name."""
    registry = Registry()
    for kind, name, target in (
        ("encoder", "vit", "rrg_backbones.vit:ViT"),
        ("decoder", "bert", "rrg_backbones.bert:Bert"),
        ("adapter", adapter, "rrg_basics.adapters:LinearAdapter"),
    ):
        registry.add(Component(kind, name, target, ""), plugin="here")
    return registry


# ---- the page -------------------------------------------------------------------------------


def test_the_page_has_the_tables_that_the_matrix_makes(refusals: Refusals) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == into_page(render(refusals), page), (
        "make it anew: python -m tests.mixing.matrix --write"
    )


def test_the_page_names_every_recipe_that_mixes() -> None:
    table = rows(PAGE.read_text(encoding="utf-8"), "recipe", "what it crosses")
    mixed = (REPOSITORY / "recipes" / "mixed").glob("*.yaml")
    assert sorted(code(name)[0] for name, _ in table) == sorted(f"mixed/{f.stem}" for f in mixed)
