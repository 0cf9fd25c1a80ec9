"""A component, wherever a recipe has one: its name, its options, references to shared parts."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, final

from rrgcore.check.reader import Reader
from rrgcore.errors import PluginError, RegistryError, a, did_you_mean
from rrgcore.interfaces import Part
from rrgcore.plan import Block, Ref
from rrgcore.registry import Registry, base_of
from rrgcore.signatures import Option, has_option, options_of
from rrgcore.yaml_loader import shown


@final
class Components:
    """Reads components, among them the parts of `model.shared`, which others refer to."""

    def __init__(self, reader: Reader, registry: Registry) -> None:
        self.reader = reader
        self.registry = registry
        self.shared: dict[str, Block] = {}

    def read_shared(self, value: Any) -> None:
        """Read `model.shared`, before anything that may refer to it."""
        for key, item in self.reader.mapping(value, "model.shared").items():
            block = self._component("part", item, f"model.shared.{key}", Part)
            if isinstance(block, Block):
                self.shared[key] = block
        order = list(self.shared)
        for key, block in self.shared.items():
            for other in block.refs():
                if other not in order or order.index(other) >= order.index(key):
                    self.reader.problem(
                        f"model.shared.{key}", f"refers to '{other}', which must stand before it"
                    )

    def block(
        self, kind: str, value: Any, address: str, default: str | None = None
    ) -> Block | None:
        """Read a component that is owned where it stands; a reference is refused.

        `default` is its name where the block gives none.
        """
        wanted = base_of(kind)
        found = self._component(kind, value, address, wanted, default)
        if isinstance(found, Ref):
            self.reader.problem(
                address, f"expected {a(kind)} of its own, got a reference to a shared part"
            )
            return None
        return found

    def those_that_are(self, kind: str, wanted: type) -> str:
        """List the names of a kind whose classes are also something else.

        One that cannot be imported is left out: whoever names it is told.
        """
        names: list[str] = []
        for name in self.registry.names(kind):
            with suppress(PluginError, RegistryError):
                if issubclass(self.registry.get(kind, name), wanted):
                    names.append(name)
        return ", ".join(names) or "none"

    def _component(
        self, kind: str, value: Any, address: str, wanted: type, default: str | None = None
    ) -> Block | Ref | None:
        if isinstance(value, Mapping) and "ref" in value:
            return self._reference(value, address, wanted)
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            self.reader.problem(
                address,
                f"expected the name of {a(kind)}, or a block `{{name: …, option: …}}`, "
                f"got {shown(value)}",
            )
            return None
        name = value.get("name", default)
        if not isinstance(name, str):
            known = ", ".join(self.registry.names(kind))
            self.reader.problem(address, f"needs a `name`: which {kind}?\nKnown: {known}")
            return None
        try:
            cls = self.registry.get(kind, name)
        except RegistryError as error:
            self.reader.problem(f"{address}.name" if "name" in value else address, str(error))
            return None
        if not issubclass(cls, wanted):
            self.reader.problem(
                address,
                f"{kind} '{name}' is no {wanted.__name__}. "
                f"Those that are: {self.those_that_are(kind, wanted)}",
            )
            return None
        given = {key: item for key, item in value.items() if key != "name"}
        return Block(kind, name, cls, self._options(kind, name, cls, given, address), address)

    def _reference(self, value: Mapping[str, Any], address: str, wanted: type) -> Ref | None:
        key = value["ref"]
        if not isinstance(key, str):
            self.reader.problem(
                f"{address}.ref", f"expected the name of a part of model.shared, got {shown(key)}"
            )
            return None
        if len(value) > 1:
            others = ", ".join(k for k in value if k != "ref")
            self.reader.problem(
                address,
                f"a reference has no options of its own, got {others}; "
                f"set them at model.shared.{key}",
            )
        if key not in self.shared:
            # a part of model.shared that has problems itself is reported there
            if key not in (self.reader.recipe.values.get("model", {}).get("shared") or {}):
                self.reader.problem(
                    f"{address}.ref",
                    f"model.shared has no '{key}'.{did_you_mean(key, self.shared)}\n"
                    f"Shared parts: {', '.join(self.shared) or 'none'}",
                )
            return None
        if not issubclass(self.shared[key].cls, wanted):
            self.reader.problem(
                f"{address}.ref",
                f"model.shared.{key} is a {self.shared[key].cls.__name__}, "
                f"expected a {wanted.__name__}",
            )
        return Ref(key)

    def _options(
        self, kind: str, name: str, cls: type, given: Mapping[str, Any], address: str
    ) -> dict[str, Any]:
        known = options_of(cls)
        checked: dict[str, Any] = {}
        for key in given:
            if key not in known:
                self.reader.problem(
                    f"{address}.{key}",
                    f"{kind} '{name}' has no option '{key}'.{did_you_mean(key, known)}\n"
                    f"Options: {has_option(known.values())}",
                )
        for option in known.values():
            where = f"{address}.{option.name}"
            if option.name in given:
                checked[option.name] = self._option(option, given[option.name], where)
            elif option.required and not option.wired:
                self.reader.problem(
                    address,
                    f"{kind} '{name}' needs the option '{option.name}': {option.expected}",
                )
        return checked

    def _option(self, option: Option, value: Any, address: str) -> Any:
        if option.component is not None and value is not None:
            kind, wanted = option.component
            return self._component(kind, value, address, wanted)
        if option.is_tokenizer:
            name = self.reader.value(str, value, address)
            return self.reader.path(name, address) if isinstance(name, str) else name
        if isinstance(value, str):
            value = self.reader.path(value, address)
        return self.reader.value(option.annotation, value, address)
