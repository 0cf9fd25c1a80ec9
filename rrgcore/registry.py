"""Components as data: declared in a list, imported at first use, found by kind and name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import cast, final

from rrgcore.errors import PluginError, RegistryError, did_you_mean

KINDS: Mapping[str, str] = {
    "encoder": "rrgcore.interfaces:VisualEncoder",
    "adapter": "rrgcore.interfaces:Adapter",
    "objective": "rrgcore.interfaces:AlignmentObjective",
    "masking": "rrgcore.interfaces:MaskingStrategy",
    "decoder": "rrgcore.interfaces:Decoder",
    "part": "rrgcore.interfaces:Part",
    "dataset": "rrgcore.supply:Dataset",
    "source": "rrgcore.sources:Source",
    "metric": "rrgcore.scoring:Metric",
    "published": "rrgcore.scoring.published:Published",
    "annotator": "rrgcore.supply:Annotator",
    "figure": "rrgcore.insight.figure:Figure",
}
"""Each kind and where its abstract class is; those of scores and data import no torch."""


def base_of(kind: str) -> type:
    """Import the abstract class of a kind."""
    module, _, name = KINDS[kind].partition(":")
    return cast(type, getattr(import_module(module), name))


@final
@dataclass(frozen=True, slots=True)
class Component:
    """A declaration: what a plugin offers, and where it is to be imported from."""

    kind: str
    name: str
    target: str
    summary: str


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A component, and the plugin that offers it."""

    component: Component
    plugin: str


@final
class Registry:
    """All components by kind and name; refuses duplicates, imports nothing until asked."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._frozen = False

    def add(self, component: Component, *, plugin: str) -> None:
        """Register a component; raises RegistryError for a bad kind, a bad target, a taken name."""
        assert not self._frozen, "the registry is frozen: components are added by plugins only"
        kind, name = component.kind, component.name
        if kind not in KINDS:
            raise RegistryError(
                f"plugin '{plugin}' offers '{name}' as a '{kind}', which is not a kind."
                f"{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}"
            )
        module, _, attribute = component.target.partition(":")
        if not module or not attribute:
            raise RegistryError(
                f"plugin '{plugin}' offers {kind} '{name}' with the target '{component.target}'; "
                "expected 'package.module:Class'"
            )
        if (taken := self._entries.get((kind, name))) is not None:
            raise RegistryError(
                f"two components are called {kind} '{name}': {taken.component.target} "
                f"(plugin '{taken.plugin}') and {component.target} (plugin '{plugin}'). "
                "Rename one, or leave a plugin out with --no-plugin NAME"
            )
        self._entries[kind, name] = Entry(component, plugin)

    def freeze(self) -> None:
        """Refuse further components: after discovery nothing appears from nowhere."""
        self._frozen = True

    def entry(self, kind: str, name: str) -> Entry:
        """Look up a declaration, importing nothing; raises RegistryError with the nearest names."""
        assert kind in KINDS, f"'{kind}' is not a kind"
        if (entry := self._entries.get((kind, name))) is not None:
            return entry
        known = {entry.component.name: entry.plugin for entry in self.entries(kind)}
        listing = ", ".join(f"{name} ({plugin})" for name, plugin in known.items()) or "none"
        raise RegistryError(
            f"no {kind} called '{name}'.{did_you_mean(name, known)}\nKnown: {listing}"
        )

    def get(self, kind: str, name: str) -> type:
        """Import a component's class; raises RegistryError where it is absent or of the wrong base.

        Where its module cannot be imported that is a PluginError, chained to what it raised.
        """
        entry = self.entry(kind, name)
        component = entry.component
        module, _, attribute = component.target.partition(":")
        try:
            cls = getattr(import_module(module), attribute, None)
        except Exception as error:
            raise PluginError(
                f"{kind} '{name}' of plugin '{entry.plugin}' cannot be imported from "
                f"{component.target}: {type(error).__name__}: {error}\n"
                f"Mend or install what is missing, or run without it: --no-plugin {entry.plugin}"
            ) from error
        if cls is None:
            raise RegistryError(
                f"{kind} '{name}' is declared as {component.target}, "
                f"but '{module}' has no '{attribute}'"
            )
        base = base_of(kind)
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise RegistryError(
                f"{kind} '{name}' is declared as {component.target}, which is not a {base.__name__}"
            )
        return cls

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """Iterate over declarations, by kind in the order of KINDS, then by name."""
        order = list(KINDS)
        for (k, _), entry in sorted(
            self._entries.items(), key=lambda item: (order.index(item[0][0]), item[0][1])
        ):
            if kind is None or k == kind:
                yield entry

    def names(self, kind: str) -> list[str]:
        """List the names of a kind."""
        return [entry.component.name for entry in self.entries(kind)]
