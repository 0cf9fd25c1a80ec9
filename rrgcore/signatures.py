"""A constructor's signature is the schema of its options: names, types, defaults, nested
components.
"""

import inspect
import json
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, cast, final, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from rrgcore.errors import a, shortened
from rrgcore.registry import KINDS, base_of
from rrgcore.tokens import Tokenizer

WIRING: Mapping[str, str] = {
    "image_size": "data.image_size",
    "max_report_tokens": "data.max_report_tokens",
    "image_dim": "encoder.dim",
    "grid": "encoder.grid",
    "visual_dim": "decoder.dim",
    "text_dim": "text_encoder.text_dim",
    "tokenizer": "text_encoder.tokenizer (an adapter gets the decoder's)",
    "token_dim": "decoder.token_dim",
    "alignment_dim": "adapter.alignment_dim",
}
"""Constructor arguments that the model fills in, unless the recipe sets them, and what fills them.
"""

LARGEST = 2**53
"""Beyond it, one more is the same float."""
TAKE_NONE = {("builtins", "object"), ("torch.nn.modules.module", "Module")}
"""Classes whose constructor has no options, by name: torch may never have been imported, and
torch.compile puts a function of its own in the place of the module's constructor.
"""
MISSING = inspect.Parameter.empty


@final
@dataclass(frozen=True, slots=True)
class Option:
    """One constructor argument."""

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is MISSING

    @property
    def component(self) -> tuple[str, type] | None:
        """The kind and class of a nested component, where the annotation is one."""
        for candidate in (self.annotation, *_members(self.annotation)):
            if isinstance(candidate, type):
                for kind, where in KINDS.items():
                    # of what nobody has imported, nothing is a subclass: options of a source import
                    # no torch
                    if where.partition(":")[0] not in sys.modules:
                        continue
                    if issubclass(candidate, base_of(kind)):
                        return kind, candidate
        return None

    @property
    def is_tokenizer(self) -> bool:
        """Whether a tokenizer is wanted: a name in the recipe, an object in the constructor."""
        return Tokenizer in (self.annotation, *_members(self.annotation))

    @property
    def wired(self) -> bool:
        """Whether the model fills it in when the recipe does not."""
        return self.name in WIRING and (self.name != "tokenizer" or self.is_tokenizer)

    @property
    def expected(self) -> str:
        """The type, in words."""
        if self.component is not None:
            return f"{a(self.component[0])} that is {self.component[1].__name__}"
        return describe(self.annotation)


def _members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return ()


def describe(annotation: Any) -> str:
    """Name a type as a user would."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "nothing"
    if annotation is Any:
        return "anything"
    if annotation == Literal[False]:
        return "off"
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if members := _members(annotation):
        return " or ".join(describe(member) for member in members)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of {describe(arguments[0])} to {describe(arguments[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return "a list of " + ", ".join(describe(each) for each in arguments if each is not ...)
    return getattr(annotation, "__name__", str(annotation))


@cache
def options_of(cls: type) -> Mapping[str, Option]:
    """Return the options of a class; asserts the house rule that constructors are keyword-only."""
    owner = next(each for each in cls.__mro__ if "__init__" in vars(each))
    if (owner.__module__, owner.__name__) in TAKE_NONE:
        return {}
    hints = get_type_hints(cast(Any, cls).__init__)
    found: dict[str, Option] = {}
    for name, parameter in list(inspect.signature(cls).parameters.items()):
        assert parameter.kind is parameter.KEYWORD_ONLY, (
            f"{cls.__module__}.{cls.__name__}: argument '{name}' must be keyword-only and named, "
            "since recipes set options by name"
        )
        assert name in hints, (
            f"{cls.__module__}.{cls.__name__}: argument '{name}' has no type annotation"
        )
        found[name] = Option(name, hints[name], parameter.default)
    return found


def has_option(options: Iterable[Option]) -> str:
    """List options for an error message."""
    return ", ".join(option.name for option in options) or "none"


def check_value(annotation: Any, value: Any) -> Any:
    """Return a recipe's value as the annotation wants it; raises ValueError that says what was
    expected.

    Validated as JSON in strict mode: a list may fill a tuple and 1 a float, but "3" is no int and
    true is no 1.
    """
    if (number := _too_large(value)) is not None:
        raise ValueError(f"expected a number up to 2^53, got {shortened(repr(number))}")
    try:
        return _adapter(annotation).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        place = error.errors(include_url=False)[0]["loc"]
        if place and (inside := _inside(annotation, value, place[0])) is not None:
            noun = f"item {place[0] + 1}" if isinstance(place[0], int) else place[0]
            try:
                check_value(*inside)
            except ValueError as wrong:
                raise ValueError(f"{noun}: {wrong}") from None
        raise ValueError(f"expected {describe(annotation)}, got {shortened(repr(value))}") from None


def _too_large(value: Any) -> int | None:
    """Return an integer beyond those that JSON and floats hold exactly; nothing is so large."""
    items = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list):
        return next((found for item in items if (found := _too_large(item)) is not None), None)
    return value if isinstance(value, int) and abs(value) > LARGEST else None


def _inside(annotation: Any, value: Any, place: int | str) -> tuple[Any, Any] | None:
    """Return annotation and value of one item of a list or mapping; None where there is none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(value, Mapping) and place in value and isinstance(origin, type):
        return (arguments[1], value[place]) if issubclass(origin, Mapping) else None
    if isinstance(value, list) and isinstance(place, int) and place < len(value) and arguments:
        every = len(arguments) == 1 or arguments[-1] is ...
        if every or place < len(arguments):
            return (arguments[0] if every else arguments[place], value[place])
    return None


@cache
def _adapter(annotation: Any) -> Any:  # a TypeAdapter, which beartype cannot read subscripted
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a type that brings its own configuration
        return TypeAdapter(annotation)
