"""What is to be run for an ablation: a run folder for each row and seed, checked before any is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from rrgcore.ablation.rows import Row
from rrgcore.check import check_recipe
from rrgcore.errors import RunError, UserError
from rrgcore.folder import RUN, RunFolder, check_writable
from rrgcore.plan import Plan
from rrgcore.recipe import load_recipe
from rrgcore.registry import Registry
from rrgcore.resolve import resolved
from rrgcore.same_recipe import is_run_of, recipe_changes

State = Literal["new", "unfinished", "finished", "running"]


@final
@dataclass(frozen=True, slots=True)
class Trial:
    """One run of an ablation."""

    row: Row
    seed: int
    path: Path
    arguments: tuple[str, ...]
    """Of `rrg run`."""
    state: State

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.row.label}, seed {self.seed}"

    @property
    def log(self) -> Path:
        """Where what it prints goes: beside its folder, which a run that fails may take away."""
        return self.path.with_name(f"{self.path.name}.log")


def plan_rows(
    recipe: str,
    rows: Sequence[Row],
    registry: Registry,
    *,
    base: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> dict[str, Plan]:
    """Check the recipe of every row; raises UserError with what is wrong with each."""
    plans: dict[str, Plan] = {}
    problems: dict[str, str] = {}
    for row in rows:
        try:
            read = load_recipe(recipe, variants=[*base, *row.variants], overrides=overrides)
            plans[row.label] = check_recipe(read, registry)
        except UserError as error:
            problems[row.label] = str(error)
    if problems:
        alike = len(problems) == len(rows) and len(set(problems.values())) == 1
        found = [f"row '{label}': {text}" for label, text in problems.items()]
        raise UserError(next(iter(problems.values())) if alike else "\n\n".join(found))
    return plans


def list_trials(
    recipe: str,
    rows: Sequence[Row],
    plans: Mapping[str, Plan],
    seeds: Sequence[int],
    out: Path,
    registry: Registry,
) -> list[Trial]:
    """List every run, row by row, and how far it is.

    Raises RunError where a folder holds something else than this row's run: it is neither gone on
    with nor put in the table.
    """
    check_writable(out)
    if (out / RUN).is_file():
        raise RunError(f"{out} is a run itself; name a folder for all of them with --out")
    trials = []
    others: dict[str, list[Path]] = {}
    for row in rows:
        plan = plans[row.label]
        values = resolved(plan)
        read = plan.recipe
        variants = [word for name in read.variants for word in ("--variant", name)]
        for seed in seeds:
            path = out / row.folder / f"seed-{seed}"
            arguments = (recipe, *read.overrides, f"seed={seed}", *variants, "--out", str(path))
            own = {**values, "seed": seed}
            folder = RunFolder(path)
            state: State = "running" if folder.in_use else "new"
            if path.exists() and not folder.is_beginning_of(own):
                folder = RunFolder.open(path)
                if not is_run_of(folder, own, registry):
                    others.setdefault(recipe_changes(path, own, registry), []).append(path)
                    continue
                state = _state(folder)
            trials.append(Trial(row, seed, path, arguments, state))
    if others:
        found = [f"{_some(paths)} of another recipe: {why}" for why, paths in others.items()]
        advice = "Name another folder with --out, or remove what is not to be kept"
        raise RunError("\n\n".join([*found, advice]))
    return trials


def _state(folder: RunFolder) -> State:
    if folder.in_use:
        return "running"
    return "finished" if folder.state == "finished" else "unfinished"


def _some(paths: Sequence[Path]) -> str:
    if len(paths) == 1:
        return f"{paths[0]} holds a run"
    return f"{paths[0]} and {len(paths) - 1} more hold runs"
