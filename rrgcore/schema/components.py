"""Components as JSON Schema: their names, their options, references to shared parts."""

from collections.abc import Mapping
from dataclasses import MISSING
from inspect import cleandoc
from typing import Any, final

from rrgcore.errors import PluginError, RegistryError
from rrgcore.registry import Registry, base_of
from rrgcore.schema.values import OFF, described, either, option_text, or_off, value
from rrgcore.signatures import Option, options_of

REFERENCE: Mapping[str, Any] = {
    "type": "object",
    "properties": {"ref": {"type": "string", "description": "A part of model.shared, by name."}},
    "required": ["ref"],
    "additionalProperties": False,
}


@final
class Components:
    """Makes a definition for every component, and for every place that wants one."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.definitions: dict[str, Any] = {"reference": dict(REFERENCE)}
        self.more: dict[str, dict[str, Any]] = {}
        """Keys of core's own beside a kind's options."""
        self._options: dict[tuple[str, str], dict[str, Any]] = {}

    def classes(self, kind: str, wanted: type | None = None) -> dict[str, type]:
        """Return the classes of a kind by name; those that cannot be imported are left out."""
        found: dict[str, type] = {}
        for name in self.registry.names(kind):
            try:
                cls = self.registry.get(kind, name)
            except (PluginError, RegistryError):
                continue  # whoever names it is told
            if wanted is None or issubclass(cls, wanted):
                found[name] = cls
        return found

    def place(self, kind: str, wanted: type | None = None) -> dict[str, Any]:
        """Return the schema of a place that wants a component: a name, or a block."""
        wanted = None if wanted is base_of(kind) else wanted
        key = kind if wanted is None else f"{kind} that is {wanted.__name__}"
        if key not in self.definitions:
            self.definitions[key] = {}  # masks may hold masks
            classes = self.classes(kind, wanted)
            blocks = [{"$ref": self.block(kind, name)} for name in classes]
            adjusted = self._adjusted(kind, classes)
            self.definitions[key] = either(self.names(kind, classes), *blocks, adjusted)
        return {"$ref": f"#/$defs/{key}"}

    def names(self, kind: str, classes: Mapping[str, type]) -> dict[str, Any]:
        """Return the schema of a bare name."""
        summaries = [self.registry.entry(kind, name).component.summary for name in classes]
        return {"enum": list(classes), "enumDescriptions": summaries}

    def block(self, kind: str, name: str) -> str:
        """Return a reference to the schema of a component's block with its name."""
        key = f"{kind} {name}"
        if key not in self.definitions:
            self.definitions[key] = {}
            component = self.registry.entry(kind, name).component
            text = cleandoc(self.registry.get(kind, name).__doc__ or "")
            self.definitions[key] = {
                "title": f"{kind} {name}",
                "description": f"{component.summary}\n\n{text}".strip(),
                "type": "object",
                "properties": {
                    "name": {"const": name, "description": component.summary},
                    **self.options(kind, name),
                },
                "required": ["name"],
                "additionalProperties": False,
            }
        return f"#/$defs/{key}"

    def unnamed(self, kind: str, name: str) -> dict[str, Any]:
        """Return the schema of a block that is this component by the key it stands under."""
        return {
            "title": f"{kind} {name}",
            "description": self.registry.entry(kind, name).component.summary,
            "type": "object",
            "properties": self.options(kind, name),
            "additionalProperties": False,
        }

    def options(self, kind: str, name: str) -> dict[str, Any]:
        """Return the schemas of a component's options, and of core's own keys beside them."""
        if (kind, name) not in self._options:
            cls = self.registry.get(kind, name)
            own = {option.name: self._option(option, cls) for option in options_of(cls).values()}
            self._options[kind, name] = own
        return {**self._options[kind, name], **self.more.get(kind, {})}

    def _option(self, option: Option, cls: type) -> dict[str, Any]:
        text = option_text(option, cls)
        default = MISSING if option.required else option.default
        if option.component is not None:
            kind, wanted = option.component
            shapes = [self.place(kind, wanted), {"$ref": "#/$defs/reference"}, OFF]
            if default is None:
                shapes.append({"type": "null"})
            return described(either(*shapes), text, default)
        if option.is_tokenizer:
            return described({"type": "string"}, text or "A folder or hub name, or `words`.")
        return described(or_off(value(option.annotation)), text, default)

    def _adjusted(self, kind: str, classes: Mapping[str, type]) -> dict[str, Any]:
        """Return the schema of a block without a name: it adjusts the one that it meets, whichever
        of these that is.
        """
        shapes: dict[str, list[dict[str, Any]]] = {}
        for name in classes:
            for key, schema in self.options(kind, name).items():
                bare = {k: v for k, v in schema.items() if k not in ("default", "description")}
                shapes.setdefault(key, [])
                if bare not in shapes[key]:
                    shapes[key].append(bare)
        return {
            "title": f"{kind}, adjusted",
            "type": "object",
            "properties": {
                key: {} if {} in each else either(*each) for key, each in shapes.items()
            },
            "not": {"required": ["name"]},
            "additionalProperties": False,
        }
