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

from .choices import LLAMA, NOTHING, SMALL, Choices, Mix, write_tiny_llama
from .covering import cover_pairs, pairs_of
from .refusals import Refusals, capability_named, check, open_session
from .trial import try_out


@pytest.fixture(scope="module")
def choices(plugins: Discovered) -> Choices:
    return Choices(plugins.registry, SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where recipes and checkpoints are written, one over the other; beside them the tiny Llama."""
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
    mixes = [Mix(*m, task, ("concat", "mean")[i % 2]) for i, (m, task) in enumerate(every)]

    try_all(mixes, run, refusals)
