"""What `rrg check` says of combinations, without training any."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import rrgcore.interfaces
from rrgcore.errors import Problem, RecipeError
from rrgcore.plugins import Discovered
from rrgcore.recipe import Recipe
from rrgcore.session import Session

from .choices import Choices, Mix, Model, key_of

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
    return ()


def check_tasks(
    choices: Choices, model: Model, plugins: Discovered
) -> dict[str, Reasons]:
    """Check a model with all tasks at once, and again without those that were refused."""
    found: dict[str, Reasons] = dict.fromkeys(choices.tasks, ())
    left = list(choices.tasks)
    while problems := check(open_session(choices.recipe(model, left), plugins)):
        own = {task: _texts(problems, f"objectives.{key_of(task)}") for task in left}
        if not any(own.values()):  # it is the model itself
            return dict.fromkeys(found, _texts(problems, "model"))
        found |= own
        left = [task for task in left if not own[task]]
    return found


def _texts(problems: Sequence[Problem], address: str) -> Reasons:
    return tuple(p.text for p in problems if f"{p.address}.".startswith(f"{address}."))


@final
@dataclass(frozen=True)
class Refusals:
    """The whole matrix: models of first settings, and what another setting changes."""

    choices: Choices
    of_models: Mapping[Model, Mapping[str, Reasons]]
    of_settings: Mapping[tuple[str, str], Mapping[str, Reasons]]
    """Slot and level to what is refused with it in a model in which everything else works."""

    @classmethod
    def find(cls, choices: Choices, plugins: Discovered) -> "Refusals":
        """Ask `rrg check`."""
        of_models = {m: check_tasks(choices, m, plugins) for m in choices.models()}
        best = min(of_models, key=lambda model: sum(map(bool, of_models[model].values())))
        of_settings = {
            (slot, level): check_tasks(choices, best._replace(**{slot: level}), plugins)
            for slot in Model._fields
            for level in getattr(choices, f"{slot}s")
            if not choices.is_first(slot, level)
        }
        return cls(choices, of_models, of_settings)

    def expected(self, mix: Mix) -> Reasons:
        """Return why a combination should be refused, by its parts."""
        reasons = [self.of_models[self.choices.plain(mix.model)][mix.task]]
        for setting in mix.model._asdict().items():
            reasons.append(self.of_settings.get(setting, {}).get(mix.task, ()))
        return tuple(text for each in reasons for text in each)


# ---- what a reason has to say ---------------------------------------------------------------

CLASSES = {name for name, thing in vars(rrgcore.interfaces).items() if isinstance(thing, type)}
"""Every kind and capability by the name of its class."""


def capability_named(text: str) -> str | None:
    """Return the class of components that a refusal asks for, or the option that it says to set."""
    if found := [word for word in re.findall(r"\b[A-Z][A-Za-z]+\b", text) if word in CLASSES]:
        return found[0]
    option = re.search(r"\bset ([\w.]+)\s?[:=]\s?\w+", text)
    return option and option[1]
