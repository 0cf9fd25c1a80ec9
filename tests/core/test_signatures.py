"""A constructor's signature is the schema of its options."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import nn

from rrgcore.interfaces import Adapter, ImageMasking, Trunk
from rrgcore.signatures import WIRING, check_value, describe, options_of
from rrgcore.tokens import Tokenizer


class Example:
    def __init__(
        self,
        *,
        size: int,
        rate: float = 0.5,
        names: tuple[str, ...] = (),
        masking: ImageMasking,
        trunk: Trunk | None = None,
        image_size: int,
        tokenizer: Tokenizer,
    ) -> None:
        pass


class OwnTokenizer:
    def __init__(self, *, tokenizer: str) -> None:
        pass


def test_options_are_the_keyword_arguments_in_order() -> None:
    assert list(options_of(Example)) == [
        "size", "rate", "names", "masking", "trunk", "image_size", "tokenizer",
    ]  # fmt: skip


def test_an_option_without_default_is_required() -> None:
    options = options_of(Example)

    assert options["size"].required
    assert not options["rate"].required


def test_an_argument_annotated_with_a_kind_is_a_component() -> None:
    options = options_of(Example)

    assert options["masking"].component == ("masking", ImageMasking)
    assert options["trunk"].component == ("part", Trunk)
    assert options["size"].component is None


def test_names_of_the_wiring_table_are_wired_a_tokenizer_only_as_an_object() -> None:
    options = options_of(Example)

    assert options["image_size"].wired
    assert options["tokenizer"].wired
    assert not options["size"].wired
    assert not options_of(OwnTokenizer)["tokenizer"].wired


def test_the_builder_fills_in_the_whole_wiring_table() -> None:
    from rrgcore import build

    source = Path(build.__file__).read_text(encoding="utf-8")
    for name in WIRING:
        assert f'"{name}"' in source, name


def test_a_class_without_a_constructor_has_no_options() -> None:
    class Plain(nn.Module):
        pass

    assert options_of(Plain) == {}
    assert options_of(Adapter) == {}


def test_a_constructor_that_torch_compile_replaced_is_still_torchs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Plain(nn.Module):
        pass

    def patched(self: nn.Module, *args: Any, **kwargs: Any) -> None:  # as torch._dynamo does
        raise NotImplementedError

    monkeypatch.setattr(nn.Module, "__init__", patched)

    assert options_of(Plain) == {}


def test_a_positional_argument_is_the_authors_mistake() -> None:
    class Positional:
        def __init__(self, size: int) -> None:
            pass

    with pytest.raises(AssertionError, match="argument 'size' must be keyword-only"):
        options_of(Positional)


@pytest.mark.parametrize(
    ("annotation", "value", "checked"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (float, 1e-4, 1e-4),
        (bool, False, False),
        (str, "a", "a"),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[float, float], [1, 0.5], (1.0, 0.5)),
        (int | None, None, None),
        (Literal["pre", "post"], "pre", "pre"),
        (Mapping[str, float], {"a": 1}, {"a": 1.0}),
        (Any, {"a": [1]}, {"a": [1]}),
    ],
)
def test_a_value_of_the_right_type_is_taken(annotation: Any, value: Any, checked: Any) -> None:
    assert check_value(annotation, value) == checked


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (int, "big", "expected int, got 'big'"),
        (int, 1.5, "expected int, got 1.5"),
        (int, True, "expected int, got True"),
        (int, None, "expected int, got None"),
        (float, "3", "expected float, got '3'"),
        (bool, 1, "expected bool, got 1"),
        (bool, "no", "expected bool, got 'no'"),
        (str, 3, "expected str, got 3"),
        (int | None, "a", "expected int or nothing, got 'a'"),
        (tuple[int, ...], 3, "expected a list of int, got 3"),
        (tuple[float, float], [1, 2, 3], "expected a list of float, float, got [1, 2, 3]"),
        (Literal["pre", "post"], "in", "expected one of 'pre', 'post', got 'in'"),
        (Mapping[str, float], 3, "expected a mapping of str to float, got 3"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(annotation: Any, value: Any, text: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_value(annotation, value)

    assert str(refused.value) == text


def test_a_wrong_item_is_named_by_its_place() -> None:
    with pytest.raises(ValueError, match=r"^item 2: expected int, got 'a'$"):
        check_value(tuple[int, ...], [1, "a"])
    with pytest.raises(ValueError, match=r"^b: expected float, got 'x'$"):
        check_value(Mapping[str, float], {"a": 1, "b": "x"})


def test_types_are_described_as_a_user_would() -> None:
    assert describe(float | None) == "float or nothing"
    assert describe(Literal[1, 2]) == "one of 1, 2"
    assert describe(tuple[str, ...]) == "a list of str"
    assert describe(Any) == "anything"
