"""What the shell completes: by what an argument is called, in every command. Imports no torch.

A command that names an argument as others do (RECIPE, RUN, --variant) gets its completion with the
name. Nothing that is wrong is told here: the command itself will.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from rrgcore.errors import UserError
from rrgcore.plugins import Discovered, discover
from rrgcore.registry import KINDS
from rrgcore.tracker_names import TRACKERS

Found = list[tuple[str, str]]
"""Words, each with what it is."""
DEEPEST: Final = 5
"""Folders below the one you are in, where runs are looked for: runs/ablations/KIA/ROW/SEED."""
MOST: Final = 5_000
"""Folders that are looked at."""


def add_completion(app: typer.Typer) -> None:
    """Give every argument and option of an app that has a known name its completion."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_completion(group.typer_instance)
    for command in app.registered_commands:
        assert command.callback is not None, "a command has a function"
        hints = get_type_hints(command.callback, include_extras=True)
        for name, hint in hints.items():
            for info in getattr(hint, "__metadata__", ()):
                completer = _completer(name, info)
                if completer is not None and info.autocompletion is None:
                    info.autocompletion = completer


def _completer(name: str, info: Any) -> Callable[..., Found] | None:
    if isinstance(info, OptionInfo):
        # the first name of an option stands where its default would, until typer has read it
        words = (info.metavar, info.default, *(info.param_decls or ()), f"--{name}")
        return next((OPTIONS[word] for word in map(str, words) if word in OPTIONS), None)
    if isinstance(info, ArgumentInfo):
        return ARGUMENTS.get(info.metavar or name)
    return None


# ---- what there is --------------------------------------------------------------------------


def recipes(ctx: Any, incomplete: str) -> Found:
    """Complete recipes: those that came with rrg, and files."""
    from rrgcore.installed import list_recipes

    names = [(name, "a recipe of rrg's own") for name in list_recipes()]
    return _begin(incomplete, [*names, *_files(incomplete, ".yaml", "a recipe file")])


def recipes_and_tables(ctx: Any, incomplete: str) -> Found:
    """Complete recipes, and tables of their variants."""
    from rrgcore.installed import list_ablations

    names = [(key.rpartition("/")[2], "a table of rrg's own") for key in list_ablations()]
    return recipes(ctx, incomplete) + _begin(incomplete, names)


def rows(ctx: Any, incomplete: str) -> Found:
    """Complete a list of variants: what stands behind the last comma or plus."""
    before = incomplete[: max(incomplete.rfind(","), incomplete.rfind("+")) + 1]
    found = variants(ctx, incomplete[len(before) :])
    return [(f"{before}{name}", what) for name, what in found]


def variants(ctx: Any, incomplete: str) -> Found:
    """Complete variants of the recipe on the line."""
    from rrgcore.recipe import load_recipe

    said = ctx.params.get("variant") or ()
    found: list[tuple[str, str]] = []
    for name in _recipes_on(ctx):
        try:
            available = load_recipe(name).available
        except UserError:
            continue
        found += [(each, f"a variant of {name}") for each in available if each not in said]
    return _begin(incomplete, found)


def addresses(ctx: Any, incomplete: str) -> Found:
    """Complete addresses of the recipe on the line; after `=`, what else may stand there."""
    from rrgcore.recipe import load_recipe

    names = _recipes_on(ctx)
    try:
        values = load_recipe(names[0], variants=ctx.params.get("variant") or ()).values
    except (UserError, IndexError):
        return []
    found = list(_addresses(values, ""))
    address, has_value, _ = incomplete.partition("=")
    if not has_value:
        # no more than the next name: an address is typed one name at a time
        depth = incomplete.count(".") + 1
        next_names = {
            ".".join(a.split(".")[:depth]) + ("." if a.count(".") >= depth else "=")
            for a, _ in found
        }
        return _begin(incomplete, [(each, "") for each in sorted(next_names)])
    if not address:  # bash takes words apart at `=`
        return []
    kind = _kind_of(address)
    known = [(f"{address}={name}", what) for name, what in _components(ctx, kind)] if kind else []
    return _begin(incomplete, [*known, (f"{address}=off", "take it away")])


