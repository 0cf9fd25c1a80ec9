"""The keys of a recipe as a table, and what is wrong with a text that uses others.

Components' own options are not in it: their constructors know them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, final

from rrgcore.errors import Problem, did_you_mean
from rrgcore.settings import (
    AugmentSettings,
    DataSettings,
    EvaluationSettings,
    OptimizerSettings,
    ScheduleSettings,
    StageSettings,
)
from rrgcore.yaml_loader import Node, Off, shown


@final
@dataclass(frozen=True, slots=True)
class Value:
    """A value of core's own; its type is checked by the settings that it fills."""

    switch: bool = False
    """Whether `off` is false here, rather than that nothing is said."""


@final
@dataclass(frozen=True, slots=True)
class Block:
    """A component: its name, or its name and options; keys that are core's own are listed."""

    keys: Mapping[str, "Place"] = field(default_factory=dict)
    default: str | None = None
    """The component that it is when it has no `name`."""
    keeps: bool = False
    """Whether the keys that are core's own stay when another component takes the place."""


@final
@dataclass(frozen=True, slots=True)
class Section:
    """A mapping whose keys are these and no others."""

    title: str
    keys: Mapping[str, "Place"]


@final
@dataclass(frozen=True, slots=True)
class Open:
    """A mapping to which a recipe adds entries of its own naming."""

    noun: str
    each: "Place"
    named_by_key: bool = False
    """Whether an entry without a `name` is named by its key."""
    dotted: bool = False
    """Whether keys name parts (`shared.joint`), so that the rest of an address is one key."""


Place = Value | Block | Section | Open

VALUE, BLOCK = Value(), Block()


def _settings(title: str, cls: Any, leave_out: tuple[str, ...] = (), **more: Place) -> Section:
    """Return a section with the fields of a settings class as keys."""
    keys = {f.name: VALUE for f in fields(cls) if f.name not in leave_out}
    return Section(title, {**keys, **more})


FRAGMENT = Section(
    "a recipe",
    {
        "about": VALUE,
        "seed": VALUE,
        "data": Block(
            {
                **{f.name: VALUE for f in fields(DataSettings)},
                "cache": Value(switch=True),
                "splits": Open("split", VALUE),
                "augment": _settings("`data.augment`", AugmentSettings),
                "annotations": Open("annotation", BLOCK),
            },
            keeps=True,
        ),
        "model": Section(
            "`model`",
            {
                "shared": Open("shared part", BLOCK),
                "encoder": BLOCK,
                "views": VALUE,
                "adapter": BLOCK,
                "decoder": BLOCK,
                "text_encoder": BLOCK,
                "freeze": VALUE,
            },
        ),
        "objectives": Open("objective", BLOCK, named_by_key=True),
        "stages": Open(
            "stage",
            _settings(
                "a stage",
                StageSettings,
                leave_out=("continues",),  # inferred from what the stage says
                optimizer=Block(
                    {"lr_of": Open("learning rate", VALUE, dotted=True)},
                    default=OptimizerSettings().name,
                ),
                schedule=Block(default=ScheduleSettings().name),
            ),
        ),
        # named here, not taken from `rrgcore.types.Generation`, which brings torch with it
        "generation": Section(
            "`generation`",
            dict.fromkeys(
                (
                    "beams",
                    "max_new_tokens",
                    "min_new_tokens",
                    "length_penalty",
                    "repetition_penalty",
                    "no_repeat_ngram",
                    "early_stopping",
                    "sample",
                    "temperature",
                    "top_k",
                    "top_p",
                    "seed",
                ),
                VALUE,
            ),
        ),
        "evaluation": _settings(
            "`evaluation`", EvaluationSettings, metrics=Open("metric", BLOCK, named_by_key=True)
        ),
        "init": Open("start", VALUE, dotted=True),
    },
)
"""What a recipe's own text may say: everything but `extends` and `variants`."""

VARIANT = Section("a variant", {**FRAGMENT.keys, "on": VALUE})
"""What a variant may say: a fragment, and the variants `on` top of which it is meant."""

RECIPE = Section(
    "a recipe",
    {
        "extends": VALUE,
        **FRAGMENT.keys,
        "variants": Open("variant", VARIANT),
    },
)
"""The whole grammar of a file."""


def below(place: Place, key: str) -> Place:
    """Return the place of a key; what the grammar does not know is a component's option."""
    match place:
        case Section() | Block():
            return place.keys.get(key, BLOCK)
        case Open():
            return place.each
        case Value():
            return VALUE


def check_grammar(node: Node, place: Place = RECIPE, address: str = "") -> Iterator[Problem]:
    """Find keys that do not exist and sections that are not mappings."""
    value = node.value
    if isinstance(value, Off):
        return
    if not isinstance(value, dict):
        if expected := _expected(place):
            yield _problem(node, address, f"expected {expected}, got {shown(value)}")
        return
    for key, child in value.items():
        where = f"{address}.{key}" if address else key
        if isinstance(place, Section) and key not in place.keys:
            yield _problem(child, where, unknown_key(place, key))
        elif "=" in key or ("." in key and not (isinstance(place, Open) and place.dotted)):
            yield _problem(
                child, where, f"'{key}' cannot be a key: addresses are made of keys, '.' and '='"
            )
        else:
            yield from check_grammar(child, below(place, key), where)


def unknown_key(section: Section, key: str) -> str:
    """Say that a section has no such key, and which it has."""
    return (
        f"{section.title} has no key '{key}'.{did_you_mean(key, section.keys)}\n"
        f"Keys: {', '.join(section.keys)}"
    )


def _expected(place: Place) -> str | None:
    """Return what should stand here, where only a mapping will do."""
    match place:
        case Section():
            return f"a mapping with keys such as {', '.join(list(place.keys)[:3])}"
        case Open():
            return f"a mapping of {place.noun}s by name"
        case _:
            return None


def _problem(node: Node, address: str, text: str) -> Problem:
    return Problem(address, text, node.origin.line, node.origin.file)
