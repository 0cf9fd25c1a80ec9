"""A JSON Schema (draft 2020-12) of recipes, from the components that are registered: `rrg schema`.

It is for editors: what completes and underlines while one types. `rrg check` stays the judge: a
schema cannot know what a fragment meets when it is merged, so here every option of a component may
be left out, and a block without a name may have the options of any component of its kind.
"""

from collections.abc import Mapping
from typing import Any

from rrgcore.installed import list_recipes
from rrgcore.registry import Registry
from rrgcore.schema.components import Components
from rrgcore.schema.sections import fragment

Schema = Mapping[str, Any]


def make_schema(registry: Registry) -> dict[str, Any]:
    """Return the schema of a recipe file; imports every component."""
    components = Components(registry)
    keys = fragment(components)
    on = {
        "description": "The variants on top of which this one is meant.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }
    components.definitions["fragment"] = {
        "title": "a variant",
        "type": "object",
        "properties": {**keys, "on": on},
        "additionalProperties": False,
    }
    variant = {"anyOf": [{"$ref": "#/$defs/fragment"}, {"const": "off"}]}
    extends = {
        "description": "The one recipe that this one starts from: a file beside it, or rrg's own.",
        "anyOf": [{"enum": list(list_recipes())}, {"type": "string"}],
    }
    variants = {
        "description": "Fragments of a recipe by name: rrg run RECIPE --variant NAME.",
        "type": "object",
        "additionalProperties": variant,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a recipe of rrg",
        "type": "object",
        "properties": {"extends": extends, **keys, "variants": variants},
        "additionalProperties": False,
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": ["data", "model", "objectives", "stages"]},
        "$defs": components.definitions,
    }


__all__ = ["make_schema"]