def recipes_and_addresses(ctx: Any, incomplete: str) -> Found:
    """Complete either."""
    return recipes(ctx, incomplete) + addresses(ctx, incomplete)


def runs(ctx: Any, incomplete: str) -> Found:
    """Complete run folders below the one you are in, or below the one that was typed."""
    typed = os.path.dirname(incomplete)
    found = [(str(path), "a run") for path in _runs(Path(typed or "."))]
    return _begin(incomplete, found)


def runs_and_files(ctx: Any, incomplete: str) -> Found:
    """Complete run folders, and files of predictions."""
    files = [
        entry
        for suffix in (".jsonl", ".json", ".csv", ".tsv", ".txt")
        for entry in _files(incomplete, suffix, "a file of reports")
    ]
    return runs(ctx, incomplete) + _begin(incomplete, files)


def kinds(ctx: Any, incomplete: str) -> Found:
    """Complete kinds of component, and what else is listed."""
    return _begin(incomplete, [(kind, "") for kind in (*KINDS, "recipe", "ablation")])


def plugins(ctx: Any, incomplete: str) -> Found:
    """Complete installed plugins."""
    found = [(plugin.name, str(plugin.origin)) for plugin in _discovered(ctx).plugins]
    return _begin(incomplete, found)


def metrics(ctx: Any, incomplete: str) -> Found:
    """Complete metrics, which protocols are."""
    return _begin(incomplete, _components(ctx, "metric"))


def metric_options(ctx: Any, incomplete: str) -> Found:
    """Complete METRIC. of METRIC.OPTION=VALUE."""
    return _begin(incomplete, [(f"{name}.", what) for name, what in _components(ctx, "metric")])


def annotator_options(ctx: Any, incomplete: str) -> Found:
    """Complete ANNOTATOR. of ANNOTATOR.OPTION=VALUE."""
    return _begin(incomplete, [(f"{name}.", what) for name, what in _components(ctx, "annotator")])


def labelers(ctx: Any, incomplete: str) -> Found:
    """Complete annotators, and none."""
    return _begin(incomplete, [*_components(ctx, "annotator"), ("none", "leave it out")])


def annotators(ctx: Any, incomplete: str) -> Found:
    """Complete annotators."""
    return _begin(incomplete, _components(ctx, "annotator"))


def datasets(ctx: Any, incomplete: str) -> Found:
    """Complete data sets."""
    return _begin(incomplete, _components(ctx, "dataset"))


def datasets_and_recipes(ctx: Any, incomplete: str) -> Found:
    """Complete data sets, and recipes, whose data is meant."""
    return datasets(ctx, incomplete) + recipes(ctx, incomplete)


def figures(ctx: Any, incomplete: str) -> Found:
    """Complete figures."""
    return _begin(incomplete, _components(ctx, "figure"))


def sources(ctx: Any, incomplete: str) -> Found:
    """Complete sources."""
    return _begin(incomplete, _components(ctx, "source"))


def splits(ctx: Any, incomplete: str) -> Found:
    """Complete splits."""
    return _begin(incomplete, [(split, "") for split in ("train", "val", "test")])


def trackers(ctx: Any, incomplete: str) -> Found:
    """Complete trackers."""
    return _begin(incomplete, [(name, "") for name in TRACKERS])


