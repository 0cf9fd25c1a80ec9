"""The page on observation labels says what the code does."""

import pytest

from rrgcore.plugins import Discovered
from rrgcore.signatures import options_of

from .pages import DOCS, code, rows, section, value

PAGE = DOCS / "observations.md"
NAMES = (
    "classifier",
    "probability_table",
    "nearest_by_probabilities",
    "nearest_by_run",
    "nearest_by_matrix",
    "observe",
    "observe_endpoint",
    "observe_local",
)


@pytest.mark.parametrize("name", NAMES)
def test_the_options_are_the_code_s(name: str, plugins: Discovered) -> None:
    table = rows(section(PAGE, f"### {name}"), "option", "default", "meaning")
    options = options_of(plugins.registry.get("annotator", name))
    assert {code(cell)[0] for cell, _, _ in table} == set(options)
    for cell, default, _ in table:
        option = options[code(cell)[0]]
        if option.required:
            assert not default
        else:
            assert value(code(default)[0]) == option.default
