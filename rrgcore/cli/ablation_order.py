"""What `rrg ablate` was asked for, read and checked before anything runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from rrgcore.ablation.average import DEFINITIONS
from rrgcore.ablation.rows import (
    WHOLE,
    Row,
    named_rows,
    parse_rows,
    parse_seeds,
    parse_variants,
)
from rrgcore.ablation.tables import find_table, read_table
from rrgcore.errors import UserError, did_you_mean
from rrgcore.recipe import load_recipe

DELTAS: Final = (*DEFINITIONS, "none")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AblationOrder:
    """Rows and seeds of a recipe, and how the table of them is made."""

    recipe: str
    title: str
    """Of its folder and table: the table's file, or the recipe's name."""
    rows: Sequence[Row]
    base: Sequence[str]
    """Variants below every row."""
    overrides: Sequence[str]
    seeds: Sequence[int]
    reference: str
    """The row that all are compared with."""
    delta: str | None
    """Whose AVG.Δ, if any."""
    metrics: Sequence[str] | None
    """The columns, where they were said."""


def read_order(
    recipe: str,
    *,
    overrides: Sequence[str] = (),
    variants: Sequence[str] = (),
    base: str | None = None,
    seeds: str | None = None,
    reference: str | None = None,
    delta: str | None = None,
    metrics: Sequence[str] | None = None,
) -> AblationOrder:
    """Return what was asked for: of a recipe, or of a table, whose own words give way to those that
    were typed. Raises UserError; imports no torch, so that a mistake is told at once.
    """
    title, named = None, dict[str, str]()
    if (path := find_table(recipe)) is not None:
        told = read_table(path)
        recipe, named, title = told.ablate, told.rows, path.stem
        base, reference = base or told.base, reference or told.reference
        seeds, delta = seeds or told.seeds, delta or told.delta
        metrics = metrics or told.metrics
    elif not variants:
        _check_there(recipe)
        raise UserError(
            "--variants is needed: the rows of the table, such as full,a,b+c; or name a table that "
            "has them, as listed by: rrg list ablations"
        )
    read = load_recipe(recipe, overrides=overrides)
    below = parse_variants(base or WHOLE[0], read.available)
    if variants:
        rows = parse_rows(variants, read.available)
    else:
        rows = named_rows(named, read.available, said_by=str(path))
    if seeds is not None and any(o.partition("=")[0].strip() == "seed" for o in read.overrides):
        raise UserError("--seeds and seed=… say the same; keep one of the two")
    return AblationOrder(
        recipe=recipe,
        title=title or read.name,
        rows=rows,
        base=below,
        overrides=overrides,
        seeds=parse_seeds(seeds, read.values.get("seed", 0)),
        reference=_reference(reference, rows).label,
        delta=_delta(delta, read.name),
        metrics=_names(metrics),
    )


def check_one_of(given: str, known: Sequence[str], option: str) -> None:
    """Raise UserError for a word that an option does not know, with the nearest."""
    if given not in known:
        raise UserError(
            f"{option} {given}: expected {', '.join(known[:-1])} or {known[-1]}."
            f"{did_you_mean(given, known)}"
        )


def _check_there(name: str) -> None:
    """Raise UserError for what is neither a recipe nor a table, with the nearest of both."""
    from rrgcore.installed import list_ablations
    from rrgcore.recipe import find_recipe

    tables = [key.rpartition("/")[2] for key in list_ablations()]
    try:
        find_recipe(name)
    except UserError as error:
        near = did_you_mean(name, tables)
        raise UserError(f"{error}\nTables: {', '.join(tables)}.{near}") from error


def _reference(name: str | None, rows: Sequence[Row]) -> Row:
    labels = [row.label for row in rows]
    if name is None:
        return rows[0]
    if name not in labels:
        raise UserError(
            f"--reference {name} is no row.{did_you_mean(name, labels)} Rows: {', '.join(labels)}"
        )
    return rows[labels.index(name)]


def _delta(given: str | None, recipe: str) -> str | None:
    """Return whose average: CmEAA's of its own recipes, else KIA's, which is over all metrics."""
    if given is None:
        return "cmeaa" if recipe.startswith("cmeaa") else "kia"
    check_one_of(given, DELTAS, "--delta")
    return None if given == "none" else given


def _names(given: Sequence[str] | None) -> list[str] | None:
    """Split names at commas, those in brackets left alone: F1 (14, micro, uncertain positive)."""
    if not given:
        return None
    return [n.strip() for text in given for n in re.split(r",(?![^()]*\))", text) if n.strip()]