ARGUMENTS: Final[Mapping[str, Callable[..., Found]]] = {
    "RECIPE": recipes,
    "[RECIPE]": recipes,
    "RECIPE|TABLE": recipes_and_tables,
    "RECIPE|ADDRESS=VALUE": recipes_and_addresses,
    "ADDRESS=VALUE": addresses,
    "RUN": runs,
    "RUN_OR_FILE": runs_and_files,
    "RUN_OR_FILE…": runs_and_files,
    "KIND": kinds,
    "kind": kinds,
    "DATASET": datasets,
    "DATASET|RECIPE": datasets_and_recipes,
    "SOURCE": sources,
    "ANNOTATOR": annotators,
}
"""By metavar, or by name where there is none."""
OPTIONS: Final[Mapping[str, Callable[..., Found]]] = {
    "--variant": variants,
    "--variants": rows,
    "--base": rows,
    "--no-plugin": plugins,
    "--protocol": metrics,
    "FIGURE": figures,
    "METRIC.OPTION=VALUE": metric_options,
    "ANNOTATOR.OPTION=VALUE": annotator_options,
    "--labeler": labelers,
    "--split": splits,
    "--track": trackers,
}
"""By what an option is called, or its value."""


# ---- helpers --------------------------------------------------------------------------------


def _begin(incomplete: str, found: Iterable[tuple[str, str]]) -> Found:
    return [(name, what) for name, what in found if name.startswith(incomplete)]


def _discovered(ctx: Any) -> Discovered:
    """Discover plugins as the command would; none where one fails to load."""
    try:
        return discover(
            files=ctx.params.get("plugin") or (), blocked=ctx.params.get("no_plugin") or ()
        )
    except UserError:
        from rrgcore.registry import Registry

        return Discovered(Registry())


def _components(ctx: Any, kind: str) -> Found:
    entries = _discovered(ctx).registry.entries(kind)
    return [(entry.component.name, entry.component.summary) for entry in entries]


def _recipes_on(ctx: Any) -> list[str]:
    """Return the recipes that are on the line already.

    Click knows none of them where the line ends in an option whose value is being typed.
    """
    said = ctx.params.get("recipe") or ctx.params.get("recipes") or ctx.params.get("dataset")
    if said:
        words = [said] if isinstance(said, str) else [str(word) for word in said]
        return [word for word in words if "=" not in word]
    from rrgcore.installed import list_recipes

    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or ""
    known = list_recipes()
    files = (word for word in line.split() if word.endswith(".yaml") and Path(word).is_file())
    return [*(word for word in line.split() if word in known), *files]


def _addresses(values: Any, above: str) -> Iterator[tuple[str, str]]:
    if not isinstance(values, Mapping) or not values:
        yield above, ""
        return
    for key, value in values.items():
        yield from _addresses(value, f"{above}.{key}" if above else str(key))


def _kind_of(address: str) -> str | None:
    """Return the kind of component that an address holds, where its place tells."""
    match address.removesuffix(".name").split("."):
        case ["data"]:
            return "dataset"
        case ["data", "annotations", _]:
            return "annotator"
        case ["model", "encoder" | "adapter" | "decoder" as slot]:
            return slot
        case ["model", "text_encoder"]:
            return "decoder"
        case ["model", "shared", _]:
            return "part"
        case ["objectives", _]:
            return "objective"
        case ["evaluation", "metrics", _]:
            return "metric"
        case [*_, "masking"]:
            return "masking"
    return None


def _files(incomplete: str, suffix: str, what: str) -> Found:
    """List files of an ending, and folders on the way, in the folder that was typed."""
    typed = os.path.dirname(incomplete)
    try:
        there = sorted(os.scandir(os.path.expanduser(typed) or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        (os.path.join(typed, entry.name), what)
        for entry in there
        if entry.name.endswith(suffix) and not entry.name.startswith(".") and entry.is_file()
    ]


def _runs(top: Path) -> Iterator[Path]:
    """Find run folders, the newest of a folder first; of a run no folder is looked into."""
    looked, level = 0, [top]
    for _ in range(DEEPEST):
        below: list[Path] = []
        for folder in level:
            looked += 1
            try:
                there = sorted((p for p in folder.iterdir() if p.is_dir()), reverse=True)
            except OSError:
                continue
            for path in there:
                if (path / "run.json").is_file():
                    yield path
                elif not path.name.startswith(".") and looked + len(below) < MOST:
                    below.append(path)
        level = below
