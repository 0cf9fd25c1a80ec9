"""How components are found: one hook, our own discovery, and plugin files for tonight's idea."""

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, final, runtime_checkable

import pluggy

from rrgcore.errors import PluginError, did_you_mean
from rrgcore.registry import Component, Registry

GROUP = "rrg.plugins"
API_VERSION = 1
"""A plugin module may state the interface it was written for as `RRG_API = 1`."""

hookspec = pluggy.HookspecMarker("rrg")
hookimpl = pluggy.HookimplMarker("rrg")


@runtime_checkable
class Point(Protocol):
    """An entry point: the standard library's, or its backport's, which takes over once any package
    imports it.
    """

    @property
    def name(self) -> str:
        """What the plugin is called."""

    @property
    def value(self) -> str:
        """Which module it is."""

    @property
    def dist(self) -> Any:
        """Which distribution brought it, if that is known."""

    def load(self) -> Any:
        """Import it."""


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
    """What was found under a name, and where: in a distribution, or in a file."""

    name: str
    origin: str
    version: str
    """ "file" for a file."""
    module: ModuleType | None = None
    components: tuple[Component, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether it was left out with --no-plugin."""
        return self.module is None

    def __str__(self) -> str:
        return f"plugin '{self.name}' (from {self.origin} {self.version})"


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
    points: Iterable[Point] | None = None,
) -> Discovered:
    """Find every plugin (entry points, then files) and register what they offer.

    pluggy's own loader skips a second plugin of one name, and lets a failing import pass
    anonymously; here both are a PluginError that names the plugin and the way to run without it.
    """
    found = _unique(tuple(entry_points(group=GROUP)) if points is None else points)
    for name in blocked:
        if name not in found:
            raise PluginError(
                f"--no-plugin {name}: no plugin is called '{name}'.{did_you_mean(name, found)} "
                f"Plugins: {', '.join(found) or 'none'}"
            )
    manager = pluggy.PluginManager("rrg")
    manager.add_hookspecs(Hooks)
    registry = Registry()
    plugins: list[Plugin] = []
    for name, point in found.items():
        plugin = Plugin(name, *_distribution(point))
        if name not in blocked:
            plugin = _register(manager, registry, replace(plugin, module=_load(point, plugin)))
        plugins.append(plugin)
    for path in map(Path, files):
        for other in plugins:
            if other.name == path.stem and not other.blocked:
                raise PluginError(
                    f"--plugin {path}: there is a {other} already. Rename the file, or run without "
                    f"the other: {_way_out(other)}"
                )
        plugin = Plugin(path.stem, str(path), "file")
        plugins.append(_register(manager, registry, replace(plugin, module=_load_file(path))))
    registry.freeze()
    return Discovered(registry, tuple(plugins))


def _unique(points: Iterable[Point]) -> dict[str, Point]:
    found: dict[str, Point] = {}
    for point in sorted(points, key=lambda point: point.name):
        other = found.setdefault(point.name, point)
        # an editable install may list one twice (setuptools #3649): same target, no clash
        if other.value != point.value:
            raise PluginError(
                f"two plugins are called '{point.name}': "
                f"{other.value} from {_distribution(other)[0]} "
                f"and {point.value} from {_distribution(point)[0]}. Uninstall one of the two"
            )
    return found


def _distribution(point: Point) -> tuple[str, str]:
    if point.dist is None:
        return "an unknown distribution", "?"
    return point.dist.name, point.dist.version


def _way_out(plugin: Plugin) -> str:
    if plugin.version == "file":
        return f"leave out --plugin {plugin.origin}"
    return f"--no-plugin {plugin.name}"


def _load(point: Point, plugin: Plugin) -> ModuleType:
    try:
        module = point.load()
    except Exception as error:
        raise PluginError(
            f"{plugin} failed to import {point.value}: {type(error).__name__}: {error}\n"
            f"Mend or uninstall it, or run without it: {_way_out(plugin)}"
        ) from error
    if not isinstance(module, ModuleType):
        raise PluginError(
            f"{plugin} has the entry point {point.value}, which is a {type(module).__name__}; "
            f"expected a module, without ':'\nRun without it: {_way_out(plugin)}"
        )
    return module


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"--plugin {path}: no such file")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise PluginError(
            f"--plugin {path}: expected a Python file whose name can be imported, like my_idea.py"
        )
    _check_name_is_free(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a .py file has a spec"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that the targets it declares can be imported
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[path.stem]
        raise PluginError(
            f"plugin file {path} failed to import: {type(error).__name__}: {error}"
        ) from error
    return module


def _check_name_is_free(path: Path) -> None:
    """Refuse a file that would take a module's place: `random.py` would break half of Python."""
    try:
        taken = importlib.util.find_spec(path.stem)
    except ValueError as error:
        raise PluginError(f"--plugin {path}: Python itself uses this name. Rename it") from error
    if taken is None:
        return
    if taken.origin is None or Path(taken.origin).resolve() != path.resolve():
        raise PluginError(
            f"--plugin {path}: a Python module is called '{path.stem}' already "
            f"({taken.origin or 'a folder'}). Rename the file"
        )


def _register(manager: pluggy.PluginManager, registry: Registry, plugin: Plugin) -> Plugin:
    written_for = getattr(plugin.module, "RRG_API", API_VERSION)
    if written_for != API_VERSION:
        raise PluginError(
            f"{plugin} was written for plugin interface {written_for}; this rrg has {API_VERSION}. "
            f"Install a version that fits, or run without it: {_way_out(plugin)}"
        )
    try:
        manager.register(plugin.module, name=plugin.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(
            f"{plugin} is not a plugin of this interface: {error}\n"
            f"Run without it: {_way_out(plugin)}"
        ) from error
    components = _components(manager, plugin)
    for component in components:
        registry.add(component, plugin=plugin.name)
    return replace(plugin, components=components)


def _components(manager: pluggy.PluginManager, plugin: Plugin) -> tuple[Component, ...]:
    """Call one plugin's hook; a plugin that offers nothing has made a mistake, and is told so."""
    if not manager.get_hookcallers(plugin.module):
        raise PluginError(
            f"{plugin} offers nothing: it has no function rrg_components marked with @hookimpl\n"
            f"Run without it: {_way_out(plugin)}"
        )
    others = [other for other in manager.get_plugins() if other is not plugin.module]
    try:
        results = manager.subset_hook_caller("rrg_components", others)()
        components = tuple(component for result in results for component in result)
    except Exception as error:
        raise PluginError(
            f"rrg_components of {plugin} failed: {type(error).__name__}: {error}\n"
            f"Run without it: {_way_out(plugin)}"
        ) from error
    strange = [component for component in components if not isinstance(component, Component)]
    if strange or not results:  # pluggy drops None, which a forgotten `return` gives
        raise PluginError(
            f"rrg_components of {plugin} returned {strange[0] if strange else None!r}; "
            f"expected a list of rrgcore.Component\nRun without it: {_way_out(plugin)}"
        )
    return components
