"""Recipes: edited, damaged, overridden; each is planned or refused by name."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rrgcore.session import Session, load_recipe
from rrgcore.yaml_loader import OFF, plain, read_yaml

from .harness import attempt, examples, installed
from .mutations import TEXT_TOKENS, as_yaml, damaged, edited, odd_values

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = REPOSITORY / "tests" / "tiny.yaml"
SHIPPED = sorted((REPOSITORY / "recipes").rglob("*.yaml"))
TEXTS = {path: path.read_text(encoding="utf-8") for path in (TINY, *SHIPPED)}


def parsed(path: Path) -> Any:
    node, problems = read_yaml(TEXTS[path], file=str(path))
    assert node is not None, problems
    return plain(node)


TREES = {path: parsed(path) for path in TEXTS}


def words_of(value: Any) -> Iterator[str]:
    """Iterate over the keys and words of a tree."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from words_of(child)
    elif isinstance(value, str) and len(value) < 20:
        yield value


GRAMMAR = ("on", "extends", "variants", "ref", "name", "init", "lr_of", "annotations", "weight")
WORDS = sorted({*GRAMMAR, *(word for tree in TREES.values() for word in words_of(tree))})
YAML_TOKENS = (
    *TEXT_TOKENS,
    *(b"&a ", b"*a", b"<<: ", b"!!python/object/apply:os.getcwd ", b"! ", b"---\n", b"...\n"),
    *(b"%YAML 9.9\n", b"%TAG ! x\n", b"? ", b"- ", b"| ", b">-\n", b'"\\UFFFFFFFF"', b'"\\xZZ"'),
    *(b"{a: ", b"[[", b"- - - ", b"a: &x [*x]", b"off", b"variants: ", b"on: ", b"  ", b"\xa0"),
)


def loaded(text: bytes, *, overrides: Sequence[str] = (), variants: Sequence[str] = ()) -> Session:
    """Write a recipe's text and load it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_bytes(text)
        return load_recipe(path, overrides=overrides, variants=variants, plugins=installed())


def encoded(tree: Any) -> bytes:
    """Write a tree as a recipe's bytes."""
    return as_yaml(tree, off=OFF).encode()


def try_recipe(target: str, look: Callable[[], Any]) -> str | None:
    """Plan, show or check; what is wrong with the recipe's own text names the file."""
    refusal = attempt(target, look)
    if refusal is not None:
        assert "recipe.yaml" in refusal
    return refusal


@examples(20)
@given(st.data())
def test_an_edited_recipe_is_planned_or_refused(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([TINY, TINY, TINY, *SHIPPED]), label="recipe")
    tree = data.draw(edited(TREES[path], words=WORDS, donors=list(TREES.values())), label="tree")
    named = (
        list(tree["variants"])
        if isinstance(tree, dict) and isinstance(tree.get("variants"), dict)
        else []
    )
    some = st.lists(st.sampled_from([*map(str, named), "no_such"]), max_size=2)
    variants = data.draw(some, label="variants")
    text = encoded(tree)
    try_recipe("recipes: planned", lambda: loaded(text, variants=variants).plan)


@examples(8)
@given(st.data())
def test_an_edited_recipe_is_shown_and_checked_or_refused(
    data: st.DataObject,
) -> None:
    path = data.draw(st.sampled_from([TINY, TINY, *SHIPPED]), label="recipe")
    small = dict(TREES[path])
    variants = small.pop("variants", {})
    donors = [{k: v for k, v in TREES[TINY].items() if k != "variants"}]
    tree = data.draw(edited(small, words=WORDS, donors=donors, most=2), label="tree")
    if isinstance(tree, dict):
        tree["variants"] = variants
    text = encoded(tree)
    chosen = ["tiny"] if path != TINY else []
    try_recipe("recipes: shown", lambda: loaded(text, variants=chosen).show())
    try_recipe("recipes: checked", lambda: loaded(text, variants=chosen).check(images=False))


