"""What is to be compared: runs and files, each a set of pairs; runs that differ in their seed alone
are one system.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError, RunError
from rrgcore.files import read_json
from rrgcore.folder import PREDICTIONS, of_split
from rrgcore.scoring.metric import Pair
from rrgcore.scoring.pairing import join, load_pairs
from rrgcore.scoring.report_files import load_reports, shortened, some
from rrgcore.scoring.report_rows import Reports, Side
from rrgcore.yaml_loader import plain, read_yaml


@final
@dataclass(frozen=True, slots=True)
class System:
    """One row of a comparison."""

    name: str
    runs: Sequence[Sequence[Pair]]
    """The pairs of each seed; of a file, one."""
    paths: Sequence[Path]
    recipe: str | None = None
    """Of a run: everything of its resolved recipe but the seed, and what identifies its data."""
    seeds: Sequence[int] = ()
    """Of runs."""
    left_out: int = 0
    """Studies whose reference says nothing."""


def load_systems(
    paths: Sequence[str | Path],
    *,
    split: str = "test",
    references: Reports | None = None,
    id_column: str | None = None,
    columns: Mapping[Side, str] | None = None,
) -> list[System]:
    """Read runs and files, in the order given, all on the same studies in the first one's order.

    With `references`, files need predictions only, and those of runs are set aside. Studies whose
    reference says nothing are left out. Raises DataError where two systems have other studies, or
    other references for one, and where no reference has a word.
    """
    found: list[System] = []
    if twice := [str(path) for path, count in Counter(map(Path, paths)).items() if count > 1]:
        raise DataError(f"{twice[0]} is given twice; a system is not compared with itself")
    for path in map(Path, paths):
        if path.expanduser().is_dir():
            system = _run(path.expanduser(), split, references)
        else:
            pairs = (
                load_pairs(path, id_column=id_column, columns=columns)
                if references is None
                else join(
                    load_reports(
                        path,
                        "prediction",
                        column=(columns or {}).get("prediction"),
                        id_column=id_column,
                        split=split,
                    ),
                    references,
                )
            )
            system = System(path.stem, [pairs], [path])
        found.append(system)
    first = found[0]
    aligned = [_with_words(replace(each, runs=[_aligned(each, first)])) for each in found]
    return _named(_by_recipe(aligned))


def _with_words(system: System) -> System:
    pairs = [pair for pair in system.runs[0] if not is_empty(pair.reference)]
    if not pairs:
        raise DataError(
            f"{system.paths[0]}: nothing to score against: {len(system.runs[0]):,} references, and "
            "none has a word"
        )
    return replace(system, runs=[pairs], left_out=len(system.runs[0]) - len(pairs))


def _run(path: Path, split: str, references: Reports | None) -> System:
    record_path, recipe_path = path / "run.json", path / "recipe.yaml"
    predictions = path / of_split(PREDICTIONS, split)
    if not record_path.is_file():
        raise RunError(
            f"{path} is not a run folder: it has no run.json. Expected runs/<recipe>/<when>, or a "
            "file of predictions"
        )
    if not predictions.is_file():
        again = "" if split == "test" else f": rrg evaluate {path} --split {split}"
        raise RunError(f"{path} has no {predictions.name} yet; let the run finish{again}")
    record, recipe = read_json(record_path), _recipe(recipe_path)
    seed = recipe.pop("seed", 0)
    said, variants = record.get("recipe", path.name), record.get("variants", [])
    if not (isinstance(said, str) and isinstance(variants, list)):
        raise RunError(f"{record_path} is damaged: it does not say which recipe was run")
    pairs = load_pairs(predictions)
    if references is not None:
        written = Reports(str(path), [p.prediction for p in pairs], [p.id for p in pairs])
        pairs = join(written, references)
    name = " ".join([said, *map(str, variants)])
    key = json.dumps([recipe, record.get("data")], sort_keys=True, default=str)
    return System(name, [pairs], [path], key, [seed])


def _recipe(path: Path) -> dict[str, Any]:
    """Read a run's own recipe, whatever it means; raises RunError."""
    try:
        node, problems = read_yaml(path.read_text(encoding="utf-8"), file=str(path))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error})") from error
    found = None if node is None else plain(node)
    if problems or not isinstance(found, dict) or not isinstance(found.get("seed", 0), int):
        what = problems[0].text if problems else "it is no recipe"
        raise RunError(f"{path} is damaged: {what}")
    return found


def _aligned(system: System, first: System) -> list[Pair]:
    """Put a system's pairs in the first one's order."""
    own = {pair.id: pair for pair in system.runs[0]}
    wanted = {pair.id: pair for pair in first.runs[0]}
    here, there = system.paths[0], first.paths[0]
    for lacking, by, ids in (
        (here, there, [id for id in wanted if id not in own]),
        (there, here, [id for id in own if id not in wanted]),
    ):
        if ids:
            raise DataError(
                f"{lacking} lacks {len(ids):,} of the {max(len(own), len(wanted)):,} studies of "
                f"{by}: {some(ids)}. Systems are compared on the same studies"
            )
    other = [id for id in wanted if own[id].reference.split() != wanted[id].reference.split()]
    if other:
        id = other[0]
        raise DataError(
            f"{here} and {there} have other references for {len(other):,} studies; for '{id}':\n"
            f"  {shortened(own[id].reference)}\n  {shortened(wanted[id].reference)}\n"
            "Score all against the same: --references FILE"
        )
    return [own[id] for id in wanted]


def _by_recipe(systems: Sequence[System]) -> list[System]:
    grouped: list[System] = []
    for system in systems:
        # a run that is given twice, or again with its seed, is no second seed
        twin = next(
            (
                i
                for i, g in enumerate(grouped)
                if g.recipe and g.recipe == system.recipe and not {*g.seeds} & {*system.seeds}
            ),
            None,
        )
        if twin is None:
            grouped.append(system)
        else:
            runs = [*grouped[twin].runs, *system.runs]
            paths = [*grouped[twin].paths, *system.paths]
            seeds = [*grouped[twin].seeds, *system.seeds]
            grouped[twin] = replace(grouped[twin], runs=runs, paths=paths, seeds=seeds)
    return grouped


def _named(systems: Sequence[System]) -> list[System]:
    """Tell systems of one name apart by their folders or files; say how many seeds each has."""
    named = []
    for system in systems:
        name = system.name
        if sum(each.name == name for each in systems) > 1:
            name = f"{name} ({system.paths[0]})"
        if len(system.runs) > 1:
            name = f"{name}, {len(system.runs)} seeds"
        named.append(replace(system, name=name))
    return named
