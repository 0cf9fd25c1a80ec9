"""What `rrg check` says of combinations, without training any."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import rrgcore.interfaces
from rrgcore.errors import Problem, RecipeError
from rrgcore.plugins import Discovered
from rrgcore.recipe import Recipe
from rrgcore.session import Session

from .choices import NOTHING, Choices, Mix, Model, key_of

Reasons = tuple[str, ...]
"""Why a combination is refused; empty where it is not."""


def open_session(values: Mapping[str, Any], plugins: Discovered) -> Session:
    """Open a recipe that was never a file: reading hundreds of them is not what is tried."""
    recipe = Recipe(
        name="mix",
        source="mix",
        values=dict(values),
        origins={},
        variants=(),
        overrides=(),
        available=(),
    )
    return Session(recipe, plugins)


def check(session: Session) -> tuple[Problem, ...]:
    """Return what `rrg check` finds wrong with a recipe; anything but a RecipeError is a crash."""
    try:
        session.check(images=False)
    except RecipeError as refused:
        return refused.problems
    except Exception as crash:
        crash.add_note(f"while checking {session.recipe.values}")
        raise
    return ()


def check_tasks(
    choices: Choices, model: Model, tasks: Iterable[str], plugins: Discovered
) -> dict[str, Reasons]:
    """Check a model with all tasks at once, and again without those that were refused."""
    left = list(tasks)
    found: dict[str, Reasons] = dict.fromkeys(left, ())
    while problems := check(open_session(choices.recipe(model, left), plugins)):
        own = {task: _texts(problems, f"objectives.{key_of(task)}") for task in left}
        if not any(own.values()):  # it is the model itself
            return found | dict.fromkeys(left, tuple(problem.text for problem in problems))
        found |= own
        left = [task for task in left if not own[task]]
    return found


def _texts(problems: Sequence[Problem], address: str) -> Reasons:
    return tuple(p.text for p in problems if f"{p.address}.".startswith(f"{address}."))


@final
@dataclass(frozen=True)
class Refusals:
    """The whole matrix, each part of it task by task."""

    choices: Choices
    of_models: Mapping[Model, Mapping[str, Reasons]]
    """Of first settings."""
    of_settings: Mapping[tuple[str, str], Mapping[str, Reasons]]
    """By slot and level, of settings that are not the first, in a model that takes everything."""
    of_maskings: Mapping[str, Reasons]
    """Of objectives with a masking of the other kind, in such a model."""

    @classmethod
    def find(cls, choices: Choices, plugins: Discovered) -> "Refusals":
        """Ask `rrg check`."""
        check = partial(check_tasks, choices, plugins=plugins)
        of_models = {model: check(model, choices.tasks) for model in choices.models()}
        # with a text encoder of its own, so that another decoder changes the decoder alone
        best = min(of_models, key=lambda m: (sum(map(bool, of_models[m].values())), NOTHING in m))
        of_settings = {
            (slot, level): check(best._replace(**{slot: level}), choices.tasks)
            for slot in Model._fields
            for level in getattr(choices, f"{slot}s")
            if not choices.is_first(slot, level)
        }
        return cls(choices, of_models, of_settings, check(best, choices.misplaced))

    def expected(self, mix: Mix) -> Reasons:
        """Return why a combination should be refused, by its parts."""
        found = [self.of_models[self.choices.plain(mix.model)][mix.task]]
        for setting in mix.model._asdict().items():
            found.append(self.of_settings.get(setting, {}).get(mix.task, ()))
        return tuple(text for reasons in found for text in reasons)


# ---- what a reason has to say ---------------------------------------------------------------

CLASSES = {name for name, thing in vars(rrgcore.interfaces).items() if isinstance(thing, type)}
"""Every kind and capability by the name of its class."""


def capability_named(text: str) -> str | None:
    """Return the class of components that a refusal asks for, or the option that it says to set."""
    if found := [word for word in re.findall(r"\b[A-Z][A-Za-z]+\b", text) if word in CLASSES]:
        return found[0]
    option = re.search(r"\bset ([\w.]+)\s?[:=]\s?\w+", text)
    return option and option[1]