@examples(40)
@given(st.data())
def test_a_damaged_text_is_planned_or_refused(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(TEXTS)), label="recipe")
    others = [text.encode() for text in TEXTS.values()]
    text = data.draw(damaged(TEXTS[path].encode(), others=others, tokens=YAML_TOKENS), label="text")
    try_recipe("recipes: damaged text", lambda: loaded(text).plan)


@examples(20)
@given(st.data())
def test_an_override_is_applied_or_refused(data: st.DataObject) -> None:
    address = data.draw(
        st.lists(st.sampled_from(WORDS) | st.text(max_size=4), min_size=1, max_size=5).map(".".join)
        | st.sampled_from(sorted(addresses_of(TREES[TINY])))
        | st.text(max_size=12),
        label="address",
    )
    value = data.draw(
        odd_values().map(lambda value: as_yaml(value).strip()) | st.text(max_size=20), label="value"
    )
    override = data.draw(st.sampled_from([f"{address}={value}", address + value]), label="override")
    text = TEXTS[TINY].encode()
    try_recipe("recipes: overrides", lambda: loaded(text, overrides=[override, "seed=1"]).plan)


def addresses_of(tree: Any, above: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, child in tree.items():
            where = f"{above}.{key}" if above else key
            yield where
            yield from addresses_of(child, where)


NAMES = st.sampled_from(["a", "b", "c", "d"])
ON = NAMES | st.lists(NAMES | odd_values(), max_size=3) | odd_values()


@examples(20)
@given(
    st.dictionaries(NAMES, st.fixed_dictionaries({}, optional={"on": ON, "seed": st.just(1)})),
    st.lists(NAMES),
)
def test_variants_on_variants_end(variants: dict[str, Any], chosen: list[str]) -> None:
    text = encoded({**TREES[TINY], "variants": variants})
    try_recipe("recipes: variants", lambda: loaded(text, variants=chosen).plan)


SHARED = st.sampled_from(["image_trunk", "text_trunk", "joint", "other"])
PART = st.one_of(
    st.fixed_dictionaries({"ref": SHARED | odd_values()}),
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["transformer", "projections", "vit"]),
            "trunk": st.fixed_dictionaries({"ref": SHARED}),
        }
    ),
    odd_values(),
)


@examples(15)
@given(st.dictionaries(SHARED, PART))
def test_references_in_circles_are_refused(shared: dict[str, Any]) -> None:
    model = {**TREES[TINY]["model"], "shared": {**TREES[TINY]["model"]["shared"], **shared}}
    text = encoded({**TREES[TINY], "model": model})
    try_recipe("recipes: references", lambda: loaded(text).plan)


@examples(10)
@given(
    st.lists(
        st.sampled_from(["a.yaml", "b.yaml", "recipe.yaml", "./a.yaml", "kia_graph", ".", ""])
        | odd_values(),
        min_size=3,
        max_size=3,
    )
)
def test_what_recipes_extend_ends(parents: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, parent in zip(("recipe.yaml", "a.yaml", "b.yaml"), parents, strict=True):
            (Path(folder) / name).write_bytes(encoded({"extends": parent, "seed": 1}))
        path = Path(folder) / "recipe.yaml"
        try_recipe("recipes: extends", lambda: load_recipe(path, plugins=installed()).plan)


SPLITS = ("train", "val", "test")


def numbers_of(tree: Any, above: str = "") -> Iterator[str]:
    for address in addresses_of(tree, above):
        value = tree
        for key in address.split("."):
            value = value[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield address


@examples(6)
@given(
    # a hundred thousand phantoms are work, and no mistake
    st.sampled_from(sorted({*numbers_of(TREES[TINY])} - {f"data.{split}" for split in SPLITS})),
    st.sampled_from([10**5, 10**7, 2**31, 2**40, 2**62, 10**30, -(10**30), 0, -1, 1e300]),
)
def test_a_number_of_any_size_is_built_and_counted_or_refused(address: str, number: float) -> None:
    override = f"{address}={as_yaml(number)}"
    text = TEXTS[TINY].encode()
    try_recipe("recipes: large numbers", lambda: loaded(text, overrides=[override]).show())
