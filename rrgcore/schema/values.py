"""Annotations and defaults as JSON Schema, and what docstrings say of them."""

import ast
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from itertools import pairwise
from textwrap import dedent
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rrgcore.signatures import WIRING, Option

OFF: Mapping[str, Any] = {"const": "off"}
PLAIN: Mapping[Any, str] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    NoneType: "null",
}


def value(annotation: Any) -> dict[str, Any]:
    """Return the schema of a plain value; of what is none, that anything may stand there."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        return {"type": PLAIN[annotation]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        # of torch's arguments some may be tensors, which no recipe can write
        members = [each for each in map(value, arguments) if each]
        return either(*members) if members else {}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": value(arguments[1])}
    if origin is tuple and arguments[-1:] != (...,):
        items = [value(each) for each in arguments]
        count = len(items)
        return {"type": "array", "prefixItems": items, "minItems": count, "maxItems": count}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": value(arguments[0])}
    return {}


def either(*schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema for what fits one of several, those of several levels made one."""
    flat: list[Mapping[str, Any]] = []
    for each in schemas:
        flat += each["anyOf"] if each.keys() == {"anyOf"} else [each]
    unique = [each for number, each in enumerate(flat) if each not in flat[:number]]
    return dict(unique[0]) if len(unique) == 1 else {"anyOf": unique}


def or_off(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that `off` fits too, which takes an entry away."""
    if not schema or schema.get("type") == "string":
        return dict(schema)
    return either(schema, OFF)


def described(
    schema: Mapping[str, Any], description: str, default: Any = MISSING
) -> dict[str, Any]:
    """Return a schema with what an editor shows beside it."""
    found = {"description": description} if description else {}
    if default is not MISSING and (plain := _plain(default)) is not MISSING:
        found["default"] = plain
    return {**found, **schema}


def settings(cls: Any, leave_out: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the schemas of a settings class's fields, by name."""
    hints, docs = get_type_hints(cls), field_docs(cls)
    found: dict[str, dict[str, Any]] = {}
    for field in fields(cls):
        if field.name not in leave_out:
            made = field.default_factory
            default = field.default if made is MISSING else made()
            schema = or_off(value(hints[field.name]))
            found[field.name] = described(schema, docs.get(field.name, ""), default)
    return found


def option_text(option: Option, cls: type) -> str:
    """Return what is known of an option: the sentences of its class that name it, what fills it."""
    text = (cls.__doc__ or "") and inspect.cleandoc(cls.__doc__ or "")
    sentences = re.split(r"(?<=[.;:])\s+(?=[A-Z`])", " ".join(text.split()))
    named = [s for s in sentences if f"`{option.name}`" in s or f"`{option.name}:" in s]
    found = " ".join(named)[:600]
    if option.wired:
        found = f"{found} Filled in from {WIRING[option.name]} unless said.".strip()
    return found or option.expected


@cache
def field_docs(cls: type) -> Mapping[str, str]:
    """Return the strings that stand below a class's fields."""
    tree = ast.parse(dedent(inspect.getsource(cls)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        before.target.id: " ".join(after.value.value.split())
        for before, after in pairwise(body)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def _plain(default: Any) -> Any:
    """Return a default as JSON has it; MISSING where it is none."""
    if default is None or isinstance(default, bool | int | float | str):
        return default
    if isinstance(default, tuple | list):
        items = [_plain(each) for each in default]
        return MISSING if MISSING in items else items
    if isinstance(default, Mapping) and not default:
        return {}
    return MISSING
