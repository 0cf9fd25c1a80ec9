"""What one recipe needs, and whether this machine has it."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psutil

from rrgcore.check import check_recipe
from rrgcore.disk import size_of
from rrgcore.doctor.finding import Finding
from rrgcore.errors import RecipeError, UserError
from rrgcore.job import listed_studies, make_accelerator
from rrgcore.licences import Named, at_hand, licence_of, named_weights
from rrgcore.plan import Plan
from rrgcore.plugins import discover
from rrgcore.recipe import load_recipe
from rrgcore.resolve import Weight, resolved
from rrgcore.session import Session
from rrgcore.settings import ROLES
from rrgcore.signatures import options_of

BYTES: Final = 4
"""Of a parameter that learns; frozen ones may be held in fewer."""
OF_OPTIMIZER: Final = 3
"""A gradient and AdamW's two averages, each as large as the parameter."""


def needs(
    name: str,
    variants: Sequence[str],
    overrides: Sequence[str],
    files: Sequence[Path],
    blocked: Sequence[str],
) -> Iterator[Finding]:
    """Look at everything that a recipe names."""
    recipe = load_recipe(name, variants=variants, overrides=overrides)
    title = " ".join([recipe.name, *(f"--variant {v}" for v in variants), *overrides])
    session = Session(recipe, discover(files=files, blocked=blocked))
    try:
        plan = session.plan
        yield Finding("recipe", "ok", title)
        yield from _data(plan)
    except RecipeError as error:
        yield from _problems("recipe", error)
        try:  # it may be a variable that is not set, and no more
            plan = check_recipe(recipe, session.plugins.registry, expand_paths=False)
        except RecipeError:
            return
    values = resolved(plan)
    for what in ("weights", "tokenizer"):
        for each in named_weights(values, what):
            if each.name != "words":
                yield _named(each, what)
    yield from _model(session, plan)
    yield from _scoring(plan)


def _problems(part: str, error: UserError) -> Iterator[Finding]:
    if not isinstance(error, RecipeError):
        yield Finding(part, "broken", str(error))
        return
    for problem in error.problems:
        first, *more = problem.text.splitlines()
        where = f"{problem.address}: " if problem.address else ""
        yield Finding(part, "broken", f"{where}{first}", " ".join(more))


def _data(plan: Plan) -> Iterator[Finding]:
    try:
        studies = listed_studies(plan)
    except UserError as error:
        yield from _problems("data", error)
        return
    sizes = ", ".join(f"{len(studies[role]):,} {role}" for role in ROLES)
    yield Finding("data", "ok", f"{plan.dataset.name}: {sizes}")


def _named(each: Named, what: str) -> Finding:
    part = f"{what} {each.name}"
    if at_hand(each.name) is not None:
        licence = f"; licence: {licence_of(each.name)}" if what == "weights" else ""
        return Finding(part, "ok", f"for {each.address}{licence}")
    if each.is_path:
        return Finding(part, "broken", f"for {each.address}: no such file or folder")
    remedy = (
        f"where there is a network: hf download {each.name}; or --local-dir DIR, and "
        f"{each.address}=DIR. Licence: {licence_of(each.name)}"
    )
    return Finding(part, "broken", f"for {each.address}: not on this machine", remedy)


def _model(session: Session, plan: Plan) -> Iterator[Finding]:
    try:
        make_accelerator(plan)
        weights = session.show().weights
    except UserError as error:
        yield from _problems("model", error)
        return
    trained, still = sum(w.trainable for w in weights), sum(w.frozen for w in weights)
    text = f"{trained:,} parameters to train" + (f", {still:,} frozen" if still else "")
    yield Finding("model", "ok", text)
    yield _memory(weights)
    stages = len(plan.stages)
    # of every stage a best and a last, one more while it is replaced, and the best of all
    needed = trained * BYTES * (stages * (2 + OF_OPTIMIZER) + OF_OPTIMIZER)
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{size_of(needed)} for checkpoints, {size_of(free)} free"
    if needed > free:
        yield Finding("disk of the run", "broken", text, "make room, or run elsewhere: --out")
    else:
        yield Finding("disk of the run", "ok", text)


def _memory(weights: Sequence[Weight]) -> Finding:
    """Hold the least that training takes against the memory that is free, on the device if any."""
    import torch

    trained, still = sum(w.trainable for w in weights), sum(w.frozen for w in weights)
    least = BYTES * trained * (1 + OF_OPTIMIZER) + 2 * still
    free, where = psutil.virtual_memory().available, "memory"
    if torch.cuda.is_available():
        free, where = torch.cuda.mem_get_info()[0], "GPU memory"
    text = f"{size_of(least)} of {where} at the least, {size_of(free)} free"
    if least > free:
        return Finding("memory of the run", "broken", text, "rrg show --memory predicts it by part")
    return Finding("memory of the run", "ok", f"{text}; rrg show --memory predicts it by part")


def _scoring(plan: Plan) -> Iterator[Finding]:
    meteor = [
        name
        for name, block in plan.metrics.items()
        if (option := options_of(block.cls).get("meteor")) is not None
        and block.options.get("meteor", option.default)
    ]
    if meteor and shutil.which("java") is None:
        text = f"{', '.join(meteor)} would give METEOR too, which needs Java"
        yield Finding("scores", "missing", text, "install a Java runtime, or do without METEOR")
    else:
        yield Finding("scores", "ok", ", ".join(plan.metrics) or "none")
