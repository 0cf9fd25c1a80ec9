"""KIA's page: ambiguities, tables, parameters and departures."""

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from rrgcore import load_recipe, settings
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.resolve import resolved
from rrgcore.signatures import options_of

from .pages import DOCS, code, prose, read, rows, value

KIA = DOCS / "papers" / "kia.md"


def test_every_ambiguity_is_answered_with_options_that_exist(plugins: Discovered):
    table = rows(read(KIA), "#", "question", "our reading", "option")
    assert [number for number, *_ in table] == [f"K{n}" for n in range(1, 24)]
    kinds = {entry.component.name: entry.component.kind for entry in plugins.registry.entries()}

    def known(owner: str) -> set[str]:
        if owner == "a stage":
            return {field.name for field in fields(settings.StageSettings)}
        return {"weight", *options_of(plugins.registry.get(kinds[owner], owner))}

    checked = 0
    for *_, cell in table:
        for options, owners in re.findall(
            r"((?:`[^`]+`,? ?)+)of (a stage|`\w+`(?: and `\w+`)?)", cell
        ):
            for owner in code(owners) or [owners]:
                assert {option.partition(":")[0] for option in code(options)} <= known(owner), cell
                checked += 1
    assert checked > 12


def test_every_variant_is_in_the_page_and_every_row_of_a_table_is_a_variant(plugins: Discovered):
    available = set(load_recipe("kia_graph", plugins=plugins).recipe.available)
    assert available - set(code(prose(KIA))) == set()
    for _, variants in rows(read(KIA), "table", "variants"):
        assert set(code(variants)) - {"kia_graph", "kia_label"} <= available


def test_parameters_are_those_that_show_counts(
    plugins: Discovered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("RRG_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    table = rows(read(KIA), "layout", "command", "parameters")
    assert len(table) == 3
    for _, command, count in table:
        _, _, recipe, _, variant = code(command)[0].split()
        shown = load_recipe(recipe, variants=[variant], plugins=plugins).show()
        counted = [weight for weight in shown.weights if "twin" not in weight.part]
        assert f"{sum(weight.trainable + weight.frozen for weight in counted):,}" == count, variant


def test_departures_are_those_of_the_recipe(plugins: Discovered, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RRG_DATA", "data")
    small, paper = (
        load_recipe("kia_graph", variants=variants, plugins=plugins).plan
        for variants in ([], ["iu_xray"])
    )
    for cell, *said in rows(read(KIA), "address", "small scale", "`iu_xray`"):
        address = code(cell)[0]
        for text, plan in zip(said, (small, paper), strict=True):
            if address == "stages":
                assert text.split(", ") == list(plan.stages)
            else:
                assert (value(text) if text else None) == _setting(plan, address), address


def _setting(plan: Plan, address: str) -> Any:
    """What a plan has at an address, inherited from an earlier stage or said here."""
    section, *keys = address.split(".")
    if section == "stages":
        stage, part, key = keys
        chosen = getattr(plan.stages[stage], part)
        found = {**asdict(chosen), **chosen.options}.get(key)
        return list(found) if isinstance(found, tuple) else found
    found: Any = resolved(plan)[section]
    for key in keys:
        found = found.get(key, {})
    return None if found == {} else found
