"""Options of a component that no recipe is around: OPTION=VALUE …, without torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from rrgcore.errors import Problem, RecipeError, UserError, did_you_mean
from rrgcore.overrides import COMMAND_LINE, apply_override
from rrgcore.recipe import expand
from rrgcore.registry import Registry
from rrgcore.signatures import check_value, has_option, options_of
from rrgcore.sources import Source
from rrgcore.yaml_loader import Node, Origin, plain

PLACE = Origin(COMMAND_LINE, None)


def load_source(
    name: str, root: str, overrides: Sequence[str], registry: Registry
) -> tuple[Source, Mapping[str, Any]]:
    """Build a source from OPTION=VALUE …; return it and the options that were given, as checked.

    Raises RecipeError with everything that is wrong with them, or with the archive's layout.
    """
    about = f"source {name}"
    values, problems = read_options(name, overrides, "this source")
    cls = registry.get("source", name)
    if "root" in values:
        problems.append(_wrong("root", "ROOT, the second argument, says it already"))
    known = {key: option for key, option in options_of(cls).items() if key != "root"}
    options: dict[str, Any] = {}
    for key, value in values.items():
        if key in ("name", "root"):
            continue
        if key not in known:
            near = f"source '{name}' has no option '{key}'.{did_you_mean(key, known)}"
            problems.append(_wrong(key, f"{near}\nOptions: {has_option(known.values())}"))
            continue
        try:
            found = expand(value) if isinstance(value, str) else value
            options[key] = check_value(known[key].annotation, found)
        except ValueError as error:
            problems.append(_wrong(key, str(error)))
    for key, option in known.items():
        if option.required and key not in values:
            text = f"source '{name}' needs the option '{key}': {option.expected}"
            problems.append(_wrong("", text))
    if not problems:
        try:
            return cls(root=expand(root), **options), options
        except (ValueError, UserError) as error:
            raise RecipeError(about, [_wrong("", str(error))]) from error
    raise RecipeError(about, problems)


def read_options(
    name: str, overrides: Sequence[str], whose: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Lay the values over the block of a component in `data`, in order, as overrides of a recipe;
    return the block, `name` in it, and what is wrong.
    """
    root = Node({"data": Node({"name": Node(name, PLACE)}, PLACE)}, PLACE)
    problems: list[Problem] = []
    for override in overrides:
        option, equals, _ = override.partition("=")
        if not equals or option.strip() in ("", "name"):
            text = f"expected OPTION=VALUE, with an option of {whose}"
            problems.append(_wrong(override, text))
            continue
        root, wrong = apply_override(root, f"data.{override.strip()}")
        problems += wrong
    return plain(root.mapping["data"]), problems


def _wrong(address: str, text: str) -> Problem:
    return Problem(address, text, None, COMMAND_LINE if address else None)
