"""How components are found: one hook, our own discovery, and plugin files for tonight's idea."""

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import final

import pluggy

from rrgcore.errors import PluginError, RegistryError, did_you_mean
from rrgcore.registry import Component, Registry

GROUP = "rrg.plugins"
API_VERSION = 1
"""A plugin module may state the interface it was written for as `RRG_API = 1`."""

hookspec = pluggy.HookspecMarker("rrg")
hookimpl = pluggy.HookimplMarker("rrg")


@final
class Hooks:
    """The one hook that a plugin implements."""

    @hookspec
    def rrg_components(self) -> Iterable[Component]:
        """Return the components this plugin offers."""
        raise AssertionError("a specification is never called")


@final
@dataclass(frozen=True, slots=True)
class Plugin:
    """What was found under a name, and where."""

    name: str
    origin: str
    version: str
    module: ModuleType | None
    components: tuple[Component, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether it was left out with --no-plugin."""
        return self.module is None


@final
@dataclass(frozen=True, slots=True)
class Discovered:
    """The frozen registry, and the plugins that filled it."""

    registry: Registry
    plugins: tuple[Plugin, ...] = field(default=())


def discover(
    *,
    files: Sequence[str | Path] = (),
    blocked: Sequence[str] = (),
    points: Iterable[EntryPoint] | None = None,
) -> Discovered:
    """Find every plugin (entry points, then files) and register what they offer.

    pluggy's own loader skips a second plugin of one name and lets a failing import pass anonymously;
    here both are a PluginError that names the plugin and the way to run without it.
    """
    found = _unique(entry_points(group=GROUP) if points is None else points)
    names = [*found, *(Path(file).stem for file in files)]
    for name in blocked:
        if name not in names:
            raise PluginError(
                f"--no-plugin {name}: no plugin is called '{name}'.{did_you_mean(name, names)} "
                f"Plugins: {', '.join(names)}"
            )
    manager = pluggy.PluginManager("rrg")
    manager.add_hookspecs(Hooks)
    registry = Registry()
    plugins: list[Plugin] = []
    for name, point in found.items():
        origin, version = _distribution(point)
        if name in blocked:
            plugins.append(Plugin(name, origin, version, None))
            continue
        plugins.append(
            _register(manager, registry, name, _load(point, origin, version), origin, version)
        )
    for file in files:
        path = Path(file)
        if path.stem in found:
            raise PluginError(
                f"--plugin {file}: an installed plugin is called '{path.stem}' already "
                f"(from {_distribution(found[path.stem])[0]}). Rename the file, or use --no-plugin"
            )
        plugins.append(_register(manager, registry, path.stem, _load_file(path), str(path), "file"))
    registry.freeze()
    return Discovered(registry, tuple(plugins))


def _unique(points: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in sorted(points, key=lambda point: point.name):
        other = found.setdefault(point.name, point)
        # an editable install may list one entry point twice (setuptools #3649): same target, no clash
        if other.value != point.value:
            raise PluginError(
                f"two plugins are called '{point.name}': {other.value} from {_distribution(other)[0]} "
                f"and {point.value} from {_distribution(point)[0]}. Uninstall one of the two"
            )
    return found


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("an unknown distribution", "?")


def _load(point: EntryPoint, origin: str, version: str) -> ModuleType:
    try:
        module = point.load()
    except Exception as error:
        raise PluginError(
            f"plugin '{point.name}' ({point.value}, from {origin} {version}) failed to import: "
            f"{type(error).__name__}: {error}\n"
            f"Mend or uninstall it, or run without it: --no-plugin {point.name}"
        ) from error
    assert isinstance(module, ModuleType), (
        f"entry point {point.value} names something inside a module"
    )
    return module


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"--plugin {path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"--plugin {path}: not a Python file (expected a name ending in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that the targets it declares can be imported
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(
            f"plugin file {path} failed to import: {type(error).__name__}: {error}"
        ) from error
    return module


def _register(
    manager: pluggy.PluginManager,
    registry: Registry,
    name: str,
    module: ModuleType,
    origin: str,
    version: str,
) -> Plugin:
    written_for = getattr(module, "RRG_API", API_VERSION)
    if written_for != API_VERSION:
        raise PluginError(
            f"plugin '{name}' (from {origin} {version}) was written for plugin interface {written_for}; "
            f"this rrg has {API_VERSION}. Install a matching version of {origin}, or run without it: "
            f"--no-plugin {name}"
        )
    try:
        manager.register(module, name=name)
        manager.check_pending()
        implementations = manager.subset_hook_caller(
            "rrg_components", [other for other in manager.get_plugins() if other is not module]
        )
        components = tuple(component for result in implementations() for component in result)
    except (pluggy.PluginValidationError, TypeError) as error:
        raise PluginError(
            f"plugin '{name}' (from {origin} {version}) is not a plugin of this interface: {error}\n"
            f"Run without it: --no-plugin {name}"
        ) from error
    for component in components:
        if not isinstance(component, Component):
            raise RegistryError(
                f"plugin '{name}' returned {component!r} from rrg_components; expected rrgcore.Component"
            )
        registry.add(component, plugin=name)
    return Plugin(name, origin, version, module, components)
