"""A recipe's values as they are wanted, and every problem with them collected."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, final, get_type_hints

from rrgcore.errors import Problem
from rrgcore.plan import problem_at
from rrgcore.recipe import Recipe, expand
from rrgcore.signatures import check_value

S = TypeVar("S")


@final
class Reader:
    """Reads values of a recipe; what is wrong with one becomes a problem at its address."""

    def __init__(self, recipe: Recipe, *, expand_paths: bool) -> None:
        self.recipe = recipe
        self.expand_paths = expand_paths
        self.problems: list[Problem] = []

    def problem(self, address: str, text: str) -> None:
        """Note that something is wrong."""
        self.problems.append(problem_at(self.recipe, address, text))

    def mapping(self, value: Any, address: str) -> Mapping[str, Any]:
        """Return a section; an empty one for nothing, or for what is no mapping."""
        if value is None or isinstance(value, Mapping):
            return value or {}
        self.problem(address, f"expected a mapping, got {json.dumps(value)}")
        return {}

    def value(self, annotation: Any, value: Any, address: str) -> Any:
        """Return a value as an annotation wants it, or None."""
        try:
            return check_value(annotation, value)
        except ValueError as error:
            self.problem(address, str(error))
            return None

    def path(self, value: Any, address: str) -> Any:
        """Return a text with its `$NAME` filled in, where paths are expanded at all."""
        if not self.expand_paths or not isinstance(value, str):
            return value
        try:
            return expand(value)
        except ValueError as error:
            self.problem(address, str(error))
            return value

    def settings(
        self, cls: type[S], value: Any, address: str, *, ready: Sequence[str] = ()
    ) -> S | None:
        """Fill a settings class from a section; what is in `ready` is checked already."""
        hints = get_type_hints(cls)
        before = len(self.problems)
        values = {
            key: item if key in ready else self.value(hints[key], item, f"{address}.{key}")
            for key, item in self.mapping(value, address).items()
        }
        if len(self.problems) > before:
            return None
        try:
            return cls(**values)
        except ValueError as error:
            self.problem(address, str(error))
            return None
