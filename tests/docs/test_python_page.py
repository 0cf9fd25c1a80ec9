"""The page on Python has every public function and method, as they are called."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rrgcore
from rrgcore.run import Run
from rrgcore.session import Session

from .pages import DOCS, code, read, tables

TEXT = read(DOCS / "python.md")
LISTED = [code(row[0])[0] for _, body in tables(TEXT) for row in body if code(row[0])]
CALLS = [said for said in LISTED if "(" in said]


def called(function: Callable[..., Any]) -> str:
    """A signature as the page writes it: without annotations, and `…` for an object."""
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in found:
            found.append("*")
        default = parameter.default
        shown = repr(default).replace("'", '"') if default is not parameter.empty else None
        if shown is not None and not isinstance(default, str | int | tuple | None):
            shown = "…"
        found.append(parameter.name if shown is None else f"{parameter.name}={shown}")
    return f"({', '.join(found)})"


def public(cls: type) -> Iterator[str]:
    for name, value in vars(cls).items():
        if not name.startswith("_") and not isinstance(value, type):
            yield name


@pytest.mark.parametrize("said", CALLS)
def test_it_is_called_as_the_page_says(said: str) -> None:
    name, arguments = re.fullmatch(r"([\w.]+)(\(.*\))", said).groups()
    owner, _, last = name.rpartition(".")
    where = {"": rrgcore, "session": Session, "run": Run}.get(owner)
    if where is not None:
        assert called(getattr(where, last)) == arguments
    else:
        assert owner == "card"


@pytest.mark.parametrize(("variable", "cls"), [("session", Session), ("run", Run)])
def test_everything_public_is_on_the_page(variable: str, cls: type) -> None:
    own = {
        said.partition("(")[0].removeprefix(f"{variable}.")
        for said in LISTED
        if said.startswith(f"{variable}.")
    }
    attributes = {"recipe"} if cls is Session else set()
    assert own == set(public(cls)) | attributes


def test_every_function_of_rrgcore_is_on_the_page() -> None:
    functions = {name for name in rrgcore.__all__ if name.islower() and not name.startswith("_")}
    listed = {said.partition("(")[0] for said in CALLS if "." not in said.partition("(")[0]}
    assert listed == functions - {"hookimpl"}
