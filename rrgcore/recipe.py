"""Recipe files: found, read, and put together from `extends`, variants and overrides.

What comes out is a plain dict, with the file and line of every value. What the values mean is
`rrgcore.check`'s business; here only the grammar's own keys are known.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from rrgcore.errors import Problem, RecipeError, UserError, did_you_mean, shortened
from rrgcore.grammar import check_grammar
from rrgcore.installed import list_recipes
from rrgcore.merge import Merger, addresses, without
from rrgcore.overrides import apply_override
from rrgcore.yaml_loader import OFF, Node, Origin, dump_yaml, plain, read_yaml, shown

RUN_RECIPE = "recipe.yaml"
"""What a run's own recipe is called in its folder."""


@final
@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe with its variants and overrides applied."""

    name: str
    source: str
    """The path or name it was asked for by."""
    values: dict[str, Any]
    origins: dict[str, Origin]
    """For each address, where its value was said last."""
    variants: tuple[str, ...]
    overrides: tuple[str, ...]
    available: tuple[str, ...]
    """Every variant it offers, inherited ones first."""

    def origin(self, address: str) -> Origin | None:
        """Return where an address was said, or the nearest one above it."""
        while address:
            if (found := self.origins.get(address)) is not None:
                return found
            address = re.sub(r"(\[\d+\]|\.?[^.\[]*)$", "", address)
        return None


@final
@dataclass(frozen=True, slots=True)
class _Variant:
    """A fragment of one file's, and what was taken away where that file ended."""

    fragment: Node
    away: frozenset[tuple[str, ...]]


def load_recipe(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    variants: Sequence[str] = (),
    alone: bool = False,
) -> Recipe:
    """Read a recipe, by path or by packaged name, and apply variants and then overrides, in order.

    One that is read `alone`, as a run's is, may extend nothing. Raises RecipeError with everything
    that is wrong with its text, UserError where there is none.
    """
    source = str(path)
    found = find_recipe(source)
    files, problems = _family(found, source, alone=alone)
    known = {
        address
        for file in files
        for fragment in (file.body, *file.variants.values())
        for address in addresses(fragment)
    }
    merger = Merger(known)
    root = Node({}, Origin(source, None))
    offered: dict[str, list[_Variant]] = {}
    for file in reversed(files):
        root = merger.merge(root, file.body)
        for name, fragment in file.variants.items():
            if fragment.value is OFF:
                offered.pop(name, None)
            else:
                # one after the other is what merging the two fragments would mean
                variant = _Variant(fragment, frozenset(merger.away))
                offered.setdefault(name, []).append(variant)
    order, wrong = _stack(variants, offered)
    problems += wrong
    away = frozenset(merger.away)
    for name in order:
        for variant in offered[name]:
            # what a recipe takes away stays away under a variant that it inherits
            own = without(variant.fragment, away - variant.away)
            if _says(variant.fragment) and not _says(own):
                problems.append(_idle(name, variant.fragment, away - variant.away))
            root = merger.merge(root, without(own, {("on",)}))
    problems += merger.problems
    for override in overrides:
        root, wrong = apply_override(root, override, variants=offered)
        problems += wrong
    if problems:
        raise RecipeError(source, problems)
    return Recipe(
        name=found.stem,
        source=source,
        values=plain(root),
        origins=dict(_origins(root, "")),
        variants=tuple(variants),
        overrides=tuple(overrides),
        available=tuple(offered),
    )


def _says(fragment: Node) -> bool:
    """Whether a fragment says anything but what it stands on."""
    return any(address != ("on",) for address in addresses(fragment))


def _idle(name: str, fragment: Node, away: frozenset[tuple[str, ...]]) -> Problem:
    gone = sorted(".".join(path) for path in away & {*addresses(fragment)})
    text = f"it would change nothing here: the recipe takes {', '.join(gone)} away with off"
    return Problem(f"--variant {name}", text, fragment.origin.line, fragment.origin.file)


def _stack(
    asked_for: Sequence[str], offered: Mapping[str, "Sequence[_Variant]"]
) -> tuple[list[str], list[Problem]]:
    """Put variants in the order in which they apply, each after those that it is `on` top of."""
    order: list[str] = []
    problems: list[Problem] = []

    def add(name: str, above: tuple[str, ...], place: Node | None) -> None:
        where = f"variants.{above[-1]}.on" if above else f"--variant {name}"
        line, file = (place.origin.line, place.origin.file) if place else (None, None)
        if name in above:
            circle = " → ".join((*above, name))
            problems.append(Problem(where, f"variants wait for each other: {circle}", line, file))
        elif name not in offered:
            text = (
                f"no variant is called '{name}'.{did_you_mean(name, offered)}\n"
                f"Variants: {', '.join(offered) or 'none'}"
            )
            problems.append(Problem(where, text, line, file))
        elif name not in order:
            for variant in offered[name]:
                on = variant.fragment.mapping.get("on")
                for each in _below(on, name):
                    add(each, (*above, name), on)
            order.append(name)

    def _below(on: Node | None, name: str) -> list[str]:
        if on is None:
            return []
        below = [on.value] if isinstance(on.value, str) else on.value
        if isinstance(below, list) and all(isinstance(each, str) for each in below):
            return below
        text = f"expected the name of a variant, or a list of names, got {shown(plain(on))}"
        problems.append(Problem(f"variants.{name}.on", text, on.origin.line, on.origin.file))
        return []

    for name in asked_for:
        add(name, (), None)
    return order, problems


def dump_recipe(values: Mapping[str, Any]) -> str:
    """Write values as YAML that `load_recipe` reads back to the same values."""
    return dump_yaml(values)


def expand(value: str) -> str:
    """Fill in `$NAME` and `${NAME}` from the environment; raises ValueError for an unset one, and
    for the home of somebody who has none here.
    """

    def look_up(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not (found := os.environ.get(name)):
            raise ValueError(
                f"the environment variable {name} in '{value}' is not set: export {name}=…"
            )
        return found

    found = re.sub(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))", look_up, value, flags=re.ASCII)
    if found.startswith("~") and os.path.expanduser(found) == found:
        raise ValueError(f"'{shortened(found)}' begins with ~, and there is no such home")
    return found


# ---- finding --------------------------------------------------------------------------------


def find_recipe(name: str) -> Path:
    """Return the path of a recipe: a file, or one installed with rrg, with or without its ending.

    Raises UserError with the nearest name and the list.
    """
    # of os.path, not Path's own: a name that the system cannot even look for is no file either
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path):
        return path
    known = list_recipes()
    key = name.removesuffix(".yaml")
    if key in known:
        return known[key]
    if os.path.isfile(path / RUN_RECIPE):
        raise UserError(
            f"'{shortened(name)}' is a run's folder. To go on with it: "
            f"rrg run {path / RUN_RECIPE} --out {path}"
        )
    near = did_you_mean(key, known) or did_you_mean(path.stem, known)
    here = (
        "is a folder, not a recipe"
        if os.path.isdir(path)
        else "is no file, and no recipe of rrg's own"
    )
    raise UserError(
        f"'{shortened(name)}' {here}.{near}\nRecipes: {', '.join(known) or 'none installed'}"
    )


# ---- reading --------------------------------------------------------------------------------


def parent_of(path: Path) -> Path | None:
    """Return the recipe file that this one extends, if it does; raises UserError."""
    node, problems = _read(path, str(path))
    if node is None:
        raise RecipeError(str(path), problems)
    _, parent = _parts(node)
    return None if parent is None else _parent(parent, path, str(path), {})[0]


@final
@dataclass(frozen=True, slots=True)
class _File:
    """One file's own text, without what it extends."""

    body: Node
    variants: Mapping[str, Node]


def _family(path: Path, source: str, *, alone: bool) -> tuple[list[_File], list[Problem]]:
    """Read a recipe and what it extends, the youngest first."""
    asked_for = source
    files: list[_File] = []
    problems: list[Problem] = []
    seen: dict[Path, str] = {}
    while True:
        seen[path.resolve()] = source
        node, wrong = _read(path, source)
        problems += wrong
        if node is None:
            # variants and overrides of half a recipe would bring problems that are not there
            raise RecipeError(asked_for, problems)
        file, parent = _parts(node)
        files.append(file)
        if parent is None:
            return files, problems
        if alone:
            text = "a run's own recipe is whole and extends nothing: somebody has changed it"
            problems.append(Problem("extends", text, parent.origin.line, parent.origin.file))
            raise RecipeError(asked_for, problems)
        try:
            path, source = _parent(parent, path, source, seen)
        except UserError as error:
            origin = parent.origin
            problems.append(Problem("extends", str(error), origin.line, origin.file))
            raise RecipeError(asked_for, problems) from error


def _read(path: Path, source: str) -> tuple[Node | None, list[Problem]]:
    """Read one file and check its keys; no node where there is no mapping to go on with."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return None, [Problem("", f"cannot be read: {error}", None, source)]
    node, problems = read_yaml(text, file=source)
    if node is not None and not isinstance(node.value, dict):
        found = "a list" if isinstance(node.value, list) else shown(plain(node))
        text = f"expected a mapping with keys such as model, objectives, stages; got {found}"
        return None, [*problems, Problem("", text, node.origin.line, source)]
    if node is not None and "ablate" in node.mapping:
        text = f"is no recipe but a table of an ablation's rows: rrg ablate {source}"
        return None, [Problem("", text, node.origin.line, source)]
    return node, problems + (list(check_grammar(node)) if node is not None else [])


def _parts(node: Node) -> tuple[_File, Node | None]:
    """Take a file apart: its own text, its variants, and what it extends."""
    children = dict(node.mapping)
    parent = children.pop("extends", None)
    variants = children.pop("variants", None)
    # what is no mapping has been complained of
    usable = {
        name: fragment
        for name, fragment in (variants.mapping if variants is not None else {}).items()
        if isinstance(fragment.value, dict) or fragment.value is OFF
    }
    return _File(Node(children, node.origin), usable), parent


def _parent(node: Node, path: Path, source: str, seen: Mapping[Path, str]) -> tuple[Path, str]:
    """Find what a file extends: a file beside it, or a recipe of rrg's own; and what to call it."""
    if not isinstance(node.value, str):
        raise UserError(f"expected the name of one recipe file, got {shown(plain(node))}")
    beside = path.parent / node.value
    if os.path.isfile(beside):
        found, name = beside, os.path.normpath(Path(source).parent / node.value)
    else:
        found, name = find_recipe(node.value), node.value
    if found.resolve() in seen:
        raise UserError(f"a recipe cannot extend itself: {' → '.join([*seen.values(), name])}")
    return found, name


def _origins(node: Node, address: str) -> Iterator[tuple[str, Origin]]:
    for key, child in node.mapping.items():
        where = f"{address}.{key}" if address else key
        yield where, child.origin
        yield from _origins(child, where)
